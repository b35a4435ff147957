package conform

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Destination runs what every destination passes. Each test has a place of its own.
func Destination(t *testing.T, s Suite) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, p *place)
	}{
		{"every type", testEveryType},
		{"nul in text", testNULInText},
		{"no rows", testNoRows},
		{"many batches", testManyBatches},
		{"concurrent tasks", testConcurrentTasks},
		{"duplicate keys", testDuplicateKeys},
		{"replace", testReplace},
		{"append", testAppend},
		{"append aborted", testAppendAborted},
		{"append columns", testAppendColumns},
		{"merge", testMerge},
		{"overwrite", testOverwrite},
		{"layout", testLayout},
		{"other tables stay", testOtherTablesStay},
		{"schema changes", testSchemaChanges},
		{"table names", testTableNames},
		{"names differ by case", testNamesDifferByCase},
		{"column names", testColumnNames},
		{"read staged columns", testReadStagedColumns},
		{"invisible before commit", testInvisible},
		{"write twice", testWriteTwice},
		{"stage twice", testStageTwice},
		{"new epoch", testNewEpoch},
		{"commit twice", testCommitTwice},
		{"abort", testAbort},
		{"stream fails", testStreamFails},
		{"cancelled", testCancelled},
		{"recover", testRecover},
		{"atomic", testAtomic},
		{"durable", testDurable},
		{"resumes", testResumes},
		{"shared", testShared},
		{"register", testRegister},
		{"warehouse", testWarehouse},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, newPlace(t, s)) })
	}
}

// testEveryType takes every Arrow type × null, empty, extreme and ordinary from Write to readers.
func testEveryType(t *testing.T, p *place) {
	tb := everyTable(p.s)
	j := p.begin()
	st := j.stage(tb, 1)
	const rows = 3 * sorts
	j.write(st, 0, 0, rows, 4)
	j.wantStaged(st, st.stream(0, rows, rows))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, rows, rows))
}

// testNULInText wants a destination whose text can't hold it to say where it is; what was staged before stays.
func testNULInText(t *testing.T, p *place) {
	if !p.s.RefusesNUL {
		return
	}
	tb := people("nul", 0)
	tb.fill = func(cols []*batch.Column, row int) {
		cols[0].Uint64(uint64(row))
		cols[1].Value([]byte("a\x00b"))
		cols[2].Null()
		cols[3].Null()
	}
	j := p.begin()
	st := j.stage(tb, 1)
	_, err := j.dest.Write(j.ctx, st.stage, 0, st.stream(0, 3, 3))
	f := fault.From(err)
	if err == nil || f.Kind != fault.Destination || f.Hint == "" || !strings.Contains(err.Error(), "nul") || !strings.Contains(err.Error(), "name") {
		t.Errorf("write of a NUL character = %v (%+v), want a fault of the destination with table, column and hint", err, f)
	}
}

// testNoRows publishes tables that are empty in three ways: they must be there.
func testNoRows(t *testing.T, p *place) {
	j := p.begin()
	noTask, noBatch, noRow := j.stage(people("no_task", 0), 1), j.stage(people("no_batch", 0), 1), j.stage(people("no_row", 0), 1)
	j.write(noBatch, 0, 0, 0, 1)
	r, err := j.dest.Write(j.ctx, noRow.stage, 0, batch.Convert(batch.Of(noRow.table.batch(t, 0, 0)), noRow.plan.Schema()))
	if err != nil {
		t.Fatalf("write a batch without rows: %v", err)
	}
	noRow.keep(t, r, 0, 0)
	all := []*staged{noTask, noBatch, noRow}
	for _, st := range all {
		j.wantStaged(st, st.stream(0, 0, 1))
	}
	j.commit(all...)
	j.close()
	for _, st := range all {
		j.wantPublished(st, st.stream(0, 0, 1))
	}
}

// testManyBatches writes batches of different sizes, more rows than any buffer in between holds.
func testManyBatches(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("many", 0), 1)
	j.write(st, 0, 0, 150_000, 4096)
	j.write(st, 1, 150_000, 150_700, 1)
	j.wantStaged(st, st.stream(0, 150_700, 10_000))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 150_700, 10_000))
}

