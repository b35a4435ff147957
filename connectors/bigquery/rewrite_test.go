package bigquery_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/bqfront"
	"github.com/kitamae/kitamae/internal/servertest"
)

// entry is a row of a table that is divided by the day; version makes its values.
type entry struct{ id, day, version int }

func entrySchema() *arrow.Schema {
	micros := func(tz string) arrow.DataType { return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: tz} }
	return arrow.NewSchema([]arrow.Field{
		batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", ""),
		batch.Field("at", micros("UTC"), false, "", "timestamp(6)", ""),
		batch.Field("名前", arrow.BinaryTypes.String, true, "", "text", ""),
		batch.Field("amount", &arrow.Decimal128Type{Precision: 38, Scale: 9}, true, "", "decimal(38,9)", ""),
		batch.Field("small", arrow.PrimitiveTypes.Int16, true, "", "smallint", ""),
		batch.Field("large", arrow.PrimitiveTypes.Uint64, true, "", "bigint unsigned", ""),
		batch.Field("flag", arrow.FixedWidthTypes.Boolean, true, "", "bool", ""),
		batch.Field("day", arrow.FixedWidthTypes.Date32, true, "", "date", ""),
		batch.Field("clock", arrow.FixedWidthTypes.Time64us, true, "", "time(6)", ""),
		batch.Field("local", micros(""), true, "", "datetime(6)", ""),
	}, nil)
}

// put appends the entry; of every fifth, all but the key is null.
func (e entry) put(b *batch.Builder) {
	b.Columns[0].Uint64(uint64(e.id))
	b.Columns[1].Uint64(uint64(int64(e.day)*86_400_000_000 + int64(e.id)))
	if e.id%5 == 0 {
		for _, c := range b.Columns[2:] {
			c.Null()
		}
		return
	}
	b.Columns[2].Value(fmt.Appendf(nil, "山田 %d \"\\\n\x01😀 v%d", e.id, e.version))
	b.Columns[3].Decimal128(int64(1-2*(e.id%2))<<50, uint64(e.version)) // of 34 digits
	b.Columns[4].Uint16(uint16(int16(-e.id - e.version)))
	b.Columns[5].Uint64(1<<63 + uint64(e.id))
	b.Columns[6].Bool(e.version%2 == 0)
	b.Columns[7].Uint32(uint32(int32(-e.id)))
	b.Columns[8].Uint64(uint64(86_399_999_999 - e.version))
	b.Columns[9].Uint64(uint64(1_700_000_000_000_000 + e.version))
}

// entries are the ids from..to of a day.
func entries(day, version, from, to int) (all []entry) {
	for id := from; id < to; id++ {
		all = append(all, entry{id, day, version})
	}
	return all
}

