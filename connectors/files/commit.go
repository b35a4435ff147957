package files

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"time"

	"github.com/kitamae/kitamae/connector"
)

// current is the symbolic link to the published run's folder.
const current = "current"

// Commit publishes all tables at once: the new manifest takes the old one's place by a
// rename, and then so does the link `current`. Until that moment nothing of what is published is touched; after it,
// what is left to do is cleaning up. Tables that are not in the request stay as they are: their files get a
// second name in the run's folder. In an object store there is no link and no second name: the manifest is written under the
// condition that it is the one that was looked at, and goes on naming files where they lie.
func (d *dest) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	if err := d.commit(ctx, req); err != nil {
		return nil, classify(d.spec.Dir, fmt.Errorf("publish in %s: %w", d.spec.Dir, err))
	}
	out := make([]connector.Outcome, len(req.Tables))
	for i := range out {
		out[i].Published = true
	}
	return out, nil
}

func (d *dest) commit(ctx context.Context, req connector.CommitRequest) error {
	s, err := d.storage(ctx, true)
	if err != nil {
		return err
	}
	if s.far != nil {
		m, before, err := d.publishFar(ctx, s, req)
		if err != nil {
			return err
		}
		d.step("cleanup")
		return d.cleanUpFar(ctx, s, m, before)
	}
	unlock, err := s.lockCommit()
	if err != nil {
		return err
	}
	defer unlock()
	old, err := d.published(ctx)
	if err != nil {
		return err
	}
	late, err := d.before(ctx, s, old, req.Run.ID)
	if err != nil || late {
		return err
	}
	if !old.has(req) {
		if old, err = d.publish(ctx, s, old, req); err != nil {
			return err
		}
	}
	d.step("current")
	if s.pointed(current) != old.Dir {
		if err := s.point(current, old.Dir); err != nil {
			return err
		}
		if err := s.sync(""); err != nil {
			return err
		}
	}
	d.letGo(req.Run.ID)
	d.step("cleanup")
	return d.cleanUp(ctx, s, old)
}

// has says whether the manifest already names all the request asks for.
func (m *manifest) has(req connector.CommitRequest) bool {
	if m.Run.ID != req.Run.ID {
		return false
	}
	for _, t := range req.Tables {
		have := m.table(t.Plan.Name)
		if have == nil || have.Run != req.Run.ID || len(have.Files) < len(t.Receipts) {
			return false
		}
	}
	return true
}

// before says whether the run was published, and others after it: a commit that comes late changes nothing.
func (d *dest) before(ctx context.Context, s *store, m *manifest, run string) (bool, error) {
	if m.Dir == "" || m.Run.ID == run {
		return false, nil
	}
	text, _, err := s.read(ctx, m.Dir+"/"+metaDir+"/runs.json")
	return hasRun(text, run), err
}

// publish prepares the run's folder and makes its manifest the published one.
func (d *dest) publish(ctx context.Context, s *store, old *manifest, req connector.CommitRequest) (*manifest, error) {
	m := &manifest{
		Version: manifestVersion, Run: req.Run, Dir: runDir(req.Run.ID),
		Published: time.Now().UTC().Truncate(time.Microsecond), Previous: old.Run.ID,
	}
	if old.Run.ID == req.Run.ID {
		m.Previous = old.Previous
	}
	for _, t := range req.Tables {
		entry, err := d.staged(ctx, s, t)
		if err != nil {
			return nil, err
		}
		m.Tables = append(m.Tables, entry)
	}
	d.step("links")
	var links []linked
	for i, t := range req.Tables {
		if before := old.table(t.Plan.Name); before != nil && t.Plan.Mode == connector.Append {
			links = append(links, m.Tables[i].add(before, s.far != nil)...)
		}
	}
	links = append(links, m.keep(old, s.far != nil)...)
	if err := d.sweep(ctx, s, m); err != nil {
		return nil, err
	}
	for _, l := range links {
		if err := s.link(ctx, l.from, l.to); err != nil {
			return nil, err
		}
	}
	sort.Slice(m.Tables, func(i, j int) bool { return m.Tables[i].Name < m.Tables[j].Name })
	d.step("metadata")
	if err := d.writeMeta(ctx, s, m, old); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	d.step("run manifest")
	if err := s.put(ctx, m.Dir+"/"+manifestName, text); err != nil {
		return nil, err
	}
	folders := []string{"", runsDir, m.Dir, m.Dir + "/" + metaDir}
	for _, t := range m.Tables {
		folders = append(folders, t.Dir)
	}
	if err := s.sync(folders...); err != nil {
		return nil, err
	}
	d.step("manifest")
	if s.far != nil {
		_, err := s.far.Write(ctx, manifestName, text, old.stored)
		return m, err
	}
	if err := s.put(ctx, manifestName, text); err != nil {
		return nil, err
	}
	return m, s.sync("")
}

