package native_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/job/native"
)

var yamlBlock = regexp.MustCompile("(?ms)^ *```ya?ml\n(.*?)^ *```")

// TestEveryConfigInTheDocsCompiles looks at every YAML block with a source in every
// Markdown file, as people copy them.
func TestEveryConfigInTheDocsCompiles(t *testing.T) {
	reg := all.Registry()
	one := func(string) (string, bool) { return "1", true }
	root := filepath.Join("..", "..")
	blocks := 0
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && name != root && (strings.HasPrefix(e.Name(), ".") || e.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, at := range yamlBlock.FindAllStringSubmatchIndex(string(text), -1) {
			block := unindent(string(text[at[2]:at[3]]))
			if !regexp.MustCompile(`(?m)^source:`).MatchString(block) {
				continue
			}
			blocks++
			line := strings.Count(string(text[:at[2]]), "\n")
			// Empty lines put the problems where the block stands.
			in := conf.Input{Name: name, Data: []byte(strings.Repeat("\n", line) + block), LookupEnv: one}
			if _, err := native.Compile(in, reg); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if blocks == 0 {
		t.Error("no config in any Markdown file: the reference should have one")
	}
}

// unindent takes the first line's indent away from all: blocks stand in lists, too.
func unindent(block string) string {
	indent := len(block) - len(strings.TrimLeft(block, " "))
	lines := strings.Split(block, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, strings.Repeat(" ", indent))
	}
	return strings.Join(lines, "\n")
}

// TestSkeletonOfEveryConnector holds that what init writes loads for the real connectors.
func TestSkeletonOfEveryConnector(t *testing.T) {
	reg := all.Registry()
	for _, raw := range []string{
		"mysql://etl:hunter2@db1.example.com:3307/app", "mysql://etl@localhost/app?socket=/run/my.sock",
		"postgres://etl:hunter2@db1.example.com/app", "postgres://etl@localhost/app", "sqlite:app.db", "sqlite:///var/lib/app.db",
	} {
		t.Run(raw, func(t *testing.T) {
			text := skeletonOf(t, reg, raw)
			if strings.Contains(text, "hunter2") {
				t.Errorf("the password is in the file:\n%s", text)
			}
			in := conf.Input{Name: "kitamae.yml", Data: []byte(text), LookupEnv: func(name string) (string, bool) {
				return "s3cret", name == native.PasswordVariable
			}}
			j, err := native.Compile(in, reg)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if j.Source.Place == "" || j.Destination.Place == "" {
				t.Errorf("places %q, %q", j.Source.Place, j.Destination.Place)
			}
		})
	}
}

func skeletonOf(t *testing.T, reg connector.Registry, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := reg.ByScheme(u.Scheme)
	if !ok {
		t.Fatalf("no connector for %s", u.Scheme)
	}
	spec, err := c.FromURL(u)
	if err != nil {
		t.Fatal(err)
	}
	text, err := native.Skeleton(native.Draft{Connector: c, Spec: spec, Tables: []connector.Table{{Name: "users", Rows: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