// entered stages entries to be merged by id and time.
func (p *place) entered(t *testing.T, dest connector.Destination, run string, all ...entry) connector.CommitRequest {
	t.Helper()
	schema := entrySchema()
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{
		Name: "entries", Schema: schema, Key: []string{"id", "at"}, Mode: connector.Merge, Layout: connector.Layout{Partition: "at", Unit: "day"},
	})
	if err != nil {
		t.Fatal(err)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for _, e := range all {
		e.put(b)
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	r, err := dest.Write(t.Context(), stage, 0, batch.Convert(batch.Of(rec), plan.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	return connector.CommitRequest{
		Run: connector.RunRecord{ID: run, Started: time.Now().UTC()}, Tables: []connector.CommitTable{{Stage: stage, Plan: *plan, Receipts: []connector.Receipt{r}}},
	}
}

// enter merges entries and returns the report's notes.
func (p *place) enter(t *testing.T, dest connector.Destination, run string, all ...entry) string {
	t.Helper()
	out, err := dest.Commit(t.Context(), p.entered(t, dest, run, all...))
	if err != nil || !out[0].Published {
		t.Fatalf("commit of %s = %+v, %v", run, out, err)
	}
	return strings.Join(out[0].Notes, "\n")
}

// lines are a table's rows as text, sorted.
func (p *place) lines(t *testing.T, table string) (all []string) {
	t.Helper()
	rows, _ := p.published(t, table)
	for rec, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			var line []string
			for _, col := range rec.Columns() {
				line = append(line, col.ValueStr(i))
			}
			all = append(all, strings.Join(line, "|"))
		}
	}
	return sorted(all)
}

// Days of the tests: the first two have rows, the third has none until the second run.
const (
	dayA = 20_000
	dayB = 20_001
	dayC = 20_002
)

// firstEntries and thenEntries are what the first run brings, and what the second merges into it.
func firstEntries() []entry { return append(entries(dayA, 1, 0, 12), entries(dayB, 1, 0, 6)...) }

func thenEntries() []entry {
	return slices.Concat(entries(dayA, 2, 3, 7), entries(dayA, 2, 20, 22), entries(dayB, 2, 5, 9), entries(dayC, 2, 0, 3))
}

// byMerge is the rows after both, as a MERGE leaves them.
func byMerge(t *testing.T) []string {
	t.Helper()
	p := newPlace(t, nil)
	dest := p.open(t)
	bigquery.SetTravel(dest, 0, false)
	p.enter(t, dest, "20261129T010000Z-first", firstEntries()...)
	notes := p.enter(t, dest, "20261129T020000Z-then", thenEntries()...)
	if n := p.front.Count("query", ""); n != 2 || !strings.Contains(notes, "too large to be read back") { // the dry run and the MERGE
		t.Errorf("%d queries, and %q", n, notes)
	}
	return p.lines(t, "entries")
}

// TestRewrite compares the rows after a merge that rewrote the partitions with those after a MERGE.
func TestRewrite(t *testing.T) {
	t.Parallel()
	want := byMerge(t)
	if len(want) != 12+6+2+3+3 {
		t.Fatalf("%d rows:\n%s", len(want), strings.Join(want, "\n"))
	}
	p := newPlace(t, nil)
	dest := p.open(t)
	p.enter(t, dest, "20261129T010000Z-first", firstEntries()...)
	notes := p.enter(t, dest, "20261129T020000Z-then", thenEntries()...)
	if n := p.front.Count("query", ""); n > 0 || !strings.Contains(notes, "merged by rewriting 3 partitions, whose 18 rows were read back: for about 0.0000") {
		t.Errorf("%d queries, and %q", n, notes)
	}
	if got := p.lines(t, "entries"); !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d:\n%s\nwant\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if md := p.metadata(t, "entries"); md.TimePartitioning == nil || md.TimePartitioning.Field != "at" {
		t.Errorf("it lies as %+v", md.TimePartitioning)
	}
}

// TestRewriteByPrice takes the cheaper way, by what is said to travel and what a MERGE is said to read.
func TestRewriteByPrice(t *testing.T) {
	for _, tc := range []struct {
		name              string
		rowBytes, merging int64
		onGoogle          bool
		planned           int64
		queries           int
		note              string
	}{
		{"a small partition", 100, 0, false, 0, 0, "merged by rewriting 1 partitions"},
		{"a large one", 100_000, 20 << 20, false, 0, 2, "reading 12 rows back would cost 0.00028"},
		{"a large one inside Google", 100_000, 20 << 20, true, 0, 0, "read back: for free"},
		{"a large one, and a MERGE of gigabytes", 100_000, 4 << 30, false, 8 << 30, 1, "read back: for about 0.00028"},
		{"one that is too large", 10_000_000, 4 << 30, true, 8 << 30, 2, "too large to be read back"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			p.front.RowBytes, p.front.MergeBytes = tc.rowBytes, tc.merging
			dest := p.open(t)
			bigquery.SetTravel(dest, 64<<20, tc.onGoogle)
			p.enter(t, dest, "20261129T010000Z-first", entries(dayA, 1, 0, 12)...)
			req := p.entered(t, dest, "20261129T020000Z-then", entries(dayA, 2, 3, 15)...)
			if tc.planned > 0 {
				req.Tables[0].Plan.Cost.Bytes = tc.planned
			}
			out, err := dest.Commit(t.Context(), req)
			if err != nil || !out[0].Published || !strings.Contains(fmt.Sprint(out[0].Notes), tc.note) {
				t.Errorf("commit = %+v, %v, want a note of %q", out, err, tc.note)
			}
			if n := p.front.Count("query", ""); n != tc.queries {
				t.Errorf("%d queries, want %d", n, tc.queries)
			}
			p.wantRows(t, "entries", 15)
			for it := p.client.Dataset(p.spec.Dataset).Tables(t.Context()); ; {
				table, err := it.Next()
				if err != nil {
					break
				}
				if strings.HasPrefix(table.TableID, "_kitamae_delta_") {
					t.Errorf("%s is left", table.TableID)
				}
			}
		})
	}
}

