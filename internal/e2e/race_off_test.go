//go:build !race

package e2e

// raced says that this binary has the race detector, whose memory is not the product's.
const raced = false
