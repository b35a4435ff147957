package job

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// table makes a table out of "name: column type, column type".
func table(t *testing.T, text string) connector.Table {
	t.Helper()
	ref, columns, _ := strings.Cut(text, ": ")
	out := connector.Table{Name: ref, Key: []string{"id"}, Rows: -1, Bytes: -1}
	if schema, name, ok := strings.Cut(ref, "."); ok {
		out.Schema, out.Name = schema, name
	}
	if name, ok := strings.CutSuffix(out.Name, "(view)"); ok {
		out.Name, out.View, out.Key = name, true, nil
	}
	for _, c := range strings.Split(columns, ", ") {
		name, typ, ok := strings.Cut(c, " ")
		if !ok {
			typ = "utf8"
		}
		parsed, err := connector.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		out.Columns = append(out.Columns, connector.Column{Name: name, Type: parsed, Native: typ})
	}
	return out
}

func sample(t *testing.T) []connector.Table {
	t.Helper()
	return []connector.Table{
		table(t, "users: id int64, name, email, password_digest, active int8"),
		table(t, "orders: id int64, user_id int64, total decimal128(10,2), active"),
		table(t, "tmp_a: id int64, x"),
		table(t, "tmp_b: id int64, x"),
		table(t, "利用者: id int64, 名前, パスワード"),
		table(t, "audit.log: id int64, x"),
		table(t, "active_users(view): id int64"),
		table(t, "odd*name: id int64"),
		table(t, "a/b: id int64"),
	}
}

// measures is a table without a key.
func measures(t *testing.T) connector.Table {
	t.Helper()
	m := table(t, "m: d "+arrow.FixedWidthTypes.Date32.String()+", at timestamp[us], f "+arrow.PrimitiveTypes.Float64.String())
	m.Key = nil
	for i := range m.Columns {
		m.Columns[i].Native = []string{"date32", "timestamp", "double"}[i]
	}
	return m
}

// rule makes a rule in the given line.
func rule(line int, pattern string, s Settings) Rule {
	return Rule{Pattern: pattern, Settings: s, At: conf.Place{File: "k.yml", Line: line, Column: 3}, Path: conf.Join("tables", pattern)}
}

func skipped(line int, pattern string) Rule {
	r := rule(line, pattern, Settings{})
	r.Skip = true
	return r
}

// show is a selection on one line.
func show(s Selection) string {
	var columns []string
	for _, c := range s.Scan.Columns {
		columns = append(columns, c.Name+" "+c.Type.String())
	}
	out := s.Table.Ref()
	if s.Name != out {
		out += " as " + s.Name
	}
	out += " (" + strings.Join(columns, ", ") + ")"
	if len(s.LeftOut) > 0 {
		out += " left out " + strings.Join(s.LeftOut, ", ")
	}
	if s.Scan.Where != "" {
		out += " where " + s.Scan.Where.Reveal()
	}
	if len(s.Scan.Key) > 0 {
		out += " key " + strings.Join(s.Scan.Key, ", ")
	}
	if s.Verify != VerifyAggregates {
		out += " verify " + s.Verify
	}
	return out
}

