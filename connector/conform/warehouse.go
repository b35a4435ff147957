package conform

import (
	"testing"

	"github.com/kitamae/kitamae/connector"
)

// testWarehouse holds Caps.Warehouse to be true: queries answer, are read-only, have a schema without rows and stop at their limit.
func testWarehouse(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Warehouse {
		return
	}
	st := p.publish(people("asked", 0), 50)
	j := p.begin()
	w, ok := j.dest.(connector.Warehouse)
	if !ok {
		t.Fatal("Caps.Warehouse, but the destination has no Query")
	}
	if rows, more := query(t, j, w, connector.Query{SQL: `select id from asked order by id`, Rows: 10}); rows != 10 || !more {
		t.Errorf("a query of 50 rows with a limit of 10 returned %d, more = %v", rows, more)
	}
	if rows, more := query(t, j, w, connector.Query{SQL: `select id from asked`, Rows: 50}); rows != 50 || more {
		t.Errorf("a query of 50 rows with a limit of 50 returned %d, more = %v", rows, more)
	}
	if rows, _ := query(t, j, w, connector.Query{SQL: `select id, name from asked where id < 0`}); rows != 0 {
		t.Errorf("a query of no rows returned %d", rows)
	}
	for _, sql := range []string{
		`create table made (a int)`, `delete from asked`, `insert into asked select * from asked`, `drop table asked`,
		`update asked set name = 'x'`, `select 1; drop table asked`,
	} {
		if res, err := w.Query(j.ctx, connector.Query{SQL: sql}); err == nil {
			for _, rowErr := range res.Rows {
				err = rowErr
			}
			_ = res.Close() // what it would say is not the matter here
			if err == nil {
				t.Errorf("a query may do: %s", sql)
			}
		}
	}
	if _, err := w.Query(j.ctx, connector.Query{SQL: `select from where`}); err == nil {
		t.Error("nonsense is answered")
	}
	j.close()
	j.wantPublished(st, st.stream(0, 50, 50))
	j.wantAbsent("made", "after a query")
}

func query(t *testing.T, j *journey, w connector.Warehouse, q connector.Query) (rows int64, more bool) {
	t.Helper()
	res, err := w.Query(j.ctx, q)
	if err != nil {
		t.Fatalf("query %s: %v", q.SQL, err)
	}
	if res.Schema == nil || res.Schema.NumFields() == 0 {
		t.Errorf("query %s: no schema before rows", q.SQL)
	}
	for rec, err := range res.Rows {
		if err != nil {
			t.Fatalf("query %s: %v", q.SQL, err)
		}
		rows += rec.NumRows()
	}
	if res.More != nil {
		more = res.More()
	}
	if err := res.Close(); err != nil {
		t.Errorf("close the answer to %s: %v", q.SQL, err)
	}
	return rows, more
}
