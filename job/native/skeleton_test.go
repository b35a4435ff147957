package native

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

func discovered() []connector.Table {
	column := func(names ...string) []connector.Column {
		var out []connector.Column
		for _, n := range names {
			out = append(out, connector.Column{Name: n, Type: connector.Type{}})
		}
		return out
	}
	return []connector.Table{
		{Name: "users", Rows: 12_345, Bytes: 3 << 20, Comment: "people\nwho log in: \"all\" # of them", Columns: column("id", "password_digest", "reset_token")},
		{Name: "利用者", Rows: -1, Bytes: -1, Comment: "生徒", Columns: column("id", "パスワード")},
		{Name: "123", Rows: 0, Bytes: 0},
		{Name: "null", Rows: -1, Bytes: -1},
		{Name: "with space", Schema: "audit", Rows: -1, Bytes: -1},
		{Name: "quote\"and: colon # hash", Rows: -1, Bytes: -1},
		{Name: "line\nbreak", Rows: -1, Bytes: -1},
		{Name: "odd*name", Rows: -1, Bytes: -1},
		{Name: "active_users", View: true, Rows: -1, Bytes: -1},
	}
}

func skeleton(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := registry()["server"]
	spec, err := c.FromURL(u)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Skeleton(Draft{Connector: c, Spec: spec, Tables: discovered()})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestSkeletonLoads(t *testing.T) {
	for _, raw := range []string{"server://etl:hunter2@db1/app?tls=off", "server://etl@db1/app", "server://$%7Bx%7D:hunter2@db1/app"} {
		text := skeleton(t, raw)
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s: the password is in the file:\n%s", raw, text)
		}
		j, err := compile(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", raw, err, text)
		}
		u, _ := url.Parse(raw)
		spec := j.Source.Spec.(*serverSpec)
		if err := conf.Resolve(t.Context(), spec, conf.LocalStores("", lookup)); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if spec.Host != "db1" || spec.User != u.User.Username() || spec.TLS.Mode != u.Query().Get("tls") {
			t.Errorf("%s: loaded as %+v", raw, spec)
		}
		if _, has := u.User.Password(); has != (spec.Password.Reveal() == "s3cret") {
			t.Errorf("%s: password given %v, loaded %q", raw, has, spec.Password.Reveal())
		}
	}
}

// TestSkeletonLoadsUncommented takes the marks away from every table, as a person would.
func TestSkeletonLoadsUncommented(t *testing.T) {
	text := skeleton(t, "server://etl:hunter2@db1/app")
	_, tail, _ := strings.Cut(text, "  # Found: 9.")
	head, _, _ := strings.Cut(text, "  # Found: 9.")
	lines := regexp.MustCompile(`(?m)^  # (.*: \{\}( # .*)?)$`).FindAllStringSubmatch(tail, -1)
	if len(lines) != len(discovered()) {
		t.Fatalf("%d lines of tables, want %d:\n%s", len(lines), len(discovered()), text)
	}
	for _, l := range lines {
		head += "  " + l[1] + "\n"
	}
	j, err := compile(head)
	if err != nil {
		t.Fatalf("%v\n%s", err, head)
	}
	selected, err := j.Resolve(discovered())
	if err != nil || len(selected) != len(discovered()) {
		t.Errorf("%d selected, %v; want %d", len(selected), err, len(discovered()))
	}
}

func TestSkeletonTellsWhatItKnows(t *testing.T) {
	text := skeleton(t, "server://etl@db1/app")
	for _, want := range []string{
		`# users: {} # about 12,345 rows; 3.0 MiB; people who log in: "all" # of them; left out: password_digest, reset_token`,
		`# 利用者: {} # 生徒; left out: パスワード`,
		`# active_users: {} # a view: taken only if named here`,
		`# "123": {} # about 0 rows`,
		`    # password: secret:env:KITAMAE_PASSWORD`,
		`    # port: 3306`,
		`{columns: {include: [name]}}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %s in\n%s", want, text)
		}
	}
}

func TestWriterWritesDocs(t *testing.T) {
	w := &writer{docs: conf.Docs{}}
	w.comment("  ", strings.Repeat("word ", 30))
	if got := strings.Count(w.out.String(), "\n  # "); got != 1 {
		t.Errorf("wrapped into %d lines, want 2:\n%s", got+1, w.out.String())
	}
}
