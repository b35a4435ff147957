// Package e2e holds the tests of the whole product on real servers: a config, a run, and
// what readers then find, compared with what the source holds. What one package does by itself is tested there.
package e2e
