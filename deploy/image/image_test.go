package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kitamae/kitamae/deploy/image"
	"github.com/kitamae/kitamae/fault"
)

// small are static Go programs, for images whose content is not what is tested: built once, in a folder that TestMain removes.
var small = map[string]func() (string, error){
	"amd64": sync.OnceValues(func() (string, error) { return build("amd64") }),
	"arm64": sync.OnceValues(func() (string, error) { return build("arm64") }),
}

// build builds the program anew, in a folder of its own.
func build(arch string) (string, error) {
	dir, err := os.MkdirTemp(built, arch)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kitamae")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "./testdata/static")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// built is where programs are built.
var built string

func TestMain(m *testing.M) {
	var err error
	if built, err = os.MkdirTemp("", "kitamae-image"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(built); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// program is the small program for a processor.
func program(t *testing.T, arch string) image.Program {
	t.Helper()
	path, err := small[arch]()
	if err != nil {
		t.Fatal(err)
	}
	p, err := image.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func both(t *testing.T) []image.Program {
	return []image.Program{program(t, "amd64"), program(t, "arm64")}
}

// TestReproducible builds everything twice, the binaries too, in different folders and at different times.
func TestReproducible(t *testing.T) {
	first, err := image.New(both(t), "v1")
	if err != nil {
		t.Fatal(err)
	}
	var programs []image.Program
	for _, arch := range []string{"amd64", "arm64"} {
		path, err := build(arch)
		if err != nil {
			t.Fatal(err)
		}
		p, err := image.Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	for _, p := range programs {
		if err := os.Chtimes(p.Path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	second, err := image.New(programs, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != second.Digest {
		t.Errorf("the same program gave %s and %s", first.Digest, second.Digest)
	}
	other, err := image.New(programs, "v2")
	if err != nil {
		t.Fatal(err)
	}
	if other.Digest == first.Digest {
		t.Error("another version has the same digest")
	}
}

// TestPush uploads to a registry and looks at what a host of either architecture would pull.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	programs := both(t)
	m, err := image.New(programs, "v1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds everything there
		at, err := m.Push(t.Context(), host+"/kitamae:v1", authn.DefaultKeychain)
		if err != nil {
			t.Fatal(err)
		}
		if want := host + "/kitamae@" + m.Digest; at != want {
			t.Errorf("pushed to %s, want %s", at, want)
		}
	}
	for _, p := range programs {
		t.Run(p.Arch, func(t *testing.T) {
			ref, err := name.NewDigest(host+"/kitamae@"+m.Digest, name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: p.Arch}))
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(img, validate.Fast); err != nil {
				t.Error(err)
			}
			file, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := file.Architecture+" "+file.Config.User, p.Arch+" 65532:65532"; got != want {
				t.Errorf("configured as %q, want %q", got, want)
			}
			assertFiles(t, img, p)
		})
	}
}

// assertFiles looks at every file of the image: what it is, whose, and that there is no other.
func assertFiles(t *testing.T, img v1.Image, p image.Program) {
	t.Helper()
	flat := mutate.Extract(img)
	defer flat.Close()
	var got []string
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch h.Name {
		case "kitamae":
			if want, err := os.ReadFile(p.Path); err != nil || !bytes.Equal(text, want) {
				t.Errorf("the image's binary is not the one it was made of (%v)", err)
			}
		case "data":
			if h.Uid != 65532 || h.Gid != 65532 {
				t.Errorf("/data belongs to %d:%d", h.Uid, h.Gid)
			}
		case "etc/ssl/certs/ca-certificates.crt":
			if n := bytes.Count(text, []byte("BEGIN CERTIFICATE")); n < 100 {
				t.Errorf("%d authorities", n)
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"-rw-r--r-- etc/group", "-rw-r--r-- etc/passwd", "-rw-r--r-- etc/ssl/certs/ca-certificates.crt",
		"-rw-r--r-- " + image.SBOMPath, "-rwxr-xr-x kitamae", "drwxr-xr-x data", "dtrwxrwxrwx tmp",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestSBOM holds the list of parts against what `go version -m` says of the same binary.
func TestSBOM(t *testing.T) {
	p := program(t, "amd64")
	text, err := image.SBOM(p, "v1")
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, c := range *bom.Components {
		have[c.PackageURL] = true
	}
	out, err := exec.Command("go", "version", "-m", p.Path).Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := 0
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			deps++
			if purl := "pkg:golang/" + f[1] + "@" + f[2]; !have[purl] {
				t.Errorf("%s is not listed", purl)
			}
		}
	}
	if deps == 0 || !have["pkg:golang/std@"+strings.TrimPrefix(strings.Fields(string(out))[1], "go")] {
		t.Errorf("%d modules; listed are %v", deps, have)
	}
}

// TestInspect refuses what could not run in an empty file system.
func TestInspect(t *testing.T) {
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, code string }{
		{"missing", filepath.Join(t.TempDir(), "none"), "image.missing"},
		{"script", text, "image.foreign"},
		{"dynamic", "/bin/sh", "image.dynamic"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := image.Inspect(tc.path); !fault.HasCode(err, tc.code) {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
	p := program(t, "amd64")
	if _, err := image.New([]image.Program{p, p}, "v1"); !fault.HasCode(err, "image.twice") {
		t.Errorf("two binaries for one architecture: %v", err)
	}
}
