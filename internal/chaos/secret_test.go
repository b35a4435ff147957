package chaos

import (
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/kitamae/kitamae/internal/servertest"
)

// planted is a secret that nobody can mistake for anything else.
const planted = "Pl4nted-n3ver-t0-be-seen"

// TestPlantedSecrets puts a secret wherever a config can hold one, lets commands succeed and fail with it, in both log
// formats, and looks for it in all that was written: output, state, ledger, destination.
func TestPlantedSecrets(t *testing.T) {
	my, pg := servertest.MariaDB(t), servertest.Postgres(t)
	w := newWorld(t, my, 50)
	user := "planted_" + w.db[len(w.db)-6:]
	my.Exec(t, "", "CREATE USER "+user+"@'%' IDENTIFIED BY '"+planted+"'", "GRANT ALL ON *.* TO "+user+"@'%'")
	t.Cleanup(func() { my.Exec(t, "", "DROP USER "+user+"@'%'") })
	pg.Exec(t, "", "CREATE ROLE "+user+" SUPERUSER LOGIN PASSWORD '"+planted+"'")
	t.Cleanup(func() { pg.Exec(t, "", "DROP ROLE "+user) })
	dest := servertest.FreshDatabase(t, pg) // dropped before the role that owns what is in it
	source := func(who, password string) string {
		return fmt.Sprintf("source: {mysql: {host: %s, port: %d, user: %s, password: %s, database: %s}}\n", my.Host, my.Port, who, password, w.db)
	}
	toPostgres := func(who, password string) string {
		return fmt.Sprintf("destination: {postgres: {host: %s, port: %d, user: %s, password: %s, database: %s}}\n", pg.Host, pg.Port, who, password, dest)
	}
	fromPostgres := func(who, password string) string {
		return fmt.Sprintf("source: {postgres: {host: %s, port: %d, user: %s, password: %s, database: %s}}\n", pg.Host, pg.Port, who, password, dest)
	}
	const tables = "tables: {\"*\": {}}\n"
	where := func(condition string) string { return `tables: {users: {where: "` + condition + `"}, mark: {}}` + "\n" }
	toBigQuery := func(auth string) string {
		return fmt.Sprintf("destination: {bigquery: {project: p, dataset: d, endpoint: %q, auth: {credentials: %s}}}\n", servertest.BigQuery(t), auth)
	}
	const mail = "notify: {success: true, email: {to: [a@example.com], from: b@example.com, smtp: {host: 127.0.0.1, port: 1, user: u, password: secret:env:PLANTED}}}\n"
	hooks := func(url string) string {
		return fmt.Sprintf("notify: {success: true, slack: %[1]q, webhook: {url: %[1]q, key: secret:env:PLANTED}}\n", url)
	}
	for _, tc := range []struct {
		name, config string
		works        bool
	}{
		{"variable", source(user, `"${PLANTED}"`) + tables, true},
		{"reference", source(user, "secret:env:PLANTED") + tables, true},
		{"file", source(user, "secret:file:planted.txt") + "destination: {files: {dir: out}}\n" + tables, true},
		{"in the file itself", source(user, `"`+planted+`"`) + tables, true},
		{"both ends", source(user, "secret:env:PLANTED") + toPostgres(user, "secret:env:PLANTED") + tables, true},
		{"wrong password", source("kitamae", "secret:env:PLANTED") + tables, false},
		{"wrong password, postgres", fromPostgres("kitamae", "secret:env:PLANTED") + tables, false},
		{"wrong password, destination", source(user, "secret:env:PLANTED") + toPostgres("kitamae", "secret:env:PLANTED") + tables, false},
		{"reference mistyped", source(user, "secret:"+planted) + tables, false},
		{"tunnel", strings.Replace(source(user, "secret:env:PLANTED"), "user: ", "ssh: {host: 127.0.0.1, user: u, password: secret:env:PLANTED}, user: ", 1) + tables, false},
		{"where", source(user, "secret:file:planted.txt") + where("name <> '${PLANTED}' OR name IS NULL"), true},
		{"where of postgres", fromPostgres(user, "secret:file:planted.txt") + where("name <> '${PLANTED}' OR name IS NULL"), true},
		{"where that MariaDB can't parse", source(user, "secret:env:PLANTED") + where("name = ${PLANTED} secret"), false},
		{"where without its quotes", source(user, "secret:env:PLANTED") + where(`name = \"${PLANTED}`), false},
		{"where that PostgreSQL can't parse", fromPostgres(user, "secret:env:PLANTED") + where("name = ${PLANTED} secret"), false},
		{"where of another type", fromPostgres(user, "secret:env:PLANTED") + where("id = '${PLANTED}'"), false},
		{"where of a column that is none", fromPostgres(user, "secret:env:PLANTED") + where(`\"${PLANTED}\" = 1`), false},
		{"where of SQLite", "source: {sqlite: {path: app.db}}\n" + where(`${PLANTED} = 1`), false},
		{"BigQuery's credentials", source(user, "secret:env:PLANTED") + toBigQuery("secret:env:PLANTED") + tables, false},
		{"BigQuery's credentials, a key", source(user, "secret:env:PLANTED") + toBigQuery("secret:file:planted.json") + tables, false},
		{"Slack and a webhook", source(user, "secret:env:PLANTED") + hooks("http://127.0.0.1:1/${PLANTED}") + tables, true},
		{"Slack and a webhook, no address", source(user, "secret:env:PLANTED") + hooks("${PLANTED}:// ${PLANTED}") + tables, true},
		{"mail", source(user, "secret:env:PLANTED") + mail + tables, true},
		{"another key's value", strings.Replace(source(user, "secret:env:PLANTED"), fmt.Sprintf("port: %d", my.Port), `port: "${PLANTED}"`, 1) + tables, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &project{dir: t.TempDir(), password: w.server.Password}
			for name, text := range map[string]string{
				"kitamae.yml": tc.config, "planted.txt": planted + "\n",
				"planted.json": `{"type": "service_account", "client_email": "x@p.iam.gserviceaccount.com", "token_uri": "http://127.0.0.1:1/", "private_key": "` + planted + `"}`,
			} {
				if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			sqliteFile(t, filepath.Join(p.dir, "app.db"))
			for _, line := range []string{"plan", "run", "run --log-format json", "query select+1", "preview users", "runs", "runs --json", "doctor", "plan --json", "plan -o saved.json", "apply saved.json",
				"init -f other.yml mysql://" + user + ":" + planted + "@127.0.0.1:1/" + w.db} {
				args := strings.Fields(line)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "+", " ")
				}
				cmd := p.command(t, "kitamae", args...)
				cmd.Env = append(cmd.Env, "PLANTED="+planted)
				o := finish(cmd)
				if strings.Contains(o.output, planted) {
					t.Errorf("%s shows the secret:\n%s", line, o.output)
				}
				if (args[0] == "run" || args[0] == "apply") && (o.code == 0) != tc.works {
					t.Errorf("%s: code %d:\n%s", line, o.code, o.output)
				}
			}
			if strings.HasPrefix(tc.name, "where") && tc.works { // another value is another plan
				cmd := p.command(t, "kitamae", "apply", "saved.json")
				cmd.Env = append(cmd.Env, "PLANTED=another")
				if o := finish(cmd); o.code != 2 || !strings.Contains(o.output, "apply.moved") {
					t.Errorf("a plan of another where was applied: code %d\n%s", o.code, o.output)
				}
			}
			served(t, p)
			nowhere(t, p.dir)
		})
	}
}

