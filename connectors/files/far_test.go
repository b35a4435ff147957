package files_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/files"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestConformBucket is the suite against servers that speak S3 and GCS, over the wire.
func TestConformBucket(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{"s3": servertest.S3, "gcs": servertest.GCS} {
		for _, kind := range []string{"parquet", "csv"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				address := start(t)
				conform.Run(t, conform.Suite{Connector: files.Connector, Config: func(*testing.T) conform.Config {
					return freshFarFolder(address+"/日本/"+uuid.NewString(), kind)
				}})
			})
		}
	}
}

// freshFarFolder is a folder of an object store with nothing in it, read by its manifest as anybody else would.
func freshFarFolder(address, kind string) conform.Config {
	return conform.Config{
		Spec: &files.Spec{Dir: address, Format: kind},
		Env:  connector.Env{MemoryBytes: 256 << 20, Version: "test"},
		Published: func(t *testing.T, table string) (batch.Stream, bool) {
			b, err := bucket.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			text, version, err := b.Read(t.Context(), "manifest.json")
			if err != nil {
				t.Fatal(err)
			}
			if version == "" {
				return nil, false
			}
			var m published
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatal(err)
			}
			for _, tb := range m.Tables {
				if tb.Name == table {
					var paths []string
					for _, f := range tb.Files {
						paths = append(paths, download(t, b, f.Path))
					}
					plan := connector.TablePlan{Columns: tb.Columns}
					return readFiles(t, kind, plan.Schema(), paths), true
				}
			}
			return nil, false
		},
	}
}

func download(t *testing.T, b *bucket.Bucket, key string) string {
	t.Helper()
	r, err := b.NewReader(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(key)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