// testConcurrentTasks writes tasks of two tables at once, out of order.
func testConcurrentTasks(t *testing.T, p *place) {
	j := p.begin()
	tables := []*staged{j.stage(people("left", 0), 1), j.stage(people("right", 1), 1)}
	const tasks, rows = 4, 3000
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, st := range tables {
		for task := tasks - 1; task >= 0; task-- {
			wg.Go(func() {
				r, err := j.dest.Write(j.ctx, st.stage, task, st.stream(task*rows, (task+1)*rows, 500))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("write %s task %d: %v", st.table.name, task, err)
					return
				}
				st.keep(t, r, task, rows)
			})
		}
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, st := range tables {
		j.wantStaged(st, st.stream(0, tasks*rows, 1000))
	}
	j.commit(tables...)
	j.close()
	for _, st := range tables {
		j.wantPublished(st, st.stream(0, tasks*rows, 1000))
	}
}

// testDuplicateKeys keeps rows of the same key: a replace never drops any.
func testDuplicateKeys(t *testing.T, p *place) {
	tb := people("twins", 0)
	single := tb.fill
	tb.fill = func(cols []*batch.Column, row int) { single(cols, row/3) }
	p.publish(tb, 30)
}

func testReplace(t *testing.T, p *place) {
	p.publish(people("again", 0), 500)
	st := p.publish(people("again", 1), 300)
	if !st.plan.Exists {
		t.Error("the second plan says that the table is not there")
	}
	if len(st.plan.Changes) > 0 {
		t.Errorf("the same columns change: %q", st.plan.Changes)
	}
	if st.plan.Rows != 500 && st.plan.Rows != -1 {
		t.Errorf("the second plan says %d rows are there, want 500 or -1 for unknown", st.plan.Rows)
	}
	p.publish(people("again", 2), 0)
}

// testOtherTablesStay publishes one table, then another: a table that a run does not bring is kept.
func testOtherTablesStay(t *testing.T, p *place) {
	first := p.publish(people("kept", 0), 50)
	p.publish(people("new", 1), 20)
	j := p.begin()
	j.wantPublished(first, first.stream(0, 50, 50))
	plan := j.plan(people("kept", 0))
	if !plan.Exists {
		t.Error("the plan of the kept table says that it is not there")
	}
}

// testSchemaChanges replaces a table nine times, each time with its columns changed.
func testSchemaChanges(t *testing.T, p *place) {
	id := batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", "")
	column := func(name string, typ arrow.DataType, nullable bool, comment string) arrow.Field {
		return batch.Field(name, typ, nullable, "", "", comment)
	}
	narrow := p.s.Connector.Caps.Years9999
	short, long, text := arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String
	before := p.publish(changing(narrow, id, column("a", short, true, "")), 20)
	for _, tc := range []struct {
		name    string
		changed bool
		fields  []arrow.Field
	}{
		{"added", true, []arrow.Field{id, column("a", short, true, ""), column("b", text, true, "")}},
		{"dropped", true, []arrow.Field{id, column("b", text, true, "")}},
		{"renamed", true, []arrow.Field{id, column("名", text, true, "")}},
		{"two more", true, []arrow.Field{id, column("a", short, true, ""), column("b", text, true, "")}},
		{"reordered", false, []arrow.Field{column("b", text, true, ""), id, column("a", short, true, "")}},
		{"widened", true, []arrow.Field{column("b", text, true, ""), id, column("a", long, true, "")}},
		{"narrowed", true, []arrow.Field{column("b", text, true, ""), id, column("a", short, true, "")}},
		{"retyped", true, []arrow.Field{column("b", arrow.FixedWidthTypes.Date32, true, ""), id, column("a", text, true, "")}},
		{"nullability", false, []arrow.Field{column("b", arrow.FixedWidthTypes.Date32, false, ""), id, column("a", text, true, "")}},
		{"comment", false, []arrow.Field{column("b", arrow.FixedWidthTypes.Date32, false, "said \"it's\" 新"), id, column("a", text, true, "")}},
	} {
		st := p.publish(changing(narrow, tc.fields...), 20)
		if !st.plan.Exists {
			t.Errorf("%s: the plan says that the table is not there", tc.name)
		}
		width := tc.name == "widened" || tc.name == "narrowed" // of an integer: nothing, where there is one integer type only
		if tc.changed && len(st.plan.Changes) == 0 && !(width && sameNatives(before.plan, st.plan)) {
			t.Errorf("%s: the plan names no changes", tc.name)
		}
		before = st
	}
}

