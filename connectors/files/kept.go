package files

import (
	"path"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/connector"
)

// What a commit takes over from the manifest before.

// add puts the files of the table before ahead of the new ones, and its columns that no longer come behind. It says which files that
// links; none where they stay inPlace.
func (t *table) add(before *table, inPlace bool) []linked {
	var files []file
	var links []linked
	for _, f := range before.Files {
		if l := (linked{from: f.Path, to: t.Dir + "/" + path.Base(f.Path)}); !inPlace {
			f.Path, links = l.to, append(links, l)
		}
		files = append(files, f)
	}
	t.Files = append(files, t.Files...)
	t.Rows, t.Bytes = t.Rows+before.Rows, t.Bytes+before.Bytes
	for _, c := range before.Columns {
		if !slices.ContainsFunc(t.Columns, func(now connector.ColumnPlan) bool { return now.Name == c.Name }) {
			t.Columns = append(slices.Clone(t.Columns), c)
		}
	}
	return links
}

type linked struct{ from, to string }

// keep adds what old has and m has not, and says which files that links; none where they stay inPlace.
func (m *manifest) keep(old *manifest, inPlace bool) []linked {
	taken := map[string]bool{metaDir: true, manifestName: true}
	for _, t := range m.Tables {
		taken[strings.ToLower(path.Base(t.Dir))] = true
	}
	var links []linked
	for _, t := range old.Tables {
		if m.table(t.Name) != nil {
			continue
		}
		if inPlace {
			t.Stale = slices.Contains(m.Run.Stale, t.Name)
			m.Tables = append(m.Tables, t)
			continue
		}
		if path.Dir(t.Dir) != m.Dir { // else it was published by this very run
			t.Dir = m.Dir + "/" + freeFolder(t.Name, func(folded string) bool { return taken[folded] })
		}
		taken[strings.ToLower(path.Base(t.Dir))] = true
		t.Stale = slices.Contains(m.Run.Stale, t.Name)
		files := make([]file, len(t.Files))
		for i, f := range t.Files {
			files[i] = f
			files[i].Path = t.Dir + "/" + path.Base(f.Path)
			if files[i].Path != f.Path {
				links = append(links, linked{from: f.Path, to: files[i].Path})
			}
		}
		t.Files = files
		m.Tables = append(m.Tables, t)
	}
	return links
}