// staged is a staged table as the manifest names it. Its files are there as its receipts say.
func (d *dest) staged(ctx context.Context, s *store, t connector.CommitTable) (table, error) {
	st, err := parseStage(t.Stage)
	if err != nil {
		return table{}, err
	}
	entry := table{
		Name: t.Plan.Name, Dir: st.Dir, Run: st.Run, Format: st.Format, Compression: st.Compression,
		Comment: t.Plan.Comment, Key: t.Plan.Key, Columns: t.Plan.Columns, Evidence: t.Evidence, Reached: t.Reached,
	}
	for _, r := range t.Receipts {
		f, err := receiptFile(st, r)
		if err == nil {
			err = d.whole(ctx, s, st, f)
		}
		if err != nil {
			return table{}, err
		}
		entry.Rows, entry.Bytes = entry.Rows+f.Rows, entry.Bytes+f.Bytes
		entry.Files = append(entry.Files, f)
	}
	return entry, nil
}

// sweep removes from the run's folder what m does not name: tables held back, files of
// tasks and epochs that do not count, files half written.
func (d *dest) sweep(ctx context.Context, s *store, m *manifest) error {
	named := m.files()
	keys, err := s.list(ctx, m.Dir)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !named[key] {
			if err := s.remove(ctx, key); err != nil {
				return err
			}
		}
	}
	if s.far != nil {
		return nil
	}
	dirs := map[string]bool{}
	for _, t := range m.Tables {
		dirs[path.Base(t.Dir)] = true
	}
	folders, err := s.folders(ctx, m.Dir)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if !dirs[f] {
			s.prune(m.Dir + "/" + f)
		}
	}
	return nil
}

// cleanUp removes the runs that are neither published, nor the one before, nor in
// progress. What it can't remove now, the next run does.
func (d *dest) cleanUp(ctx context.Context, s *store, m *manifest) error {
	names, err := s.folders(ctx, runsDir)
	if err != nil {
		return err
	}
	for _, dir := range s.locked() {
		s.dead(dir)
	}
	for _, name := range names {
		dir := runsDir + "/" + name
		if dir == m.Dir || (m.Previous != "" && dir == runDir(m.Previous)) || !s.dead(dir) {
			continue
		}
		if err := s.removeAll(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

// Recover finds out how far a commit came. The manifest decides: a run it names is published.
func (d *dest) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	s, err := d.storage(ctx, false)
	if err != nil {
		return "", err
	}
	if s == nil {
		return connector.ReadAgain, nil
	}
	m, err := d.published(ctx)
	if err != nil {
		return "", err
	}
	if m.has(req) && (s.far != nil || s.pointed(current) == m.Dir) || m.Previous == req.Run.ID {
		return connector.Done, nil
	}
	for _, t := range req.Tables {
		if _, err := d.staged(ctx, s, t); err != nil {
			if ctx.Err() != nil {
				return "", err
			}
			return connector.ReadAgain, nil
		}
	}
	return connector.CommitAgain, nil
}
