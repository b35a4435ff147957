// Package guide holds the guides in docs/guides to what they say: their commands exist, and those that can run without a cloud account are run,
// in their order, against emulators.
package guide
