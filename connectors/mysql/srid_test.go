package mysql

import (
	"fmt"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestDeclaredSRID: a geometry column says in which reference system it is declared to be, and its values have the longitude first whatever
// the system's own order is.
func TestDeclaredSRID(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		columns, values, want := "p point, q geometry", "NULL, NULL", "[point geometry]"
		if s.Name == "mysql" { // MariaDB declares none
			columns, values, want = "p point SRID 4326, q geometry, r point SRID 0", "ST_GeomFromText('POINT(35 139)', 4326), NULL, NULL", "[point SRID 4326 geometry point SRID 0]"
		}
		s.Exec(t, db, "CREATE TABLE places (id int PRIMARY KEY, "+columns+")", "INSERT INTO places VALUES (1, "+values+")")
		src := open(t, specFor(s, db))
		tab := table(t, src, "places")
		var got []string
		for _, c := range tab.Columns[1:] {
			got = append(got, c.Native)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
		rows, _, err := readRows(t.Context(), src, scanOf(t, src, tab, 1).Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		if s.Name == "mysql" && rows[0][1] != "0101000000"+"0000000000606140"+"0000000000804140" {
			t.Errorf("the point at 35° N 139° E is %s", rows[0][1])
		}
	})
}
