package image_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/deploy/image"
	"github.com/kitamae/kitamae/internal/servertest"
)

const (
	// limit is what the container may use: the smallest memory a Fargate task can have.
	limit = 512 << 20
	// sizeLimit is what the image may weigh, compressed.
	sizeLimit = 40_000_000
	// The table is larger than the container's memory.
	tableRows, rowBytes = 550_000, 1_000
)

// TestContainer makes the image of the binary that `make build` builds and runs it in a container as its own user,
// with 512 MiB of memory and no swap: it moves more than that from a real MariaDB.
func TestContainer(t *testing.T) {
	binary := "../../bin/kitamae" // where it is built anyway: the linker, which takes a minute, leaves alone what is up to date
	make := exec.Command("make", "build", "BIN=bin/kitamae")
	make.Dir = "../.."
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	p, err := image.Inspect(binary)
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.New([]image.Program{p}, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the image is %.1f MB", float64(m.Parts[0].Bytes)/1e6)
	if m.Parts[0].Bytes > sizeLimit {
		t.Errorf("the image is %d bytes, more than %d", m.Parts[0].Bytes, sizeLimit)
	}
	e := newEngine(t)
	folder := filepath.Join(e.dir, "image")
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	id := e.run("pull", "-q", "oci:"+folder)

	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE 記録 (id int PRIMARY KEY, 本文 varchar(4000)) CHARACTER SET utf8mb4",
		fmt.Sprintf("INSERT INTO 記録 SELECT seq, repeat(md5(seq), %d) FROM seq_1_to_%d", rowBytes/32, tableRows))
	for _, dest := range []string{"duckdb: {path: kura.duckdb}", "files: {dir: out, format: parquet}"} {
		name, _, _ := strings.Cut(dest, ":")
		t.Run(name, func(t *testing.T) {
			data := dataFolder(t)
			config := fmt.Sprintf("source:\n  mysql: {host: 127.0.0.1, port: %d, user: %s, password: '${DB_PASSWORD}', database: %s, tls: {mode: off}}\ndestination:\n  %s\n",
				s.Port, s.User, db, dest)
			if err := os.WriteFile(filepath.Join(data, "kitamae.yml"), []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			c := e.start(t, id, data, s.Password, "run")
			if c.exit != 0 {
				t.Fatalf("exit code %d\n%s", c.exit, c.output)
			}
			if c.limit != limit {
				t.Errorf("the container's memory limit was %d, want %d: this run proves nothing", c.limit, limit)
			}
			t.Logf("at most %d MiB of %d, the page cache included", c.peak>>20, limit>>20)
			if !strings.Contains(c.output, "550,000") || !strings.Contains(c.output, "verified") {
				t.Errorf("the summary:\n%s", c.output)
			}
			assertOwner(t, data)
		})
	}
	t.Run("by the Dockerfile", func(t *testing.T) { dockerfile(t, e, binary) })
	t.Run("no shell", func(t *testing.T) {
		if out, err := e.command("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
			"--entrypoint", "/bin/sh", id, "-c", "true").CombinedOutput(); err == nil {
			t.Errorf("a shell started: %s", out)
		}
	})
}

// dataFolder is a folder that the container's user, whoever that is out here, may write to.
func dataFolder(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	for dir := data; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(data, 0o777); err != nil {
		t.Fatal(err)
	}
	return data
}

// assertOwner sees that what the container wrote is not root's.
func assertOwner(t *testing.T, data string) {
	t.Helper()
	out, err := exec.Command("find", data, "-mindepth", "1", "-not", "-name", "kitamae.yml", "-uid", "0").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("files of root: %s (%v)", out, err)
	}
}

// engine is podman with a store of its own.
type engine struct {
	t    *testing.T
	dir  string // its name is in lower case, as podman wants of a folder with an image
	base []string
}

func newEngine(t *testing.T) engine {
	t.Helper()
	if out, err := exec.Command("../../scripts/container.sh").CombinedOutput(); err != nil {
		t.Fatalf("container.sh: %v\n%s", err, out)
	}
	dir, err := os.MkdirTemp("", "kitamae-podman")
	if err != nil {
		t.Fatal(err)
	}
	e := engine{t, dir, []string{"--root", filepath.Join(dir, "store"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"}}
	t.Cleanup(func() {
		e.run("rm", "--all", "--force")
		e.run("rmi", "--all", "--force")
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e engine) command(args ...string) *exec.Cmd {
	return exec.Command("podman", append(slices.Clone(e.base), args...)...)
}

func (e engine) run(args ...string) string {
	e.t.Helper()
	cmd := e.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("podman %v: %v\n%s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// ended is what became of a container.
type ended struct {
	exit        int
	output      string
	limit, peak int64
}

// start runs a container to its end and watches its control group meanwhile.
func (e engine) start(t *testing.T, image, data, password string, args ...string) ended {
	t.Helper()
	e.t = t
	id := e.run(append([]string{"run", "--detach", "--network", "host", "--memory", strconv.Itoa(limit), "--memory-swap", strconv.Itoa(limit),
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--env", "DB_PASSWORD=" + password, "--volume", data + ":" + "/data", image}, args...)...)
	var c ended
	group := controlGroup(t, e.run("inspect", "--format", "{{.State.Pid}}", id))
	done := make(chan struct{})
	var code string
	go func() {
		defer close(done)
		out, _ := e.command("wait", id).Output() // an empty answer fails below
		code = strings.TrimSpace(string(out))
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-tick.C:
			c.limit = max(c.limit, number(group, "memory.limit_in_bytes", "memory.max"))
			c.peak = max(c.peak, number(group, "memory.max_usage_in_bytes", "memory.peak"))
		}
	}
	var err error
	if c.exit, err = strconv.Atoi(code); err != nil {
		t.Fatalf("podman wait: %q", code)
	}
	out, err := e.command("logs", id).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	c.output = string(out)
	return c
}

// controlGroup is the folder of a process's memory group, in either version.
func controlGroup(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if errors.Is(err, fs.ErrNotExist) {
		return "" // it has ended already: its output says why
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case strings.Contains(f[1], "memory"):
			return "/sys/fs/cgroup/memory" + f[2]
		case f[0] == "0" && f[1] == "" && f[2] != "/":
			return "/sys/fs/cgroup" + f[2]
		}
	}
	t.Fatalf("no memory group in %s", text)
	return ""
}

// number reads the first of the group's files that is there; 0 once the group is gone.
func number(group string, names ...string) int64 {
	for _, name := range names {
		if text, err := os.ReadFile(filepath.Join(group, name)); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			return n
		}
	}
	return 0
}
