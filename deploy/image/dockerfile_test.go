package image_test

import (
	"archive/tar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// standIn plays `make build` in the Dockerfile's first stage, whose image can't be had here: the binary lies there already. It wants the
// sources, and nothing that .dockerignore keeps out.
const standIn = `#!/bin/sh
set -e
[ "$1" = build ]
out=${2#BIN=}
[ -e go.mod ] && [ -e cmd/kitamae/main.go ] && [ ! -e .git ] && [ ! -e .servers ] && [ ! -e bin ]
install -D -m 0755 /built/kitamae "$out"
`

var library = regexp.MustCompile(`/[^ ]+`)

// dockerfile has podman build the repository's Dockerfile, with a stand-in for its first image, and runs what comes out.
func dockerfile(t *testing.T, e engine, binary string) {
	e.t = t
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	from := regexp.MustCompile(`(?m)^FROM (\S+) AS build$`).FindSubmatch(text)
	if from == nil {
		t.Fatalf("no first stage in\n%s", text)
	}
	base := filepath.Join(e.dir, "base.tar")
	if err := writeBase(base, binary); err != nil {
		t.Fatal(err)
	}
	e.run("import", "-q", base, "docker.io/library/"+string(from[1]))
	id := e.run("build", "-q", "--pull=never", "--isolation", "chroot", "--network", "host", "../..")
	got := e.run("inspect", "--format", "{{.Config.User}} {{.Config.WorkingDir}} {{.Config.Entrypoint}} {{.Config.Env}}", id)
	if !strings.HasPrefix(got, "65532:65532 /data [/kitamae] ") || !strings.Contains(got, "HOME=/data") {
		t.Errorf("the image is configured as %s", got)
	}
	said := e.run("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", id, "demo", "--rows", "1000")
	if !strings.Contains(said, "published") {
		t.Errorf("the demo in its container:\n%s", said)
	}
}

// writeBase packs what the first stage's commands need: a shell, a few programs with their libraries, and the stand-in.
func writeBase(path, binary string) error {
	files := map[string]string{"built/kitamae": binary, "etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt"}
	for _, program := range []string{"/bin/sh", "/usr/bin/install"} {
		files[strings.TrimPrefix(program, "/")] = program
		out, err := exec.Command("ldd", program).Output()
		if err != nil {
			return err
		}
		for _, lib := range library.FindAllString(string(out), -1) {
			files[strings.TrimPrefix(lib, "/")] = lib
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for name, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := add(w, name, text); err != nil {
			return err
		}
	}
	if err := add(w, "usr/bin/make", []byte(standIn)); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777}); err != nil {
		return err
	}
	return w.Close()
}

func add(w *tar.Writer, name string, text []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}
