package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// project is a folder with a kitamae.yml, as a user has it.
type project struct {
	dir    string
	source map[string]any // the connector's name and its keys
	secret string         // what ${E2E_PASSWORD} stands for
	reader *sql.DB        // over the file published last

	mu      sync.Mutex
	events  []run.Event
	observe func(run.Event) // besides
}

// newProject has db on s as its source.
func newProject(t testing.TB, s servertest.Server, db string) *project {
	t.Helper()
	spec := map[string]any{"host": s.Host, "port": s.Port, "user": s.User, "password": "${E2E_PASSWORD}", "database": db}
	return &project{dir: t.TempDir(), source: map[string]any{s.Kind: spec}, secret: s.Password}
}

// with sets one key of the source.
func (p *project) with(key string, value any) *project {
	for _, spec := range p.source {
		spec.(map[string]any)[key] = value
	}
	return p
}

// write makes kitamae.yml: the source, and lines for all else.
func (p *project) write(t testing.TB, extra ...string) string {
	t.Helper()
	source, err := json.Marshal(p.source) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.dir, "kitamae.yml")
	text := "source: " + string(source) + "\n" + strings.Join(extra, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (p *project) lookup(name string) (string, bool) {
	if name == "E2E_PASSWORD" {
		return p.secret, true
	}
	return os.LookupEnv(name)
}

// request is what a run in this process needs.
func (p *project) request(t testing.TB, extra ...string) run.Request {
	t.Helper()
	registry := all.Registry()
	j, err := native.Load(p.write(t, extra...), registry, p.lookup)
	if err != nil {
		t.Fatal(err)
	}
	return run.Request{
		Job: j, Registry: registry, Version: "e2e", State: state.New(filepath.Join(p.dir, ".kitamae", "kitamae")),
		Observe: func(e run.Event) {
			p.mu.Lock()
			p.events = append(p.events, e)
			observe := p.observe
			p.mu.Unlock()
			if observe != nil {
				observe(e)
			}
		},
	}
}

// drive runs the config, which must publish every table.
func (p *project) drive(t testing.TB, extra ...string) *run.Report {
	t.Helper()
	r, err := run.Drive(t.Context(), p.request(t, extra...))
	if err != nil {
		t.Fatalf("run: %v\n%s", err, describe(r))
	}
	if r.Status != run.StatusPublished {
		t.Fatalf("run: %s\n%s", r.Status, describe(r))
	}
	return r
}

// happened says how often the project's runs told of kind.
func (p *project) happened(kind run.EventKind) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// command is `kitamae` in the project's folder, in a process of its own.
func (p *project) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), childVar+"=1", "E2E_PASSWORD="+p.secret, "TZ=America/New_York")
	return cmd
}

// duckdb opens the published file with a stock driver, and closes what it opened before: one
// process sees one state of a file while it has it open.
func (p *project) duckdb(t testing.TB) *sql.DB {
	t.Helper()
	if p.reader != nil {
		_ = p.reader.Close()
	}
	p.reader = openDuckDB(t, filepath.Join(p.dir, "kura.duckdb")+"?access_mode=read_only")
	return p.reader
}

func openDuckDB(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.Exec("SET TimeZone = 'UTC'; SET memory_limit = '512MB'; SET threads = 2"); err != nil {
		t.Fatal(err)
	}
	return db
}

// one is the answer to a question with one answer, as text.
func one(t testing.TB, db *sql.DB, query string, args ...any) string {
	t.Helper()
	var v any
	if err := db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return fmt.Sprint(v)
}

// published is manifest.json of a files destination, as far as its readers need it.
type published struct {
	Tables []struct {
		Name    string `json:"name"`
		Comment string `json:"comment"`
		Rows    int64  `json:"rows"`
		Columns []struct {
			Name    string `json:"name"`
			Comment string `json:"comment"`
		} `json:"columns"`
		Files []struct {
			Path string `json:"path"`
		} `json:"files"`
	} `json:"tables"`
}

// files are the published files of a table, by the manifest in dir below the project.
func (p *project) files(t testing.TB, dir, table string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m published
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, tab := range m.Tables {
		for _, f := range tab.Files {
			if tab.Name == table {
				out = append(out, filepath.Join(p.dir, dir, filepath.FromSlash(f.Path)))
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("the manifest names no file of %s", table)
	}
	return out
}

func describe(r *run.Report) string {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// tableReport is the report's line of a table, by its name at the source.
func tableReport(t testing.TB, r *run.Report, source string) run.TableReport {
	t.Helper()
	for _, line := range r.Tables {
		if line.Source == source {
			return line
		}
	}
	t.Fatalf("no line of %s in\n%s", source, describe(r))
	return run.TableReport{}
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// quoteFor quotes an identifier in the server's own way.
func quoteFor(s servertest.Server, name string) string {
	if s.Kind == "mysql" {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return ident(name)
}