// TestRewriteRefused merges where rows that are there would not come back as they are, or not all of them.
func TestRewriteRefused(t *testing.T) {
	for _, tc := range []struct{ name, sql, note string }{
		{"a column of theirs", "ALTER TABLE `%s` ADD COLUMN theirs STRING", "11 columns are there and 10 come"},
		{"two rows with one key", "INSERT INTO `%s` (id, at) SELECT id, at FROM `%[1]s` WHERE id = 3", "several rows with the same key"},
		{"a value that the column does not take", "UPDATE `%s` SET small = 70000 WHERE id = 2", "column small has a value that does not come as int16"},
		{"a policy", "CREATE ROW ACCESS POLICY some ON `%s` GRANT TO ('domain:example.com') FILTER USING (id > 0)", "row access policies may hide rows"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			dest := p.open(t)
			p.enter(t, dest, "20261129T010000Z-first", entries(dayA, 1, 0, 6)...)
			if _, err := p.client.Query(fmt.Sprintf(tc.sql, project+"."+p.spec.Dataset+".entries")).Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			// the plan may have been made before
			out, err := dest.Commit(t.Context(), p.entered(t, dest, "20261129T020000Z-then", entries(dayA, 2, 3, 9)...))
			why := fmt.Sprint(out[0].Notes)
			if strings.Contains(out[0].Why, `does not have a column named "rowid"`) { // the emulator can't merge under a policy
				why = tc.note
			}
			if err != nil || !strings.Contains(why, tc.note) || p.front.Count("query", "") != 2 {
				t.Errorf("commit = %+v, %v after %d queries, want a note of %q", out, err, p.front.Count("query", ""), tc.note)
			}
		})
	}
}

// TestRewriteBesideOthers: somebody adds a row while the partition is read. What came is merged then, and their row stays.
func TestRewriteBesideOthers(t *testing.T) {
	for _, tc := range []struct {
		name string
		day  int
		note string
	}{
		{"to the partition", dayA, "7 of its 6 rows could be read"},
		{"to another one", dayB, "somebody else changed the table meanwhile"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var reads atomic.Int64
			var p *place
			p = newPlace(t, func(c *call) string {
				if c.What == "partition" && reads.Add(1) == 2 { // the first asks whether it is empty
					sql := fmt.Sprintf("INSERT INTO `%s.%s.entries` (id, at) VALUES (1000, TIMESTAMP_SECONDS(%d))", project, p.spec.Dataset, tc.day*86_400+7)
					if _, err := p.client.Query(sql).Read(context.Background()); err != nil {
						t.Error(err)
					}
				}
				return ""
			})
			dest := p.open(t)
			p.enter(t, dest, "20261129T010000Z-first", entries(dayA, 1, 1, 7)...)
			notes := p.enter(t, dest, "20261129T020000Z-then", entries(dayA, 2, 4, 9)...)
			if !strings.Contains(notes, tc.note) || !strings.Contains(notes, "merged by a MERGE") {
				t.Errorf("notes %q", notes)
			}
			p.wantHeld(t, append(entries(dayA, 1, 1, 4), entries(dayA, 2, 4, 9)...),
				fmt.Sprintf("1000 %s (null) (null)", time.Unix(int64(tc.day)*86_400+7, 0).UTC().Format(time.RFC3339)))
		})
	}
}

