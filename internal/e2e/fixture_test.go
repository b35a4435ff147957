package e2e

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// fixtureColumn is one block of a fixture in testdata: a column of the source, and per row
// what is put in and what must come out.
type fixtureColumn struct {
	name   string
	native string // type at the source
	// form says in which words expected values are written, and how readers normalise what they find:
	// num (integers and decimals, every digit), text, bool, bytes (\x and hexadecimal digits), float32 and float64
	// (compared as numbers), date, datetime, instant (with Z), time, duration ([-]HH:MM:SS.f), interval (ISO
	// 8601), and "list " with one of these (a JSON array of strings and nulls).
	form   string
	duckdb string // type in DuckDB
	as     string // type the config asks for: boolean or text, else ""
	values []fixtureValue
}

type fixtureValue struct {
	sql  string // literal
	want value
	fate string // why the value became null, "" where it didn't
}

// value is a value in canonical text, or null.
type value struct {
	text string
	null bool
}

func (v value) String() string {
	if v.null {
		return "NULL"
	}
	return strconv.Quote(v.text)
}

// fixture reads a file of testdata, for one server.
func fixture(t testing.TB, file, server string) []fixtureColumn {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var columns []fixtureColumn
	elsewhere := false
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		head, isHead := strings.CutPrefix(line, "== ")
		switch {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case isHead:
			parts := strings.Split(head, "|")
			for len(parts) < 6 {
				parts = append(parts, "")
			}
			for i := range parts {
				parts[i] = strings.TrimSpace(parts[i])
			}
			elsewhere = parts[4] != "" && parts[4] != server
			if !elsewhere {
				columns = append(columns, fixtureColumn{name: parts[0], native: parts[1], form: parts[2], duckdb: parts[3], as: parts[5]})
			}
		case !elsewhere:
			v, err := parseValue(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			c := &columns[len(columns)-1]
			if v.want, err = normal(c.form, v.want); err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			c.values = append(c.values, v)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return columns
}

func parseValue(line string) (fixtureValue, error) {
	at := strings.LastIndex(line, " => ")
	if at < 0 {
		return fixtureValue{}, fmt.Errorf("want literal => value")
	}
	v, want := fixtureValue{sql: line[:at]}, line[at+4:]
	fate, lost := strings.CutPrefix(want, "NULL (")
	switch {
	case want == "NULL":
		v.want.null = true
	case lost:
		v.want.null, v.fate = true, strings.TrimSuffix(fate, ")")
	case strings.HasPrefix(want, `"`):
		text, err := strconv.Unquote(want)
		if err != nil {
			return v, err
		}
		v.want.text = text
	default:
		v.want.text = want
	}
	return v, nil
}

// rows is how many rows the fixture's table has: one more than its longest column, null everywhere.
func rows(columns []fixtureColumn) int {
	n := 0
	for _, c := range columns {
		n = max(n, len(c.values))
	}
	return n + 1
}

// want is what row i (from 0) of the column must hold.
func (c fixtureColumn) want(i int) value {
	if i < len(c.values) {
		return c.values[i].want
	}
	return value{null: true}
}

// ddl and insert make the table; quote quotes names, and commented adds MySQL's comments.
func ddl(table string, columns []fixtureColumn, quote func(string) string, comment func(column string) string) string {
	lines := []string{quote("id") + " int not null primary key"}
	for _, c := range columns {
		lines = append(lines, quote(c.name)+" "+c.native+comment(c.name))
	}
	return "CREATE TABLE " + quote(table) + " (\n" + strings.Join(lines, ",\n") + "\n)"
}

// insert are the statements that fill the table, a row each, so that a refused literal is told by its row.
func insert(table string, columns []fixtureColumn, quote func(string) string) []string {
	var out []string
	for i := range rows(columns) {
		literals := []string{strconv.Itoa(i)}
		for _, c := range columns {
			if i < len(c.values) {
				literals = append(literals, c.values[i].sql)
			} else {
				literals = append(literals, "NULL")
			}
		}
		out = append(out, "INSERT INTO "+quote(table)+" VALUES ("+strings.Join(literals, ", ")+")")
	}
	return out
}

// fates counts, per column, the values that had to become null, as reports do.
func fates(columns []fixtureColumn) map[string]map[string]int64 {
	counts := map[string]map[string]int64{}
	for _, c := range columns {
		for _, v := range c.values {
			if v.fate == "" {
				continue
			}
			if counts[c.name] == nil {
				counts[c.name] = map[string]int64{}
			}
			counts[c.name][v.fate]++
		}
	}
	return counts
}
