package eject_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/rhysd/actionlint"
	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/deploy/aws"
	"github.com/kitamae/kitamae/deploy/eject"
	"github.com/kitamae/kitamae/job/native"
)

const config = `source:
  mysql: {host: "${DB_HOST}", user: etl, password: "${DB_PASSWORD}", database: app}
schedule: "0 5 * * *  Asia/Tokyo"
deploy:
  name: app
  secrets: {DB_PASSWORD: aws-ssm:/app/db/password}
`

// ejected are a target's files for the config above.
func ejected(t *testing.T, target string) map[string][]byte {
	t.Helper()
	files, err := ejectConfig(t, target, config)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func ejectConfig(t *testing.T, target, config string) (map[string][]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kitamae.yml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) (string, bool) { return "db1.example.com", name == "DB_HOST" }
	j, err := native.Load(path, all.Registry(), aws.Placeholders(map[string]string{"DB_PASSWORD": ""}, getenv))
	if err != nil {
		t.Fatal(err)
	}
	return eject.Files(eject.Request{Target: target, Job: j, Config: []byte(config), Image: "registry.example.com/kitamae@sha256:" + strings.Repeat("a", 64), Getenv: getenv})
}

// TestFiles holds every target's files to their own grammar, and sees that nothing was left to fill in.
func TestFiles(t *testing.T) {
	for _, target := range eject.Targets() {
		t.Run(target, func(t *testing.T) {
			files := ejected(t, target)
			if len(files) == 0 {
				t.Fatal("no files")
			}
			for name, text := range files {
				for _, left := range []string{"@NAME@", "@IMAGE@", "@CRON@", "@ENV@", "@FILE@", "@ZONE@", "@CALENDAR@", "@FLAGS@", "@CONFIG@", "@MEMORY@", "@CPU@", "@JOB@", "@COMMAND@", "@SHARDS@", "@CPUS@"} {
					if bytes.Contains(text, []byte(left)) {
						t.Errorf("%s still has %s", name, left)
					}
				}
				switch filepath.Ext(name) {
				case ".yml":
					documents(t, name, text)
				case ".tf":
					if _, diagnostics := hclparse.NewParser().ParseHCL(text, name); diagnostics.HasErrors() {
						t.Error(diagnostics)
					}
				}
			}
		})
	}
}

// documents parses all of a YAML file.
func documents(t *testing.T, name string, text []byte) (out []map[string]any) {
	t.Helper()
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		out = append(out, doc)
	}
}

// verify is what systemd finds wrong with units in which something may be replaced. The program they start is not here: another stands for it.
func verify(t *testing.T, files map[string][]byte, right, wrong string) string {
	t.Helper()
	dir, units := t.TempDir(), []string{}
	for name, text := range files {
		if ext := filepath.Ext(name); ext != ".service" && ext != ".timer" {
			continue
		}
		if right != "" {
			text = bytes.ReplaceAll(text, []byte(right), []byte(wrong))
		}
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/kitamae"), []byte("/bin/sh"))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, path)
	}
	if len(units) != 2 {
		t.Fatalf("units %v", units)
	}
	out, err := exec.Command("../../scripts/systemd.sh", units...).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}

// TestKubernetes looks at what a run depends on: the zone, no overlap, the secret, and the config inside.
func TestKubernetes(t *testing.T) {
	docs := documents(t, "kubernetes.yml", ejected(t, "kubernetes")["kubernetes.yml"])
	if got := docs[0]["data"].(map[string]any)["kitamae.yml"]; strings.TrimSpace(got.(string)) != strings.TrimSpace(config) {
		t.Errorf("the config arrived as\n%s", got)
	}
	spec := docs[1]["spec"].(map[string]any)
	if spec["timeZone"] != "Asia/Tokyo" || spec["schedule"] != "0 5 * * *" || spec["concurrencyPolicy"] != "Forbid" {
		t.Errorf("spec: %v", spec)
	}
	pod := spec["jobTemplate"].(map[string]any)["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	var names []string
	for _, e := range pod["containers"].([]any)[0].(map[string]any)["env"].([]any) {
		names = append(names, e.(map[string]any)["name"].(string))
	}
	if want := []string{"KITAMAE_RUN_ID", "DB_HOST", "DB_PASSWORD"}; !slices.Equal(names, want) {
		t.Errorf("variables %v, want %v", names, want)
	}
}

// TestWorkflows has actionlint read both workflows, as GitHub would.
func TestWorkflows(t *testing.T) {
	files, err := eject.Workflow("kitamae.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range ejected(t, "github-actions") {
		files[name] = text
		if !bytes.Contains(text, []byte(`cron: "0 20 * * *"`)) {
			t.Errorf("05:00 in Tokyo is not 20:00 UTC in\n%s", text)
		}
	}
	for name, text := range files {
		linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found, err := linter.Lint(filepath.Base(name), text, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			t.Errorf("%s: %s", name, e)
		}
	}
}

// TestCloudRun asks for the processors that Cloud Run wants with the memory, and keeps the config where something can be spooled.
func TestCloudRun(t *testing.T) {
	for limits, want := range map[string]string{"": `{cpu: "1", memory: "1024Mi"}`, "limits: {memory: 4GiB}\n": `{cpu: "2", memory: "8192Mi"}`, "limits: {memory: 12GiB}\n": `{cpu: "8", memory: "30720Mi"}`} {
		files, err := ejectConfig(t, "cloudrun", config+limits)
		if err != nil || !bytes.Contains(files["cloudrun.yml"], []byte(want)) {
			t.Errorf("%q: no %s (%v) in\n%s", limits, want, err, files["cloudrun.yml"])
		}
		if text := files["cloudrun.yml"]; !bytes.Contains(text, []byte(`-f, "env:KITAMAE_CONFIG"`)) || !bytes.Contains(text, []byte(`{secretKeyRef: {name: "app-config", key: latest}}`)) {
			t.Errorf("the config is not taken from its secret:\n%s", text)
		}
	}
}

// TestSystemd translates the schedule, and has systemd read the units.
func TestSystemd(t *testing.T) {
	said := verify(t, ejected(t, "systemd"), "", "")
	if said != "" {
		t.Errorf("systemd says:\n%s", said)
	}
	for right, wrong := range map[string]string{"MemoryMax=": "MemoryMxa=", "OnCalendar=*-*-* 5:": "OnCalendar=*-*-* 25:"} {
		if verify(t, ejected(t, "systemd"), right, wrong) == "" {
			t.Errorf("systemd finds nothing wrong with %s", wrong)
		}
	}
	if service := ejected(t, "systemd")["app.service"]; !bytes.Contains(service, []byte("run -f /var/lib/app/kitamae.yml\n")) || !bytes.Contains(service, []byte("StateDirectory=app\n")) {
		t.Errorf("the config does not lie where its state can:\n%s", service)
	}
	if timer := ejected(t, "systemd")["app.timer"]; !bytes.Contains(timer, []byte("OnCalendar=*-*-* 5:0:00 Asia/Tokyo\n")) {
		t.Errorf("the timer:\n%s", timer)
	}
}
