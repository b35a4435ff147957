package conform

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// hardNames are names that applications have and that writers trip over.
var hardNames = []string{
	`plain`, `two words`, `it's "quoted"`, "back`tick", `semi;colon--`, `select`, `UPPER Case`,
	`受講者`, `レッスン 記録`, `emoji😀`, strings.Repeat("long", 16) + "_64_characters_and_more", strings.Repeat("長", 70),
	`a.b`, `a/b`, `..`, `.hidden`, `back\slash`, `per%cent`, `a*b?`, `$dollar {brace}`, ` space around `, `CON`, "tab\tand\nline",
}

// testTableNames publishes a table under each hard name, all in one run, and reads each.
func testTableNames(t *testing.T, p *place) {
	j := p.begin()
	var all []*staged
	planned := map[string]string{}
	for i, name := range hardNames {
		st := j.stage(people(name, i), 1)
		if other, taken := planned[st.plan.Name]; taken {
			t.Fatalf("tables %q and %q are both planned as %q", other, name, st.plan.Name)
		}
		planned[st.plan.Name] = name
		j.write(st, 0, 0, 10+i, 10)
		all = append(all, st)
	}
	j.commit(all...)
	j.close()
	for i, st := range all {
		j.wantPublished(st, st.stream(0, 10+i, 100))
	}
}

// testNamesDifferByCase holds FoldsCase to be true either way.
func testNamesDifferByCase(t *testing.T, p *place) {
	lower := p.publish(people("users", 0), 10)
	if p.s.Connector.Caps.FoldsCase {
		j := p.begin()
		if plan := j.plan(people("USERS", 0)); plan.Name == lower.plan.Name && !plan.Exists {
			t.Error("Caps.FoldsCase, but USERS does not exist after users was published")
		}
		return
	}
	upper := p.publish(people("USERS", 1), 20)
	j := p.begin()
	j.wantPublished(lower, lower.stream(0, 10, 10))
	j.wantPublished(upper, upper.stream(0, 20, 20))
}

// testColumnNames has all hard names as columns, and some that differ only by case.
func testColumnNames(t *testing.T, p *place) {
	names := append([]string{"id", "ID", "Id", "plain_2", "PLAIN", "Ä", "ä"}, hardNames...)
	var fields []arrow.Field
	for i, name := range names {
		fields = append(fields, batch.Field(name, arrow.PrimitiveTypes.Int32, true, "", "int", strings.Repeat("comment ' on ", i%3)+name))
	}
	p.publish(table{name: "columns", comment: `table's "comment"`, schema: arrow.NewSchema(fields, nil), fill: func(cols []*batch.Column, row int) {
		for i, c := range cols {
			c.Uint32(uint32(row*1000 + i))
		}
	}}, 5)
}
