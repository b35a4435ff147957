package telemetry_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestShardsAreOneTrace: what several processes do of a run is one trace, whose run span comes from the one that ends it.
func TestShardsAreOneTrace(t *testing.T) {
	r, address := newReceiver(t)
	lake, s := servertest.S3(t), servertest.Postgres(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "create table users (id int primary key)", "insert into users values (1), (2)", "create table odd (id int primary key)", "insert into odd values (1)")
	t.Setenv("PGPASSWORD", s.Password)
	file := filepath.Join(t.TempDir(), "kitamae.yml")
	config := fmt.Sprintf(`source: {postgres: {host: %s, port: %d, user: %s, password: secret:env:PGPASSWORD, database: %s, tls: {mode: "off"}}}
destination: {files: {dir: "%s/out"}}
state: %s/state
deploy: {shards: 2}
telemetry: {endpoint: %s/base}
`, s.Host, s.Port, s.User, db, lake, lake, address)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	shard := func(at string, index, want int) {
		t.Helper()
		var said strings.Builder
		code := cli.Run(t.Context(), []string{"shard", "-f", file, "--index", fmt.Sprint(index), "--scheduled-time", at}, cli.IO{Out: io.Discard, Err: &said, Getenv: os.LookupEnv})
		if code != want {
			t.Fatalf("shard %d ended with %d, want %d:\n%s", index, code, want, said.String())
		}
	}
	shard("first", 0, 0)
	shard("first", 1, 0)
	want := []string{
		"run > commit: 0 rows", "run > shard > partition odd: 1 rows", "run > shard > partition users: 2 rows", "run > shard > verify odd: 1 rows",
		"run > shard > verify users: 2 rows", "run > shard: 0 rows", "run > shard: 0 rows", "run > table odd: 1 rows verified", "run > table users: 2 rows verified", "run: 3 rows published",
	}
	if got := r.tree(); !slices.Equal(got, want) {
		t.Errorf("spans:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	traces, ids := map[string]bool{}, map[string]bool{}
	for _, span := range r.spans {
		traces[string(span.TraceId)], ids[string(span.SpanId)] = true, true
	}
	if len(traces) != 1 || len(ids) != len(want) {
		t.Errorf("%d traces of %d spans, want 1 of %d", len(traces), len(ids), len(want))
	}
	if got := fmt.Sprint(r.sum("kitamae.rows"), r.counted(t, "kitamae.table.duration"), r.counted(t, "kitamae.run.duration")); got != "map[odd:1 users:2] map[odd verified:1 users verified:1] map[published:1]" {
		t.Errorf("measured %s", got)
	}

	s.Exec(t, db, "drop table odd", "drop table users")
	shard("second", 0, 2)
	second := map[string]bool{}
	for _, span := range r.spans[len(want):] {
		second[string(span.TraceId)] = true
	}
	if got := r.tree(); !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "run: 0 rows failed ") }) || len(second) != 1 || traces[string(r.spans[len(want)].TraceId)] {
		t.Errorf("a run that failed, in %d traces of its own:\n%s", len(second), strings.Join(got, "\n"))
	}
}
