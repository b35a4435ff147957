package conform

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Source runs what every source passes. All tests read the same fixtures.
func Source(t *testing.T, s Suite) {
	o := &origin{s: s, cfg: s.Config(t)}
	if len(o.cfg.Fixtures) < 2 {
		t.Fatal("Config.Fixtures needs two tables at least")
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, o *origin)
	}{
		{"discover", testDiscover},
		{"each row once", testEachRowOnce},
		{"one connection", testOneConnection},
		{"concurrent reads", testConcurrentReads},
		{"read again", testReadAgain},
		{"scan again", testScanAgain},
		{"some columns", testSomeColumns},
		{"no rows asked", testNoRowsAsked},
		{"portable", testPortable},
		{"cancelled", testCancelledRead},
		{"missing", testMissing},
		{"close", testClose},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, o) })
	}
}

// origin is a system with fixtures in it.
type origin struct {
	s   Suite
	cfg Config
}

func (o *origin) open(t *testing.T) connector.Source {
	t.Helper()
	src, err := o.s.Connector.Source.Open(contextFor(t), o.cfg.Spec, o.cfg.Env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return src
}

// opened is a source that is closed when the test ends.
func (o *origin) opened(t *testing.T) connector.Source {
	t.Helper()
	src := o.open(t)
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return src
}

// discovered is the fixtures as the source describes them, in their order.
func (o *origin) discovered(t *testing.T, src connector.Source) []connector.Table {
	t.Helper()
	all, err := src.Discover(contextFor(t))
	if err != nil {
		t.Fatalf("discover: %v", err)
	}
	tables := make([]connector.Table, len(o.cfg.Fixtures))
	for i, f := range o.cfg.Fixtures {
		at := slices.IndexFunc(all, func(tb connector.Table) bool { return tb.Schema == f.Schema && tb.Name == f.Name })
		if at < 0 {
			t.Fatalf("table %q in schema %q is not discovered", f.Name, f.Schema)
		}
		tables[i] = throughJSON(t, all[at])
	}
	return tables
}

// whole asks for all of the tables, as a run without settings does.
func whole(tables []connector.Table, connections int) connector.ScanRequest {
	req := connector.ScanRequest{Connections: connections, BatchBytes: 256 << 10, MaxValueBytes: 16 << 20}
	for _, tb := range tables {
		req.Tables = append(req.Tables, connector.TableScan{Table: tb, Columns: tb.Columns})
	}
	return req
}

// scan scans and wants a table for each asked one, with partitions that survive JSON.
func scan(t *testing.T, src connector.Source, req connector.ScanRequest) connector.Scan {
	t.Helper()
	got, err := src.Scan(contextFor(t), req)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	switch got.Guarantee {
	case connector.Database, connector.PerTable, connector.Chunked:
	default:
		t.Errorf("scan guarantees %q", got.Guarantee)
	}
	if len(got.Tables) != len(req.Tables) {
		t.Fatalf("scan of %d tables has %d", len(req.Tables), len(got.Tables))
	}
	for i, tb := range got.Tables {
		if len(tb.Partitions) == 0 {
			t.Errorf("table %s has no partition", req.Tables[i].Table.Ref())
		}
	}
	return throughJSON(t, *got)
}

func testDiscover(t *testing.T, o *origin) {
	src := o.opened(t)
	tables := o.discovered(t, src)
	for i, f := range o.cfg.Fixtures {
		checkTable(t, f, tables[i])
	}
	first, err1 := json.Marshal(tables)
	second, err2 := json.Marshal(o.discovered(t, src))
	if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
		t.Errorf("discovered twice, the tables differ:\n%s\n%s", first, second)
	}
}

func checkTable(t *testing.T, f Fixture, tb connector.Table) {
	t.Helper()
	if tb.Comment != f.Comment {
		t.Errorf("%s has comment %q, want %q", tb.Ref(), tb.Comment, f.Comment)
	}
	if !slices.Equal(tb.Key, f.Key) {
		t.Errorf("%s has key %q, want %q", tb.Ref(), tb.Key, f.Key)
	}
	var names []string
	for _, c := range tb.Columns {
		names = append(names, c.Name)
		if c.Type.DataType == nil || c.Native == "" {
			t.Errorf("%s: column %q has type %q, native %q", tb.Ref(), c.Name, c.Type, c.Native)
		}
		if c.Comment != f.Comments[c.Name] {
			t.Errorf("%s: column %q has comment %q, want %q", tb.Ref(), c.Name, c.Comment, f.Comments[c.Name])
		}
	}
	if !slices.Equal(names, f.Columns) {
		t.Errorf("%s has columns %q, want %q", tb.Ref(), names, f.Columns)
	}
}

// testMissing asks for what is not there: a person must learn of it as a matter of the source, with a code.
func testMissing(t *testing.T, o *origin) {
	tables := o.discovered(t, o.opened(t))
	gone, lost := tables[0], tables[0]
	gone.Name = "kitamae_nowhere"
	lost.Columns = append(slices.Clone(lost.Columns), lost.Columns[0])
	lost.Columns[len(lost.Columns)-1].Name = "kitamae_nothing"
	for what, tb := range map[string]connector.Table{"table": gone, "column": lost} {
		src := o.opened(t)
		err := readAll(t, src, whole([]connector.Table{tb}, 1))
		f := fault.From(err)
		if err == nil || f.Kind != fault.Source && f.Kind != fault.Config || f.Code == "" {
			t.Errorf("a missing %s = %v (%+v), want a fault of the source with a code", what, err, f)
		}
	}
}

// readAll returns the first error of scanning and reading.
func readAll(t *testing.T, src connector.Source, req connector.ScanRequest) error {
	t.Helper()
	got, err := src.Scan(contextFor(t), req)
	if err != nil {
		return err
	}
	for _, tb := range got.Tables {
		for _, p := range tb.Partitions {
			reading, err := src.Read(contextFor(t), p)
			if err != nil {
				return err
			}
			for _, err := range reading.Rows {
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}
