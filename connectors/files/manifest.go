package files

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// manifestVersion is the version of the manifest's format. It changes when a reader of the one
// before would misunderstand; new fields alone don't change it.
const manifestVersion = 1

// manifestName is the manifest in the destination's folder, which says what is published.
// A copy lies in each run's folder.
const manifestName = "manifest.json"

// manifest says what is published: every table and every file of it. Paths start at
// the destination's folder and use slashes.
type manifest struct {
	Version   int                 `json:"version"`
	Run       connector.RunRecord `json:"run"`
	Dir       string              `json:"dir"` // of the run
	Published time.Time           `json:"published"`
	// Previous is the run before, whose folder is still there; "" for none.
	Previous string  `json:"previous,omitempty"`
	Tables   []table `json:"tables"` // sorted by name
	// stored is the version that an object store had it in, "" for none.
	stored string
}

// table is one published table.
type table struct {
	Name string `json:"name"`
	Dir  string `json:"dir"`
	// Run is the run that read it: an earlier one where the table was kept.
	Run string `json:"run"`
	// Stale says that the source no longer has it.
	Stale       bool                   `json:"stale,omitempty"`
	Format      string                 `json:"format"`
	Compression string                 `json:"compression"`
	Comment     string                 `json:"comment,omitempty"`
	Key         []string               `json:"key,omitempty"`
	Columns     []connector.ColumnPlan `json:"columns"`
	Rows        int64                  `json:"rows"`
	Bytes       int64                  `json:"bytes"`
	Files       []file                 `json:"files"`
	Evidence    connector.Evidence     `json:"evidence"`
	// Reached is where the source's cursor stands; "" for none.
	Reached string `json:"reached,omitempty"`
}

// file is one file of a table. It is also the token of a receipt.
type file struct {
	Path  string `json:"path"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	// XXH3 is the 128-bit XXH3 of the file's bytes, in hex.
	XXH3 string `json:"xxh3"`
}

// table finds a table by name.
func (m *manifest) table(name string) *table {
	for i := range m.Tables {
		if m.Tables[i].Name == name {
			return &m.Tables[i]
		}
	}
	return nil
}

// files are the paths of all files.
func (m *manifest) files() map[string]bool {
	paths := map[string]bool{}
	for _, t := range m.Tables {
		for _, f := range t.Files {
			paths[f.Path] = true
		}
	}
	return paths
}

// published reads what is published. It is empty where nothing is. Nobody changes it.
func (d *dest) published(ctx context.Context) (*manifest, error) {
	return d.readManifest(ctx, manifestName)
}

// parsed keeps the last manifest read: each table of a plan looks at it.
type parsed struct {
	text string
	m    *manifest
}

func (d *dest) readManifest(ctx context.Context, key string) (*manifest, error) {
	m := &manifest{Version: manifestVersion}
	s, err := d.storage(ctx, false)
	if err != nil || s == nil {
		return m, err
	}
	text, version, found, err := s.readVersion(ctx, key)
	if err != nil || !found {
		return m, classify(d.spec.Dir, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.m != nil && d.last.text == string(text) && d.last.m.stored == version {
		return d.last.m, nil
	}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fault.Wrap(fault.Destination, "files.manifest",
			"put back a manifest from one of the folders in "+d.spec.Dir+"/runs, or name another folder in destination.files.dir",
			fmt.Errorf("read %s: %w", key, err))
	}
	if m.Version > manifestVersion {
		return nil, fault.New(fault.Destination, "files.manifest_version", "use the newer kitamae that wrote it",
			"%s has version %d, this kitamae knows %d", key, m.Version, manifestVersion)
	}
	m.stored = version
	d.last = parsed{text: string(text), m: m}
	return m, nil
}
