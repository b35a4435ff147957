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
	{"bucket", "fault conf awsauth googleauth"},
	{"awsauth", "fault"},
	{"schedule", ""},
	{"notify", "fault conf awsauth"},
	{"googleauth", "fault conf awsauth"},
	{"secrets", "fault conf awsauth googleauth"},
	{"gcpsetup", "fault"},
	{"batch", "fault"},
	{"digest", "fault batch"},
	{"codec", "fault conf batch"},
	{"format", "fault conf batch codec"},
	{"format/", "fault conf batch codec format"},
	{"connector", "fault conf batch"},
	{"connector/conform", "fault conf batch digest connector"},
	{"sqlkit", "fault conf batch connector awsauth"},
	{"duck", "fault conf batch connector sqlkit awsauth"},
	{"connectors/", "fault conf batch bucket connector format codec sqlkit duck awsauth googleauth"},
	{"connectors/all", "fault conf batch bucket connector format codec sqlkit duck awsauth googleauth connectors/"},
	{"transform", "fault conf batch connector"},
	{"job", "fault conf batch connector notify awsauth"},
	{"job/", "fault conf batch connector job bucket notify awsauth schedule googleauth"},
	{"demo", "fault"},
	{"state", "fault conf bucket awsauth googleauth"},
	{"state/", "fault conf bucket state awsauth googleauth"},
	{"run", "fault conf batch digest connector job notify awsauth bucket state googleauth"},
	{"engine/", "fault conf batch digest connector job notify awsauth bucket state run googleauth"},
	{"lineage", "fault conf batch digest connector job notify awsauth bucket state run googleauth"},
	{"telemetry", "fault conf batch digest connector job notify awsauth bucket state run googleauth"},
	{"report", "fault conf batch digest connector job notify awsauth bucket state run googleauth"},
	{"serve", "fault conf batch digest connector job notify awsauth bucket state run report schedule googleauth"},
	{"deploy/image", "fault"},
	{"deploy/", "fault conf batch digest connector job job/ schedule notify awsauth bucket state run deploy/ googleauth"},
	{"deploy", "fault conf batch digest connector job notify awsauth bucket state run googleauth"},
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
