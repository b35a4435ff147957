package guide

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestUnattended follows docs/guides/unattended.md: state in a bucket, once per scheduled time, some tables only, Slack in Japanese, and serve with its metrics.
func TestUnattended(t *testing.T) {
	f := newFargate(t, "ap-northeast-3")
	lake, s := servertest.S3(t), servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	users := []string{"CREATE TABLE users (id int PRIMARY KEY)", "INSERT INTO users VALUES (1)"}
	s.Exec(t, db, append(users, "CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE log_a (id int PRIMARY KEY)")...)
	told := make(chan string, 8)
	slack := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		told <- message.Text
	}))
	defer slack.Close()
	t.Setenv("SLACK_WEBHOOK", slack.URL)
	t.Setenv("DB_PASSWORD", s.Password)
	r, guide := &reader{f: f, dir: t.TempDir()}, read(t, "docs/guides/unattended.md")
	source := fmt.Sprintf("source:\n  mysql: {host: %s, port: %d, user: %s, password: \"secret:env:DB_PASSWORD\", database: %s, tls: {mode: \"off\"}}\n", s.Host, s.Port, s.User, db)
	r.put(t, source+"tables: {users: {}, orders: {}, log_a: {}}\n"+guide.lines(t, "schedule:", "state:", "notify:", "  slack:", "  language:"), "s3://acme-data/kitamae", lake+"/kitamae")

	once := commands(guide.lines(t, "kitamae run --scheduled-time"))[0]
	r.well(t, once, "published")
	r.well(t, once, "done already")
	r.well(t, commands(guide.lines(t, "kitamae run --table"))[0], "orders", "log_a")
	s.Exec(t, db, "DROP TABLE users")
	later := strings.Replace(once, "T05:", "T06:", 1)
	if code, said := r.do(t, later); code != 2 {
		t.Errorf("without a table the run ended with %d:\n%s", code, said)
	}
	s.Exec(t, db, users...)
	r.well(t, later, "published")
	for _, want := range []string{"失敗しました", "復旧しました"} {
		select {
		case got := <-told:
			if !strings.Contains(got, want) {
				t.Errorf("Slack was told %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Errorf("nobody was told %q", want)
		}
	}
	serves(t, r, guide)
}

// serves starts `kitamae serve`, asks it what the guide says it answers, and ends it.
func serves(t *testing.T, r *reader, guide page) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "serve", "--listen", address)
	var said strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, append(os.Environ(), childVar+"=1"), &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	metrics := ""
	for deadline := time.Now().Add(time.Minute); metrics == "" && time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if ask(address+"/healthz") != "" {
			metrics = ask(address + "/metrics")
		}
	}
	for _, name := range []string{"kitamae_data_timestamp_seconds", "kitamae_next_run_timestamp_seconds", "kitamae_run_in_progress"} {
		if !strings.Contains(guide.text, name) || !strings.Contains(metrics, name+" ") {
			t.Errorf("no %s in\n%s", name, metrics)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve ended with %v:\n%s", err, said.String())
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		t.Error("serve does not end")
	}
}

// ask is what a server answers, "" as long as it does not.
func ask(address string) string {
	resp, err := http.Get("http://" + address)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}
