package files

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
	"github.com/kitamae/kitamae/internal/servertest"
)

// farSeen is what a reader of the bucket finds: the run, and each table's rows, checked against the manifest's counts.
func farSeen(t *testing.T, address string) (run string, tables map[string][]string) {
	t.Helper()
	b, err := bucket.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	text, version, err := b.Read(t.Context(), manifestName)
	if err != nil || version == "" {
		return "", nil
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	tables = map[string][]string{}
	for _, table := range m.Tables {
		for _, f := range table.Files {
			r, err := b.NewReader(t.Context(), f.Path, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := len(tables[table.Name])
			for rec, err := range format.ReadCSV(r, numbers(0, 0).Schema(), &batch.Pool{}, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				tables[table.Name] = append(tables[table.Name], lines(rec)...)
			}
			if got := int64(len(tables[table.Name]) - n); got != f.Rows {
				t.Fatalf("%s has %d rows, the manifest says %d", f.Path, got, f.Rows)
			}
			_ = r.Close()
		}
		slices.Sort(tables[table.Name])
	}
	return m.Run.ID, tables
}

// TestLateChangesNothing: who writes a task again after it was published, in a process that knows nothing of that, writes beside
// what is published.
func TestLateChangesNothing(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{"s3": servertest.S3, "gcs": servertest.GCS} {
		t.Run(name, func(t *testing.T) {
			address := start(t) + "/late"
			d, late := csvDest(t, address), csvDest(t, address)
			a := load(t, d, "r1", "a", numbers(0, 9))
			commit(t, d, "r1", a)
			if _, err := late.Write(t.Context(), a.Stage, 0, batch.Of(numbers(50, 70))); err != nil {
				t.Fatal(err)
			}
			if _, got := farSeen(t, address); !slices.Equal(got["a"], sorted(numbers(0, 9))) {
				t.Errorf("published is %v", got)
			}
		})
	}
}

// TestTwoPublishers: a run that publishes while another does so publishes beside it, and neither is lost.
func TestTwoPublishers(t *testing.T) {
	address := servertest.S3(t) + "/both"
	d, other := csvDest(t, address), csvDest(t, address)
	a, b := load(t, d, "r1", "a", numbers(0, 3)), load(t, other, "r2", "b", numbers(5, 9))
	met := 0
	d.step = func(name string) {
		if name == "manifest" {
			if met++; met == 1 {
				commit(t, other, "r2", b)
			}
		}
	}
	commit(t, d, "r1", a)
	run, got := farSeen(t, address)
	if run != "r1" || !slices.Equal(got["a"], sorted(numbers(0, 3))) || !slices.Equal(got["b"], sorted(numbers(5, 9))) || met != 2 {
		t.Errorf("after %d tries run %s shows %v", met, run, got)
	}
}

// TestFarKeepsTwoRuns: a table that no longer comes stays where it lies, for as long as it is published; of the rest two runs stay.
func TestFarKeepsTwoRuns(t *testing.T) {
	address := servertest.S3(t) + "/kept"
	d := csvDest(t, address)
	commit(t, d, "r1", load(t, d, "r1", "a", numbers(0, 3)), load(t, d, "r1", "b", numbers(0, 5)))
	for _, run := range []string{"r2", "r3", "r4", "r5"} {
		commit(t, d, run, load(t, d, run, "a", numbers(0, 4)))
	}
	run, got := farSeen(t, address)
	if run != "r5" || !slices.Equal(got["a"], sorted(numbers(0, 4))) || !slices.Equal(got["b"], sorted(numbers(0, 5))) {
		t.Errorf("run %s shows %v", run, got)
	}
	keys, err := d.store.list(t.Context(), runsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, runsDir+"/r1/") && !strings.HasPrefix(key, runsDir+"/r1/b/") || strings.HasPrefix(key, runsDir+"/r2/") || strings.HasPrefix(key, runsDir+"/r3/") {
			t.Errorf("%s is left", key)
		}
	}
	if want := runsDir + "/r4/" + manifestName; !slices.Contains(keys, want) {
		t.Errorf("%s, the way back, is gone: %v", want, keys)
	}
}

func TestFarFaults(t *testing.T) {
	address := strings.Replace(servertest.S3(t), "lake", "nowhere", 1)
	d := csvDest(t, address)
	for _, c := range d.Check(t.Context())[1:] { // whether there is a manifest can't be told from whether there is a bucket
		if !fault.HasCode(c.Fault, "bucket.missing") || fault.From(c.Fault).Kind != fault.Destination {
			t.Errorf("%s: %v, want bucket.missing as the destination's", c.Link, c.Fault)
		}
	}
	for _, c := range csvDest(t, servertest.S3(t)+"/x").Check(t.Context()) {
		if c.Fault != nil {
			t.Errorf("%s: %v", c.Link, c.Fault)
		}
	}
}
