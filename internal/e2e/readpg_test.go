package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/kitamae/kitamae/internal/servertest"
)

// readPostgres reads the published table with a stock driver.
func readPostgres(t *testing.T, s servertest.Server, db string, columns []fixtureColumn) arrived {
	t.Helper()
	exprs := []string{"id::text"}
	for _, c := range columns {
		e := ident(c.name)
		switch c.form { // what the driver would return as something less exact, or parsed
		case "num", "text", "bool", "time":
			e += "::text"
		case "list num", "list text":
			e += "::text[]"
		}
		exprs = append(exprs, e)
	}
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s sslmode=disable timezone=UTC", s.Host, s.Port, s.User, s.Password, db))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), "SELECT "+strings.Join(exprs, ", ")+" FROM "+ident(typesTable))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := arrived{}
	for rows.Next() {
		cells, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		out.add(t, fmt.Sprint(cells[0]), columns, func(k int, _ string) any {
			form := strings.TrimPrefix(columns[k].form, "list ")
			if list, ok := cells[k+1].([]any); ok {
				for i := range list {
					list[i] = intervals(form, list[i])
				}
			}
			return intervals(form, cells[k+1])
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// intervals writes the driver's intervals as text, and leaves everything else.
func intervals(form string, v any) any {
	if i, ok := v.(pgtype.Interval); ok {
		return intervalText(form, int64(i.Months), int64(i.Days), i.Microseconds)
	}
	return v
}
