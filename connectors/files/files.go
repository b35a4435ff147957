// Package files publishes tables as folders of Parquet, CSV, NDJSON or Arrow files.
// How a format looks is package format's and DuckDB's matter; this one owns where files lie,
// when they become visible and how they are found again.
package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Spec configures a folder to publish into.
type Spec struct {
	// Dir is the folder, made when it is absent: a path, which starts at the config file's folder where it is relative, or
	// `s3://bucket/folder`, `gs://bucket/folder`. It is kitamae's alone: files it does not know may be removed.
	Dir string `yaml:"dir" json:"dir" conf:"required"`
	// Format is parquet, csv, ndjson or arrow. Parquet is small, typed and read by everything
	// that analyses data.
	Format string `yaml:"format" json:"format" conf:"enum=parquet|csv|ndjson|arrow"`
	// Compression depends on the format: parquet has zstd (the default), snappy and none;
	// csv and ndjson have none (the default), gzip and zstd; arrow has lz4 (the default), zstd and none.
	Compression string `yaml:"compression" json:"compression" conf:"enum=zstd|snappy|gzip|lz4|none"`
}

var defaults = Spec{Format: parquet}

// The formats.
const (
	parquet = "parquet"
	csv     = "csv"
	ndjson  = "ndjson"
	arrowf  = "arrow"
)

// compressions are what each format has; the first is its default.
func compressions(format string) []string {
	switch format {
	case parquet:
		return []string{"zstd", "snappy", "none"}
	case csv, ndjson:
		return []string{"none", "gzip", "zstd"}
	case arrowf:
		return []string{"lz4", "zstd", "none"}
	}
	return nil
}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:    "files",
	Summary: "Parquet, CSV, NDJSON and Arrow files in a folder or a bucket",
	Caps:    connector.Caps{Atomic: true, Durable: true, FoldsCase: true, Resumes: true, Append: true, Shared: true},
	Dest:    connector.NewEnd[Spec, connector.Destination](defaults, openDest, place),
}

func place(s Spec) string {
	if s.Format == "" || s.Format == parquet {
		return "parquet files in " + s.where()
	}
	return s.Format + " files in " + s.where()
}

// NotShared says that shards need a bucket: a folder is one machine's.
func (s Spec) NotShared() string {
	if !bucket.Is(s.Dir) {
		return "the folder " + s.Dir + " is one machine's: set destination.files.dir to s3://bucket/folder or gs://bucket/folder"
	}
	return ""
}

// where is the folder for people: an address without its parameters.
func (s Spec) where() string {
	if bucket.Is(s.Dir) {
		address, _, _ := strings.Cut(s.Dir, "?")
		return address
	}
	return s.Dir
}

// openDest checks the spec. It makes nothing: a plan leaves no trace.
func openDest(_ context.Context, spec Spec, env connector.Env) (connector.Destination, error) {
	if spec.Dir == "" {
		return nil, fault.New(fault.Config, "files.dir", "set destination.files.dir", "no folder is named")
	}
	if spec.Format == "" {
		spec.Format = parquet
	}
	have := compressions(spec.Format)
	if have == nil {
		return nil, fault.New(fault.Config, "files.format", "use parquet, csv, ndjson or arrow", "there is no format %q", spec.Format)
	}
	if spec.Compression == "" {
		spec.Compression = have[0]
	}
	if !slices.Contains(have, spec.Compression) {
		return nil, fault.New(fault.Config, "files.compression", "use "+strings.Join(have, ", ")+", or leave destination.files.compression out",
			"%s files have no compression %q", spec.Format, spec.Compression)
	}
	if strings.Contains(spec.Dir, "://") {
		if err := bucket.Check(spec.Dir); err != nil {
			return nil, fault.Wrap(fault.Config, "files.dir", "write s3://bucket/folder, gs://bucket/folder or a path", fmt.Errorf("destination.files.dir: %w", err))
		}
		return newDest(spec, env), nil
	}
	if !filepath.IsAbs(spec.Dir) {
		spec.Dir = filepath.Join(env.Dir, spec.Dir)
	}
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "files.dir", "set destination.files.dir to an absolute path", err)
	}
	spec.Dir = dir
	return newDest(spec, env), nil
}
