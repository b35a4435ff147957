// Package eject writes files that run a config elsewhere, for people to own and change. What it wrote it never looks at again.
package eject

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/deploy/aws"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/job/native"
)

//go:embed files
var files embed.FS

// Request is what is ejected, and for what.
type Request struct {
	Target string
	Job    *job.Job
	Config []byte
	Image  string // "" leaves a name to fill in
	Getenv func(string) (string, bool)
}

// Targets are what [Files] knows.
func Targets() []string {
	return []string{"cloudformation", "cloudrun", "github-actions", "kubernetes", "systemd", "terraform"}
}

// Files are the target's files by name.
func Files(r Request) (map[string][]byte, error) {
	if !slices.Contains(Targets(), r.Target) {
		return nil, fault.New(fault.Config, "eject.target", "choose one of "+strings.Join(Targets(), ", "), "nothing can be ejected for %q", r.Target)
	}
	packed, err := native.Pack(r.Config)
	if err != nil {
		return nil, err
	}
	if err := r.suits(); err != nil {
		return nil, err
	}
	var s aws.Stack
	if err := s.For(r.Job, packed, r.Getenv); err != nil {
		return nil, err
	}
	s.Image, s.Arm = r.Image, true
	switch r.Target {
	case "cloudformation", "terraform":
		s.Bucket = "kitamae-" + s.Name + "-state"
		template, err := s.Render()
		if err != nil {
			return nil, err
		}
		out := map[string][]byte{"template.yml": template}
		if r.Target == "terraform" {
			out["main.tf"], err = fill("main.tf", map[string]string{"NAME": s.Name})
		}
		return out, err
	}
	return plain(r, s)
}

// suits refuses an engine that is elsewhere.
func (r Request) suits() error {
	engine, ok := r.Job.Deploy.Engine, false
	switch engine {
	case "":
		return nil
	case job.EngineKubernetes:
		ok = r.Target == "kubernetes"
	case job.EngineBatch:
		ok = r.Target == "cloudformation" || r.Target == "terraform"
	}
	if !ok {
		return fault.New(fault.Config, "eject.engine", "leave deploy.engine out: the run is one process there", "deploy.engine is %s, which %s is not", engine, r.Target)
	}
	if r.Target == "kubernetes" && !bucket.Is(r.Job.State) {
		return fault.New(fault.Config, "eject.shards_state", "set state: s3://bucket/folder or gs://bucket/folder", "shards find each other in a bucket, and state: names none")
	}
	return nil
}

// Note is what to see to before the files are used; "" for nothing.
func Note(r Request) string {
	switch r.Target {
	case "cloudrun", "github-actions", "kubernetes":
		if !bucket.Is(r.Job.State) {
			return "no disk outlives a run there: set state: s3://bucket/folder or gs://bucket/folder"
		}
	}
	return ""
}

// plain are the targets whose files take the config as it is.
func plain(r Request, s aws.Stack) (map[string][]byte, error) {
	img := r.Image
	if img == "" {
		img = "registry.example.com/kitamae:v1"
	}
	values := map[string]string{
		"NAME": s.Name, "IMAGE": img, "ZONE": s.Schedule.Zone, "MEMORY": strconv.Itoa(s.Size.Memory), "FILE": filepath.Base(r.Job.File),
		"CPU": fmt.Sprintf("%gm", float64(s.Size.CPU)/1.024), "CRON": strings.Join(strings.Fields(r.Job.Schedule)[:5], " "), "FLAGS": "",
		"COMMAND": "run", "CPUS": strconv.Itoa(cloudRunCPU(s.Size.Memory)),
	}
	part := "kubernetes-one.yml"
	if r.Job.Deploy.Engine == job.EngineKubernetes {
		part, values["COMMAND"], values["SHARDS"] = "kubernetes-shards.yml", "shard", strconv.Itoa(r.Job.Deploy.Shards)
	}
	division, err := fill(part, values)
	if err != nil {
		return nil, err
	}
	values["JOB"] = indent(string(division), "      ")
	names := map[string]map[string]string{
		"kubernetes":     {"kubernetes.yml": "kubernetes.yml"},
		"cloudrun":       {"cloudrun.yml": "cloudrun.yml", "deploy.sh": "cloudrun.sh"},
		"systemd":        {s.Name + ".service": "systemd.service", s.Name + ".timer": "systemd.timer"},
		"github-actions": {".github/workflows/" + s.Name + ".yml": "actions.yml"},
	}[r.Target]
	switch r.Target {
	case "systemd":
		values["CALENDAR"] = calendar(values["CRON"], s.Schedule.Zone)
	case "github-actions":
		values["CRON"], err = utc(values["CRON"], s.Schedule.Zone, time.Now())
	}
	if err != nil {
		return nil, err
	}
	values["ENV"], err = environment(r.Target, s)
	if err != nil {
		return nil, err
	}
	for _, name := range append(sorted(s.Plain), sorted(s.Injected)...) {
		values["FLAGS"] += "--env " + name + " "
	}
	values["CONFIG"] = indent(string(r.Config), "    ")
	out := map[string][]byte{}
	for name, from := range names {
		if out[name], err = fill(from, values); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// cloudRunCPU is the least processors that Cloud Run takes with so many MiB of memory.
func cloudRunCPU(memory int) int {
	for _, m := range []struct{ most, cpu int }{{4096, 1}, {8192, 2}, {16384, 4}, {24576, 6}} {
		if memory <= m.most {
			return m.cpu
		}
	}
	return 8
}

// fill replaces @NAME@ by its value.
func fill(name string, values map[string]string) ([]byte, error) {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		return nil, err
	}
	var pairs []string
	for key, value := range values {
		pairs = append(pairs, "@"+key+"@", value)
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(text))), nil
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(by)
		}
		b.WriteString(line)
	}
	return strings.TrimRight(b.String(), "\n")
}

// environment is the variables that the config refers to, in the target's words: plain ones as they are, secrets from the target's own store.
func environment(target string, s aws.Stack) (string, error) {
	var list []any
	var lines strings.Builder
	add := func(name, value string, secret bool) {
		key := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		switch {
		case target == "github-actions" && secret:
			fmt.Fprintf(&lines, "          %s: ${{ secrets.%s }}\n", name, name)
		case target == "github-actions":
			fmt.Fprintf(&lines, "          %s: %q\n", name, value)
		case !secret:
			list = append(list, map[string]any{"name": name, "value": value})
		case target == "kubernetes":
			list = append(list, map[string]any{"name": name, "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": s.Name, "key": key}}})
		default:
			list = append(list, map[string]any{"name": name, "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": s.Name + "-" + key, "key": "latest"}}})
		}
	}
	for _, name := range sorted(s.Plain) {
		add(name, s.Plain[name], false)
	}
	for _, name := range sorted(s.Injected) {
		add(name, "", true)
	}
	if lines.Len() > 0 || target == "github-actions" {
		return lines.String(), nil
	}
	if len(list) == 0 || target == "systemd" {
		return "", nil
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(list); err != nil {
		return "", err
	}
	by := map[string]string{"kubernetes": "                ", "cloudrun": "                "}[target]
	return indent(b.String(), by), e.Close()
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