// sameNatives says whether two plans have the same types in the destination's own words.
func sameNatives(a, b connector.TablePlan) bool {
	return slices.EqualFunc(a.Columns, b.Columns, func(x, y connector.ColumnPlan) bool { return x.Native == y.Native && x.Native != "text" })
}

// changing is a table of any few columns, filled by type; nullable ones have nulls.
func changing(narrow bool, fields ...arrow.Field) table {
	return table{name: "changing", schema: arrow.NewSchema(fields, nil), fill: func(cols []*batch.Column, row int) {
		for i, f := range fields {
			value := least + row%(sorts-1-least)
			if f.Nullable && row%4 == 1 {
				value = null
			}
			put(cols[i], typed{typ: f.Type, narrow: narrow}, value)
		}
	}}
}

// testReadStagedColumns reads some columns, in another order than the table's.
func testReadStagedColumns(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("columns", 0), 1)
	j.write(st, 0, 0, 1000, 300)
	schema := arrow.NewSchema([]arrow.Field{st.plan.Schema().Field(2), st.plan.Schema().Field(0)}, nil)
	want := table{schema: schema, fill: func(cols []*batch.Column, row int) {
		if row%5 == 4 {
			cols[0].Null()
		} else {
			cols[0].Decimal128(0, uint64(row*100))
		}
		cols[1].Uint64(uint64(row))
	}}
	names := []string{st.plan.Columns[2].Name, st.plan.Columns[0].Name}
	wanted := digestOf(t, schema, want.stream(0, 1000, 1000))
	got := digestOf(t, schema, j.dest.ReadStaged(j.ctx, st.stage, st.receipts, names))
	if wanted.Rows != got.Rows || *wanted.Hash != *got.Hash {
		t.Errorf("columns %q of %d staged rows are not those written", names, got.Rows)
	}
}

// testInvisible looks as a reader does while a run is under way.
func testInvisible(t *testing.T, p *place) {
	old := p.publish(people("seen", 0), 40)
	j := p.begin()
	again, fresh := j.stage(people("seen", 1), 1), j.stage(people("unseen", 0), 1)
	j.write(again, 0, 0, 500, 100)
	j.write(fresh, 0, 0, 500, 100)
	j.wantStaged(again, again.stream(0, 500, 500))
	j.wantPublished(old, old.stream(0, 40, 40))
	j.wantAbsent(fresh.plan.Name, "before commit")
	for _, st := range []*staged{again, fresh} {
		if err := j.dest.Abort(j.ctx, st.stage); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	j.close()
	j.wantPublished(old, old.stream(0, 40, 40))
	j.wantAbsent(fresh.plan.Name, "after abort")
}

// testDurable interrupts a commit and takes it up in another instance, as after a crash. It can't choose where the
// commit stops; that is what connectors' own crash tests are for.
func testDurable(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Durable {
		return
	}
	j := p.begin()
	st := j.stage(people("durable", 0), 1)
	j.write(st, 0, 0, 100, 30)
	ctx, cancel := context.WithCancel(j.ctx)
	cancel()
	_, err := j.dest.Commit(ctx, j.request(st))
	j.close()
	j.open()
	got, recoverErr := j.dest.Recover(j.ctx, j.request(st))
	switch {
	case recoverErr != nil:
		t.Fatalf("recover: %v", recoverErr)
	case err == nil && got != connector.Done:
		t.Errorf("recover after a commit = %q, want %q", got, connector.Done)
	case got == connector.ReadAgain:
		t.Fatalf("Caps.Durable, but after an interrupted commit (%v) the table must be read again", err)
	}
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 100, 100))
}
