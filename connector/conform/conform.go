// Package conform is the suite that every connector passes, in this repository or outside of it. It drives a
// connector as a run does and holds it to its contract and its Caps; which values a
// system's own types come out as is left to the connector's own tests.
package conform

import (
	"context"
	"testing"
	"time"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// Suite is all a connector's main test says:
//
//	func TestConform(t *testing.T) {
//		conform.Run(t, conform.Suite{Connector: postgres.Connector, Config: freshDatabase})
//	}
type Suite struct {
	Connector connector.Connector
	// Config makes a place of its own and removes it at t's cleanup. It is called for each test of a destination, and
	// once for all tests of a source, which only read.
	Config func(t *testing.T) Config
	// RefusesNUL says that text with the NUL character has no place at the destination: a Write ends in a fault that names table and column.
	RefusesNUL bool
}

// Config is one place to test in.
type Config struct {
	// Spec is a pointer as the end's NewSpec makes it, filled in.
	Spec any
	Env  connector.Env

	// Published reads what a destination shows to its readers under a planned name, by other means than the
	// connector's; false while there is no such table. Columns have the plan's names and,
	// where the format keeps types, its types: rows are compared in batch.AppendText's form. Destinations only.
	Published func(t *testing.T, table string) (rows batch.Stream, ok bool)

	// Fixtures are tables that Config has made for a source, at least two of them; one has enough rows
	// to be divided into partitions. Sources only.
	Fixtures []Fixture
}

// Fixture is what a source must find of one table.
type Fixture struct {
	Schema, Name string
	Comment      string
	Columns      []string          // in order
	Comments     map[string]string // of columns
	Key          []string
	Rows         int64
	// Partitions is how many at least a scan with two connections makes; 0 means any number.
	Partitions int
}

// patience is how long anything may take that should be immediate.
const patience = 20 * time.Second

// Run runs the suite for each end the connector has.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Connector.Dest != nil {
		t.Run("dest", func(t *testing.T) { Destination(t, s) })
	}
	if s.Connector.Source != nil {
		t.Run("source", func(t *testing.T) { Source(t, s) })
	}
	t.Run("spec", func(t *testing.T) { testSpec(t, s) })
}

// testSpec wants defaults in every new spec, not shared between two.
func testSpec(t *testing.T, s Suite) {
	if s.Connector.Name == "" || s.Connector.Summary == "" {
		t.Error("a connector needs a name and a summary")
	}
	if end := s.Connector.Dest; end != nil && end.NewSpec() == end.NewSpec() {
		t.Error("two destinations share one spec")
	}
	if end := s.Connector.Source; end != nil && end.NewSpec() == end.NewSpec() {
		t.Error("two sources share one spec")
	}
}

// contextFor ends shortly before the test binary would be killed, so that a hang names its place.
func contextFor(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	t.Cleanup(cancel)
	return ctx
}