// nowhere looks for the secret in every file but those it was put into.
func nowhere(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "kitamae.yml" || strings.HasPrefix(d.Name(), "planted.") {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), planted) {
			t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// served lets `kitamae serve` make up for a run, and looks at what it says to people and machines.
func served(t testing.TB, p *project) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(p.dir, "kitamae.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "planted.yml"), append(config, `schedule: "* * * * *"`+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := p.command(t, "kitamae", "serve", "-f", "planted.yml", "--listen", address)
	cmd.Env = append(cmd.Env, "PLANTED="+planted)
	var said, printed bytes.Buffer
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = &printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if !strings.HasPrefix(lines.Text(), "run ") && !strings.Contains(lines.Text(), "again") && strings.Count(said.String(), "next run at") < 2 {
			continue
		}
		for _, page := range []string{"/healthz", "/metrics"} {
			if res, err := http.Get("http://" + address + page); err == nil {
				_, _ = io.Copy(&said, res.Body)
				_ = res.Body.Close()
			}
		}
		_ = cmd.Process.Signal(os.Interrupt)
		break
	}
	_, _ = io.Copy(&said, stderr)
	_ = cmd.Wait()
	if all := said.String() + printed.String(); strings.Contains(all, planted) {
		t.Errorf("serve shows the secret:\n%s", all)
	}
}

// sqliteFile makes a database with the tables that the conditions name.
func sqliteFile(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE mark (gen INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
}
