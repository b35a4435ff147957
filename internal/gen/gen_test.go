package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestFresh holds the generated files to the code.
func TestFresh(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sortedNames(files) {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Errorf("%v: run make gen", err)
			continue
		}
		if diff := cmp.Diff(string(files[name]), string(got)); diff != "" {
			t.Errorf("%s is stale, run make gen (-want +got):\n%s", name, diff)
		}
	}
	stale, err := leftovers(root, files)
	if err != nil || len(stale) > 0 {
		t.Errorf("nothing generates %v any more (%v): run make gen", stale, err)
	}
}

// TestEveryFaultHasACode holds that every fault is documented: its code is a literal
// "area.what", so that errorsPage finds it.
func TestEveryFaultHasACode(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	src, err := readSource(root)
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^[a-z0-9]+(\.[a-z0-9_]+)?$`)
	for _, s := range src.faults {
		if !form.MatchString(s.code) {
			t.Errorf("%s: a fault's code is a literal area.what, not %q", s.file, s.code)
		}
	}
}

// TestEveryKeyHasADoc holds the reference complete.
func TestEveryKeyHasADoc(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	src, err := readSource(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range src.docs {
		for field, text := range doc.Fields {
			if text == "" {
				t.Errorf("%s.%s has no comment", name, field)
			}
		}
	}
}

func TestFaultSites(t *testing.T) {
	dir := t.TempDir()
	text := `package p
const form = "write it so"
func f(host, kind string) error {
	const local = "local"
	_ = fault.Wrap(fault.Source, "a.b", form, nil)
	_ = fault.Wrap(kind, "a.c", "see "+host+" and "+local, nil)
	_ = fault.Wrap(fault.Source, host, "", nil)
	return fault.New(fault.Config, "a.d", fmt.Sprintf("look at %s", host), "%s refused %q for 100%%", host, "u")
}
`
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := readSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []faultSite{
		{"p.go", "a.b", "source", "write it so", ""},
		{"p.go", "a.c", "…", "see … and local", ""},
		{"p.go", "", "source", "", ""},
		{"p.go", "a.d", "config", "look at …", "… refused … for 100%"},
	}
	if diff := cmp.Diff(want, src.faults, cmp.AllowUnexported(faultSite{})); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestForPeople(t *testing.T) {
	for _, tc := range []struct{ name, key, doc, want string }{
		{"Port", "port", "Port is the server's port.", "The server's port."},
		{"Tables", "tables", "Tables says which.", "Tables says which."},
		{"Tables", "tables", "Tables says which tables.", "Which tables."},
		{"Mode", "mode", "Mode is verify or off.", "Mode is verify or off."},
		{"MaxWait", "max_wait", "MaxWait bounds it.", "max_wait bounds it."},
		{"Spec", "", "Spec configures it.", "Configures it."},
		{"Host", "host", "The host.", "The host."},
		{"Host", "host", "", ""},
	} {
		if got := forPeople(tc.name, tc.key, tc.doc); got != tc.want {
			t.Errorf("forPeople(%q, %q, %q) = %q, want %q", tc.name, tc.key, tc.doc, got, tc.want)
		}
	}
}

func TestCommandPage(t *testing.T) {
	root := &cobra.Command{Use: "k", Short: "Does things", Run: func(*cobra.Command, []string) {}}
	sub := &cobra.Command{Use: "go URL", Short: "Goes | stays", Example: "  k go x", Run: func(*cobra.Command, []string) {}}
	sub.Flags().BoolP("force", "f", false, "really")
	sub.Flags().String("dir", "out", "the folder")
	root.AddCommand(sub)
	want := head("Commands") + "Does things.\n\n```\nk\n```\n\n| command | does |\n|---|---|\n| [`k go`](#k-go) | Goes \\| stays |\n" +
		"\n## k go\n\nGoes | stays.\n\n```\nk go URL [flags]\n```\n\n| flag | default | meaning |\n|---|---|---|\n| `--dir` | `out` | the folder |\n| `-f`, `--force` |  | really |\n\nExamples:\n\n```\n  k go x\n```\n"
	if diff := cmp.Diff(want, string(commandPage(root))); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}