func TestResolve(t *testing.T) {
	types := func(kv ...string) map[string]ColumnType {
		m := map[string]ColumnType{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = ColumnType(kv[i+1])
		}
		return m
	}
	for _, tc := range []struct {
		name  string
		rules []Rule
		only  string // tables to look at, all when empty
		want  []string
	}{
		{"no rules: every table, no view", nil, "", []string{
			"users (id int64, name utf8, email utf8, active int8) left out password_digest",
			"orders (id int64, user_id int64, total decimal(10,2), active utf8)",
			"tmp_a (id int64, x utf8)", "tmp_b (id int64, x utf8)", "利用者 (id int64, 名前 utf8) left out パスワード",
			"audit.log as audit_log (id int64, x utf8)", "odd*name (id int64)", "a/b (id int64)",
		}},
		{"only what is named", []Rule{rule(1, "orders", Settings{Columns: Columns{Only: []string{"id"}}})}, "", []string{"orders (id int64)"}},
		{"globs skip", []Rule{rule(1, "*", Settings{}), skipped(2, "tmp_*"), skipped(3, "{audit.*,odd*,a/b,利*}")}, "", []string{
			"users (id int64, name utf8, email utf8, active int8) left out password_digest",
			"orders (id int64, user_id int64, total decimal(10,2), active utf8)",
		}},
		{"an exact name wins over a later glob", []Rule{rule(1, "tmp_a", Settings{}), skipped(2, "tmp_*")}, "", []string{"tmp_a (id int64, x utf8)"}},
		{"a later glob wins over an earlier one", []Rule{skipped(1, "tmp_*"), rule(2, "t*_b", Settings{})}, "", []string{"tmp_b (id int64, x utf8)"}},
		{"* comes first wherever it stands", []Rule{skipped(1, "tmp_*"), rule(2, "*", Settings{})}, "tmp_a tmp_b", nil},
		{"a view by its name", []Rule{rule(1, "active_users", Settings{})}, "", []string{"active_users (id int64)"}},
		{"a view is not taken by a glob", []Rule{rule(1, "active*", Settings{})}, "", nil},
		{"another schema", []Rule{rule(1, "audit.log", Settings{Name: "log"})}, "", []string{"audit.log as log (id int64, x utf8)"}},
		{"a star in the name", []Rule{rule(1, `odd\*name`, Settings{Name: "odd"})}, "", []string{"odd*name as odd (id int64)"}},
		{"a slash is nothing special", []Rule{rule(1, "a?b", Settings{})}, "", []string{"a/b (id int64)"}},
		{"settings of all rules combine", []Rule{
			rule(1, "*", Settings{Verify: VerifyFull, Where: "a", Columns: Columns{Drop: []string{"email"}}}),
			rule(2, "users", Settings{Where: "b", Key: []string{"name"}, Columns: Columns{Drop: []string{"active"}}}),
		}, "users", []string{"users (id int64, name utf8) left out password_digest where b key name verify full"}},
		{"a later only takes back an earlier drop", []Rule{
			rule(1, "*", Settings{Columns: Columns{Drop: []string{"email"}}}),
			rule(2, "users", Settings{Columns: Columns{Only: []string{"email", "id"}}}),
		}, "users", []string{"users (id int64, email utf8)"}},
		{"a later drop takes from an earlier only", []Rule{
			rule(1, "us*", Settings{Columns: Columns{Only: []string{"email", "id"}}}),
			rule(2, "users", Settings{Columns: Columns{Drop: []string{"email"}}}),
		}, "users", []string{"users (id int64)"}},
		{"a credential is taken when included", []Rule{rule(1, "users", Settings{Columns: Columns{Include: []string{"password_digest"}}})}, "",
			[]string{"users (id int64, name utf8, email utf8, password_digest utf8, active int8)"}},
		{"a credential is taken when in only", []Rule{rule(1, "users", Settings{Columns: Columns{Only: []string{"password_digest"}}})}, "",
			[]string{"users (password_digest utf8)"}},
		{"a credential is taken when typed", []Rule{rule(1, "利用者", Settings{Columns: Columns{Types: types("パスワード", "text")}})}, "",
			[]string{"利用者 (id int64, 名前 utf8, パスワード utf8)"}},
		{"a dropped credential is not left out but dropped", []Rule{rule(1, "users", Settings{Columns: Columns{Drop: []string{"password_digest"}}})}, "",
			[]string{"users (id int64, name utf8, email utf8, active int8)"}},
		{"types", []Rule{rule(1, "users", Settings{Columns: Columns{Types: types("active", "boolean", "id", "text")}})}, "",
			[]string{"users (id utf8, name utf8, email utf8, active bool) left out password_digest"}},
		{"a glob's key applies where it exists", []Rule{rule(1, "*", Settings{Key: []string{"user_id"}})}, "orders users", []string{
			"users (id int64, name utf8, email utf8, active int8) left out password_digest",
			"orders (id int64, user_id int64, total decimal(10,2), active utf8) key user_id",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := Job{File: "k.yml", Tables: tc.rules, Verify: VerifyAggregates}
			got, err := j.Resolve(sample(t))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, s := range got {
				if tc.only == "" || strings.Contains(" "+tc.only+" ", " "+s.Table.Ref()+" ") {
					lines = append(lines, show(s))
				}
			}
			if diff := cmp.Diff(tc.want, lines); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResolveProblems(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rules []Rule
		want  string
	}{
		{"no such table", []Rule{rule(4, "usres", Settings{})}, "k.yml:4:3: tables.usres: app on db1 has no such table (did you mean users?)"},
		{"a skipped table must exist, too", []Rule{rule(1, "*", Settings{}), skipped(4, "order")}, "k.yml:4:3: tables.order: app on db1 has no such table (did you mean orders?)"},
		{"no such column", []Rule{rule(4, "users", Settings{Columns: Columns{Drop: []string{"id", "emial"}}})},
			"k.yml:4:3: tables.users.columns.drop[1]: emial: users has no such column (did you mean email?)"},
		{"no such key", []Rule{rule(4, "users", Settings{Key: []string{"uid"}})}, "k.yml:4:3: tables.users.key[0]: uid: users has no such column (did you mean id?)"},
		{"no table of a glob has the column", []Rule{rule(4, "tmp_*", Settings{Columns: Columns{Only: []string{"x", "id"}, Types: map[string]ColumnType{"y1": Text}}})},
			"k.yml:4:3: tables.\"tmp_*\".columns.types.y1: y1: no table that matches has such a column"},
		{"not a number", []Rule{rule(4, "orders", Settings{Columns: Columns{Types: map[string]ColumnType{"total": Boolean}}})},
			"k.yml:4:3: tables.orders.columns.types.total: orders.total is decimal128(10,2): only whole numbers can become boolean"},
		{"the same name twice", []Rule{rule(4, "users", Settings{Name: "orders"}), rule(5, "orders", Settings{})},
			"k.yml:4:3: tables.users.name: users and orders would both be orders at the destination: give one of them another name"},
		{"nothing left", []Rule{rule(4, "tmp_a", Settings{Columns: Columns{Drop: []string{"id", "x"}}})}, "k.yml:4:3: tables.tmp_a.columns: leaves no column of tmp_a"},
		{"key left out", []Rule{rule(4, "users", Settings{Key: []string{"email"}, Columns: Columns{Drop: []string{"email"}}})},
			"k.yml:4:3: tables.users.key[0]: email identifies the rows of users, but the columns taken leave it out"},
		{"append without anything new", []Rule{rule(4, "users", Settings{Mode: connector.Append})},
			"k.yml:4:3: tables.users.mode: each run would add every row of users again: name a cursor (a column that only grows), a where that meets only new rows, or say append: snapshot to keep each run's rows apart"},
		{"a cursor without append", []Rule{rule(4, "users", Settings{Cursor: "id"})},
			"k.yml:4:3: tables.users.cursor: mode replace takes users without a cursor: say mode: append or merge, or remove this line"},
		{"append without append", []Rule{rule(4, "users", Settings{Append: Snapshot})},
			"k.yml:4:3: tables.users.append: mode of users is replace: say mode: append, or remove this line"},
		{"a snapshot of new rows", []Rule{rule(4, "users", Settings{Mode: connector.Append, Cursor: "id", Append: Snapshot})},
			"k.yml:4:3: tables.users.append: a snapshot is all rows of users, a cursor the new ones only: remove one of the two"},
		{"no such cursor", []Rule{rule(4, "users", Settings{Mode: connector.Append, Cursor: "ident"})},
			"k.yml:4:3: tables.users.cursor: ident: users has no such column"},
		{"a cursor one table of a glob lacks", []Rule{rule(4, "{users,orders}", Settings{Mode: connector.Append, Cursor: "user_id"})},
			"k.yml:4:3: tables.\"{users,orders}\".cursor: users has no column user_id"},
		{"a cursor without order", []Rule{rule(4, "m", Settings{Mode: connector.Append, Cursor: "f"})},
			"k.yml:4:3: tables.m.cursor: m.f is double: a cursor is a whole number, a decimal, a date, a timestamp or text"},
		{"merge without a key", []Rule{rule(4, "m", Settings{Mode: connector.Merge})},
			"k.yml:4:3: tables.m.mode: merge finds rows by their key, and none is known of m: name one with key, and take its columns"},
		{"overwrite of what", []Rule{rule(4, "m", Settings{Mode: connector.Overwrite})},
			"k.yml:4:3: tables.m.mode: overwrite puts partitions of m in place of others: say which with partition: column/day"},
		{"a partition that is no time", []Rule{rule(4, "users", Settings{Partition: "id/day"})},
			"k.yml:4:3: tables.users.partition: users.id is int64: it can't be divided by the day"},
		{"a day in hours", []Rule{rule(4, "m", Settings{Partition: "d/hour"})},
			"k.yml:4:3: tables.m.partition: m.d is date32: it can't be divided by the hour"},
		{"expiry of what", []Rule{rule(4, "m", Settings{ExpireDays: 30})},
			"k.yml:4:3: tables.m.expire_days: m has no partitions to go away: name a column with partition, or remove this line"},
		{"a partition left out", []Rule{rule(4, "m", Settings{Partition: "d", Columns: Columns{Drop: []string{"d"}}})},
			"k.yml:4:3: tables.m.partition: d arranges the rows of m, but the columns taken leave it out"},
		{"two columns of one name", []Rule{rule(4, "users", Settings{Columns: Columns{Rename: map[string]string{"email": "name"}}})},
			"k.yml:4:3: tables.users.columns.rename.email: name and email of users would both be name at the destination"},
		{"a rename of nothing", []Rule{rule(4, "users", Settings{Columns: Columns{Rename: map[string]string{"emial": "e"}}})},
			"k.yml:4:3: tables.users.columns.rename.emial: emial: users has no such column (did you mean email?)"},
		{"all at once", []Rule{rule(4, "usres", Settings{}), rule(5, "tmp_a", Settings{Key: []string{"z"}})},
			"k.yml:4:3: tables.usres: app on db1 has no such table (did you mean users?)\nk.yml:5:3: tables.tmp_a.key[0]: z: tmp_a has no such column (did you mean x?)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := Job{File: "k.yml", Source: End{Place: "app on db1"}, Tables: tc.rules}
			_, err := j.Resolve(append(sample(t), measures(t)))
			if err == nil {
				t.Fatalf("no error, want %q", tc.want)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
			if fault.From(err).Code != "config.invalid" {
				t.Errorf("code %s", fault.From(err).Code)
			}
		})
	}
}

func TestProblemsStandWhereTheValueStands(t *testing.T) {
	j := Job{Tables: []Rule{rule(4, "users", Settings{Columns: Columns{Drop: []string{"emial"}}})}, Origins: conf.Origins{
		"tables.users.columns.drop[0]": {From: "k.yml:7", Value: "emial", Place: conf.Place{File: "k.yml", Line: 7, Column: 9}},
	}}
	_, err := j.Resolve(sample(t))
	if got, want := fmt.Sprint(err), "k.yml:7:9: tables.users.columns.drop[0]: emial: users has no such column (did you mean email?)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestYearIsNoBoolean(t *testing.T) {
	tab := table(t, "t: y uint16")
	tab.Columns[0].Kind = batch.KindYear
	j := Job{Tables: []Rule{rule(1, "t", Settings{Columns: Columns{Types: map[string]ColumnType{"y": Boolean}}})}}
	if _, err := j.Resolve([]connector.Table{tab}); err == nil {
		t.Error("a year became a boolean")
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name string
		rule Rule
		want string
	}{
		{"fine", rule(1, "users", Settings{Name: "u", Columns: Columns{Only: []string{"a"}, Types: map[string]ColumnType{"a": Text}}}), ""},
		{"only and drop", rule(1, "users", Settings{Columns: Columns{Only: []string{"a"}, Drop: []string{"b"}}}),
			"k.yml:1:3: tables.users.columns.drop: only and drop can't stand together: only already leaves out all others"},
		{"included and dropped", rule(1, "users", Settings{Columns: Columns{Include: []string{"a"}, Drop: []string{"a"}}}),
			"k.yml:1:3: tables.users.columns.include[0]: a is in drop, too"},
		{"included beside only", rule(1, "users", Settings{Columns: Columns{Include: []string{"a"}, Only: []string{"b"}}}),
			"k.yml:1:3: tables.users.columns.include[0]: a is not in only: name it there, which is enough"},
		{"typed and dropped", rule(1, "users", Settings{Columns: Columns{Drop: []string{"a"}, Types: map[string]ColumnType{"a": Text}}}),
			"k.yml:1:3: tables.users.columns.types.a: a is in drop, too"},
		{"a glob with a name", rule(1, "u*", Settings{Name: "x"}), `k.yml:1:3: tables."u*".name: a name is for one table: write the table's own name instead of u*`},
		{"not a pattern", rule(1, "u[", Settings{}), `k.yml:1:3: tables."u[": u[ is not a pattern: *, ?, [a-z] and {a,b} match names, \ takes the next character as it is`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := Job{Tables: []Rule{tc.rule}}
			if got := j.Check(connector.Caps{}, connector.Caps{}).Error(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestRenamed follows a column's new name into the key and the layout.
func TestRenamed(t *testing.T) {
	j := Job{Tables: []Rule{
		rule(1, "*", Settings{Columns: Columns{Rename: map[string]string{"d": "day", "f": "x"}}}),
		rule(2, "m", Settings{
			Mode: connector.Append, Cursor: "at", Key: []string{"d"}, Partition: "d/month", Cluster: []string{"at", "f"}, ExpireDays: 400,
			Columns: Columns{Rename: map[string]string{"f": "value"}},
		}),
	}}
	got, err := j.Resolve([]connector.Table{measures(t)})
	if err != nil {
		t.Fatal(err)
	}
	s := got[0]
	if diff := cmp.Diff([]string{"day", "at", "value"}, s.Names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"day"}, s.Key); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(connector.Layout{Partition: "day", Unit: "month", Cluster: []string{"at", "value"}, ExpireDays: 400}, s.Layout); diff != "" {
		t.Error(diff)
	}
	if s.Scan.Cursor != "at" || s.Scan.Columns[0].Name != "d" {
		t.Errorf("the source is asked for %+v", s.Scan)
	}
}

// TestCheckAbilities wants what a destination can't do told before anything is read.
func TestCheckAbilities(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  Settings
		caps connector.Caps
		want string
	}{
		{"has it", Settings{Mode: connector.Append, Partition: "a/hour", Cluster: []string{"a"}}, connector.Caps{Append: true, Layout: true}, ""},
		{"no such mode", Settings{Mode: connector.Merge}, connector.Caps{Append: true}, "k.yml:1:3: tables.t.mode: duckdb has no mode merge, only replace, append"},
		{"no partitions", Settings{Partition: "a"}, connector.Caps{}, "k.yml:1:3: tables.t.partition: duckdb does not partition tables: remove this line"},
		{"no clusters", Settings{Cluster: []string{"a"}}, connector.Caps{}, "k.yml:1:3: tables.t.cluster: duckdb does not cluster tables: remove this line"},
		{"nothing goes away", Settings{ExpireDays: 3}, connector.Caps{}, "k.yml:1:3: tables.t.expire_days: duckdb does not partition tables: remove this line"},
		{"no such unit", Settings{Partition: "a/dya"}, connector.Caps{Layout: true},
			`k.yml:1:3: tables.t.partition: want column/unit with a unit of hour, day, month, year, got "dya" (did you mean day?)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := Job{Destination: End{Use: "duckdb"}, Tables: []Rule{rule(1, "t", tc.set)}}
			if got := j.Check(connector.Caps{}, tc.caps).Error(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
