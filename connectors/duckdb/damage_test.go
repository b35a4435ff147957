package duckdb

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// block is how DuckDB divides a file behind its three headers.
const block, headers = 256 << 10, 3 * 4096

// damages are ways in which a file gets lost on a disk. Each returns what is left.
func damages(whole []byte) map[string][]byte {
	r := rand.New(rand.NewPCG(1, uint64(len(whole))))
	over := func(at, n int) []byte {
		b := bytes.Clone(whole)
		for i := at; i < min(at+n, len(b)); i++ {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	out := map[string][]byte{
		"empty": {}, "one byte": whole[:1], "the first header only": whole[:4096], "the headers only": whole[:headers],
		"half": whole[:len(whole)/2], "without its last block": whole[:len(whole)-block], "without its last byte": whole[:len(whole)-1],
		"random head": over(0, 4096), "random second header": over(4096, 8192), "random all over": over(0, len(whole)),
		"zeros for a head": append(make([]byte, 4096), whole[4096:]...),
		"zeros":            make([]byte, len(whole)),
	}
	for i := 0; headers+i*block < len(whole); i++ {
		out[fmt.Sprintf("random block %d", i)] = over(headers+i*block, block)
		out[fmt.Sprintf("random bytes in block %d", i)] = over(headers+i*block+block/7, 100)
	}
	return out
}

// A published file that a disk or somebody has damaged is never taken for another one: each thing that is asked of it
// ends well and right, or by a fault that names the file, and then the file is byte for byte as it was.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "kura.duckdb"))
	publishPeople(t, d, "r1", 60_000, "kept", "a")
	whole, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	const sum = "SELECT count(*), sum(id), sum(length(名前)) FROM kept"
	right := ask(t, d.path, sum)
	faults := 0
	for name, bad := range damages(whole) {
		t.Run(name, func(t *testing.T) {
			d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
			if err := os.WriteFile(d.path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := try(t, d, sum)
			if err == nil && got != right {
				t.Errorf("the query answers %s, want %s", got, right)
			}
			errs := []error{err}
			p, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "a", Schema: people(), Mode: connector.Replace})
			if errs = append(errs, err); err == nil {
				s, err := d.Stage(t.Context(), connector.StageRequest{Run: "r2", Epoch: 1, Plan: *p})
				if err != nil {
					t.Fatal(err)
				}
				r, err := d.Write(t.Context(), s, 0, persons(t, 0, 90_000))
				if err != nil {
					t.Fatal(err)
				}
				_, err = d.Commit(t.Context(), request("r2", connector.CommitTable{Stage: s, Plan: *p, Receipts: []connector.Receipt{r}}))
				errs = append(errs, err)
				if err == nil {
					want(t, "published", ask(t, d.path, "SELECT count(*) FROM a"), "90000")
					want(t, "kept", ask(t, d.path, sum), right)
				} else {
					same(t, d.path, bad)
				}
			} else {
				same(t, d.path, bad)
			}
			for _, err := range errs {
				if err == nil {
					continue
				}
				faults++
				if code := fault.From(err).Code; code != "duckdb.damaged" && code != "duckdb.not_a_database" || !strings.Contains(err.Error()+fault.From(err).Hint, d.path) {
					t.Errorf("%s: %v (%s)", code, err, fault.From(err).Hint)
				}
			}
		})
	}
	if faults < 20 {
		t.Errorf("only %d faults: the damages do not damage", faults)
	}
}

// same fails where a file is not what it was.
func same(t testing.TB, path string, was []byte) {
	t.Helper()
	now, err := os.ReadFile(path)
	if err != nil || sha256.Sum256(now) != sha256.Sum256(was) {
		t.Errorf("%s is not what it was (%v)", path, err)
	}
}

// try is a query's one line.
func try(t testing.TB, d *dest, sql string) (string, error) {
	t.Helper()
	res, err := d.Query(t.Context(), connector.Query{SQL: sql})
	if err != nil {
		return "", err
	}
	defer res.Close()
	line := ""
	for rec, err := range res.Rows {
		if err != nil {
			return "", err
		}
		for _, c := range rec.Columns() {
			line += "|" + strings.Clone(c.ValueStr(0))
		}
	}
	return strings.TrimPrefix(line, "|"), nil
}

// A log beside the published file is part of it: one that is damaged stops whatever is asked, and stays.
func TestDamagedLog(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a")
	killed(t, child(t, "abandon", d.path, "CREATE TABLE kura.mine AS SELECT 7 AS i"))
	log, err := os.ReadFile(d.path + ".wal")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append(bytes.Clone(log[:len(log)/2]), bytes.Repeat([]byte{0xee}, len(log)/2)...)
	if err := os.WriteFile(d.path+".wal", bad, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"plan": func() error {
			_, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "a", Schema: people()})
			return err
		}(),
		"query": func() error { _, err := try(t, d, "SELECT 1"); return err }(),
	} {
		if !fault.HasCode(err, "duckdb.damaged") {
			t.Errorf("%s: %v", what, err)
		}
	}
	same(t, d.path, whole)
	same(t, d.path+".wal", bad)
}
