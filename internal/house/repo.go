// Package house holds the tests the repository has about itself: which package may
// import which, how long a file gets, what must be documented. It has no other use.
package house
