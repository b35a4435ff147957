package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

const module = "github.com/kitamae/kitamae"

// layers says for each package, or for all below a path ending in /, which other
// packages of this module it may rest on, directly or through others. A new package
// needs a row: deciding where it stands is part of making it.
var layers = []struct{ pkg, may string }{
	{"fault", ""},
	{"conf", "fault"},
	{"conf/", "fault conf"},
	{"batch", "fault"},
	{"digest", "fault batch"},
	{"codec", "fault conf batch"},
	{"format", "fault conf batch codec"},
	{"format/", "fault conf batch codec format"},
	{"connector", "fault conf batch"},
	{"connector/conform", "fault conf batch digest connector"},
	{"sqlkit", "fault conf batch connector"},
	{"duck", "fault conf batch connector sqlkit"},
	{"connectors/", "fault conf batch connector format codec sqlkit duck"},
	{"connectors/all", "fault conf batch connector format codec sqlkit duck connectors/"},
	{"transform", "fault conf batch connector"},
	{"job", "fault conf batch connector"},
	{"job/", "fault conf batch connector job"},
	{"demo", "fault"},
	{"state", "fault conf"},
	{"state/", "fault conf state"},
	{"run", "fault conf batch digest connector job state"},
	{"engine/", "fault conf batch digest connector job state run"},
	{"report", "fault conf batch digest connector job state run"},
	{"serve", "fault conf batch digest connector job state run report"},
	{"deploy", "fault conf batch digest connector job state run"},
	{"cli", "*"},
	{"cmd/", "*"},
	{"internal/", "*"},
}

// TestImports holds the direction of imports. Imports of tests are free.
func TestImports(t *testing.T) {
	for pkg, deps := range moduleDeps(t) {
		may, ok := allowed(pkg)
		if !ok {
			t.Errorf("%s has no row in layers: say what it may rest on", pkg)
			continue
		}
		if may == "*" {
			continue
		}
		for _, dep := range deps {
			if dep != pkg && !strings.HasPrefix(dep, pkg+"/") && !listed(may, dep) && !sameConnector(pkg, dep) {
				t.Errorf("%s rests on %s, but may only on: %s", pkg, dep, may)
			}
		}
	}
}

// allowed finds the most exact row.
func allowed(pkg string) (may string, ok bool) {
	best := ""
	for _, row := range layers {
		if row.pkg == pkg || strings.HasSuffix(row.pkg, "/") && strings.HasPrefix(pkg, row.pkg) {
			if len(row.pkg) > len(best) {
				best, may, ok = row.pkg, row.may, true
			}
		}
	}
	return may, ok
}

func listed(may, dep string) bool {
	for name := range strings.FieldsSeq(may) {
		if name == dep || strings.HasSuffix(name, "/") && strings.HasPrefix(dep, name) {
			return true
		}
	}
	return false
}

// sameConnector lets the packages below one connector's folder use each other.
func sameConnector(a, b string) bool {
	first := func(s string) string {
		rest, ok := strings.CutPrefix(s, "connectors/")
		if !ok {
			return ""
		}
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	return first(a) != "" && first(a) == first(b)
}

// moduleDeps lists each package with everything of this module it rests on.
func moduleDeps(t *testing.T) map[string][]string {
	t.Helper()
	root, err := servertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Deps", module+"/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return deps
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		deps[name] = nil
		for _, dep := range p.Deps {
			if inside, ok := strings.CutPrefix(dep, module+"/"); ok {
				deps[name] = append(deps[name], inside)
			}
		}
	}
}

// TestPackageNames keeps out names that attract everything.
func TestPackageNames(t *testing.T) {
	bad := " util utils common helper helpers base core type types manager old legacy misc shared "
	for pkg := range moduleDeps(t) {
		name := pkg[strings.LastIndex(pkg, "/")+1:]
		if strings.Contains(bad, " "+name+" ") {
			t.Errorf("package %s: name it after what it holds", pkg)
		}
	}
}
