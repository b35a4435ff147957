package postgres

import (
	"context"

	"github.com/kitamae/kitamae/fault"
)

// The values of Spec.Read.
const (
	readSnapshot = "snapshot"
	readChunked  = "chunked"
)

// role is what reading a server safely depends on.
type role struct{ aurora, reader bool }

// askRole finds out which one answers: only Aurora has aurora_version(), and its readers are in recovery.
func (c *conn) askRole(ctx context.Context) (r role, err error) {
	err = c.value(ctx, "asking for the server's role",
		"SELECT pg_catalog.to_regprocedure('aurora_version()') IS NOT NULL, pg_catalog.pg_is_in_recovery()", &r.aurora, &r.reader)
	return r, err
}

// chunked decides how a server of that role is read.
func (s Spec) chunked(r role) (bool, error) {
	switch {
	case s.Read != "" && s.Read != readSnapshot && s.Read != readChunked:
		return false, fault.New(fault.Config, "postgres.spec", "write snapshot or chunked", "source.postgres.read: %q is neither", s.Read)
	case !r.aurora:
		return s.Read == readChunked, nil
	case !r.reader && !s.AllowWriter:
		return false, fault.New(fault.Config, "postgres.writer", "give the cluster's reader endpoint (its name has cluster-ro), or set source.postgres.allow_writer: true",
			"%s is an Aurora writer: reading there costs the application", place(s))
	case !r.reader && s.Read == readSnapshot:
		return false, fault.New(fault.Config, "postgres.writer", "remove source.postgres.read, or give the cluster's reader endpoint",
			"%s is an Aurora writer, which is only read chunked", place(s))
	}
	return s.Read != readSnapshot, nil
}

// portable makes a scan chunked whose partitions other processes are to read: no snapshot outlives its process.
func (s *source) portable(asked bool) (chunked bool, err error) {
	if !asked || s.chunked {
		return s.chunked, nil
	}
	if s.srv.spec.Read == readSnapshot {
		return false, fault.New(fault.Config, "postgres.not_portable", "leave source.postgres.read out, or set it to chunked",
			"source.postgres.read is snapshot, and a snapshot can't be read by several processes")
	}
	return true, nil
}
