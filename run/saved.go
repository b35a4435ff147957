package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// savedFormat is the number of the form of saved plans. A change that older programs would misread gets the next.
const savedFormat = 1

// Saved is a plan that a run can be held to later.
type Saved struct {
	Format int `json:"kitamae_plan"`
	// Version is of the kitamae that made it.
	Version string `json:"version"`
	// Config is the config's path as it was given, Hash what it said, with its variables filled in and without its secrets.
	Config string `json:"config"`
	Hash   string `json:"config_hash"`
	Plan   *Plan  `json:"plan"`
}

// Save makes a plan of j something to apply.
func Save(j *job.Job, p *Plan, version string) (*Saved, error) {
	hash, err := hashOf(j)
	if err != nil {
		return nil, err
	}
	return &Saved{Format: savedFormat, Version: version, Config: j.File, Hash: hash, Plan: p}, nil
}

// ReadSaved is the plan in the text of a file called name.
func ReadSaved(name string, text []byte) (*Saved, error) {
	const noPlan = "write one with `kitamae plan -o plan.json`"
	var s Saved
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fault.Wrap(fault.Config, "apply.not_a_plan", noPlan, fmt.Errorf("%s: %w", name, err))
	}
	if s.Format != savedFormat || s.Plan == nil {
		return nil, fault.New(fault.Config, "apply.not_a_plan", noPlan, "%s is not a saved plan that this kitamae reads", name)
	}
	return &s, nil
}

// hashOf sums up what a config says. Where it says it, and comments, are no part of that.
func hashOf(j *job.Job) (string, error) {
	said := *j
	said.File, said.Dir, said.Origins = "", "", nil
	said.Tables = slices.Clone(j.Tables)
	for i := range said.Tables {
		said.Tables[i].At = conf.Place{}
	}
	text, err := json.Marshal(said)
	if err != nil {
		return "", fmt.Errorf("sum up the config: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// mostMoves is how many differences a refusal names.
const mostMoves = 8

// Still refuses when the world is not the one that s was planned in: another config, other tables or columns at the source, another
// state of the destination. Estimates may differ.
func (s *Saved) Still(j *job.Job, fresh *Plan) error {
	hash, err := hashOf(j)
	if err != nil {
		return err
	}
	moved := func(format string, args ...any) error {
		return fault.New(fault.Config, "apply.moved", "look at a new plan: `kitamae plan -o plan.json`", format, args...)
	}
	if hash != s.Hash {
		return moved("%s is not what it was when the plan was made at %s", j.File, s.Plan.Made.Format(time.RFC3339))
	}
	was, err := fixed(s.Plan)
	if err != nil {
		return err
	}
	is, err := fixed(fresh)
	if err != nil {
		return err
	}
	var moves []string
	differences("", was, is, &moves)
	if len(moves) == 0 {
		return nil
	}
	if more := len(moves) - mostMoves; more > 0 {
		moves = append(moves[:mostMoves], fmt.Sprintf("and %d more differences", more))
	}
	return moved("the world has moved since the plan was made at %s:\n  %s", s.Plan.Made.Format(time.RFC3339), strings.Join(moves, "\n  "))
}

// fixed is a plan as plain values, by table, without what is estimated or true for a moment only.
func fixed(p *Plan) (map[string]any, error) {
	out := map[string]any{"source": p.Source, "destination": p.Destination, "gone at the source": p.Stale}
	for _, t := range p.Tables {
		t.Partitions = 0
		t.Scan.Table.Rows, t.Scan.Table.Bytes = 0, 0
		t.Target.Cost, t.Target.Verifying = nil, 0
		out["table "+t.Scan.Table.Ref()] = t
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("compare plans: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var plain map[string]any
	if err := d.Decode(&plain); err != nil {
		return nil, fmt.Errorf("compare plans: %w", err)
	}
	return plain, nil
}

// differences appends a line for each value that differs between two trees.
func differences(path string, was, is any, lines *[]string) {
	a, aTree := children(was)
	b, bTree := children(is)
	if !aTree || !bTree {
		if x, y := show(was), show(is); x != y {
			*lines = append(*lines, fmt.Sprintf("%s: was %s, is %s", path, x, y))
		}
		return
	}
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		below := strings.TrimPrefix(path+" "+k, " ")
		x, had := a[k]
		y, has := b[k]
		switch {
		case !has:
			*lines = append(*lines, below+": is gone")
		case !had:
			*lines = append(*lines, below+": is new")
		default:
			differences(below, x, y, lines)
		}
	}
}

// children are a tree's branches by name: an object's values, or a list's by the names they carry, else by number.
func children(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case []any:
		out := make(map[string]any, len(v))
		for i, e := range v {
			key := fmt.Sprint(i)
			if m, ok := e.(map[string]any); ok && m["name"] != nil {
				key = fmt.Sprint(m["name"])
			}
			out[key] = e
		}
		return out, true
	}
	return nil, false
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