// wantHeld wants the latest version of each entry, and more.
func (p *place) wantHeld(t *testing.T, all []entry, more ...string) {
	t.Helper()
	latest := map[entry]int{}
	for _, e := range all {
		latest[entry{e.id, e.day, 0}] = e.version
	}
	want := more
	for e, version := range latest {
		at := time.UnixMicro(int64(e.day)*86_400_000_000 + int64(e.id)).UTC().Format("2006-01-02T15:04:05.999999Z")
		held := fmt.Sprintf("%d 23:59:59.%d", -e.id-version, 999_999-version)
		if e.id%5 == 0 {
			held = "(null) (null)"
		}
		want = append(want, fmt.Sprintf("%d %s %s", e.id, at, held))
	}
	rows, _ := p.published(t, "entries")
	var got []string
	for rec, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			got = append(got, fmt.Sprintf("%s %s %s %s", rec.Column(0).ValueStr(i), rec.Column(1).ValueStr(i), rec.Column(4).ValueStr(i), rec.Column(8).ValueStr(i)))
		}
	}
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%d rows, want %d:\n%s\nwant\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRewriteKilled kills a merge at one partition's job, before it is taken or after it, with the spool there or gone. The next process
// comes to the rows of one merge.
func TestRewriteKilled(t *testing.T) {
	for _, tc := range []struct {
		partition   int
		done, spool bool
	}{{1, true, true}, {2, false, false}, {2, true, true}, {3, false, true}} {
		t.Run(fmt.Sprintf("at partition %d, done %v, spool %v", tc.partition, tc.done, tc.spool), func(t *testing.T) {
			t.Parallel()
			rewriteKilled(t, tc.partition, tc.done, tc.spool)
		})
	}
}

func rewriteKilled(t *testing.T, n int, done, spool bool) {
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	var armed, dead atomic.Bool
	var seen atomic.Int64
	p := newPlace(t, func(c *call) string {
		switch {
		case !armed.Load():
			return ""
		case dead.Load():
			kill()
			return cut
		case c.What != "insert" || !strings.HasPrefix(c.Table, "entries$") || seen.Add(1) != int64(n):
			return ""
		}
		dead.Store(true)
		if done {
			return lost
		}
		kill()
		return cut
	})
	first := p.open(t)
	p.enter(t, first, "20261129T010000Z-first", firstEntries()...)
	second := p.open(t)
	req := p.entered(t, second, "20261129T020000Z-then", thenEntries()...)
	armed.Store(true)
	if out, err := second.Commit(ctx, req); !dead.Load() {
		t.Fatalf("nothing was killed: %+v, %v", out, err)
	}
	armed.Store(false)
	if !spool {
		if err := os.RemoveAll(filepath.Join(p.env.Dir, ".kitamae")); err != nil {
			t.Fatal(err)
		}
	}
	third := p.open(t)
	found, err := third.Recover(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	switch found {
	case connector.CommitAgain:
		mustCommit(t, third, req)
	case connector.ReadAgain:
		p.enter(t, third, "20261129T030000Z-again", thenEntries()...)
	}
	p.wantHeld(t, append(firstEntries(), thenEntries()...))
}

// TestRewriteTakenOver: a process that fell asleep between two partitions changes none any more, once another run has gone on without it.
func TestRewriteTakenOver(t *testing.T) {
	t.Parallel()
	p := newPlace(t, nil)
	first := p.open(t)
	p.enter(t, first, "20261129T010000Z-first", firstEntries()...)
	uploading, goOn := make(chan struct{}), make(chan struct{})
	slow := *p
	var inserts atomic.Int64
	slow.front = bqfront.New(t, servertest.BigQuery(t), func(c *call) string {
		if c.What == "insert" && strings.HasPrefix(c.Table, "entries$") && inserts.Add(1) == 2 {
			close(uploading)
			<-goOn
		}
		return ""
	})
	slow.spec.Endpoint = slow.front.URL
	asleep := slow.open(t)
	req := slow.entered(t, asleep, "20261129T020000Z-asleep", thenEntries()...)
	ended := make(chan []connector.Outcome, 1)
	go func() {
		out, err := asleep.Commit(t.Context(), req)
		if err != nil {
			t.Error(err)
		}
		ended <- out
	}()
	<-uploading
	awake := p.open(t)
	p.enter(t, awake, "20261129T030000Z-awake", append(thenEntries(), entries(dayB, 3, 100, 102)...)...)
	close(goOn)
	if out := <-ended; len(out) != 1 || out[0].Published || !strings.Contains(out[0].Why, "1 of 3 partitions are new") || !strings.Contains(out[0].Why, "another run has taken over") {
		t.Errorf("the one that was asleep: %+v", out)
	}
	p.wantHeld(t, slices.Concat(firstEntries(), thenEntries(), entries(dayB, 3, 100, 102)))
}
