package mysql

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/fault"
)

// The values of Spec.Read.
const (
	readSnapshot = "snapshot"
	readChunked  = "chunked"
)

// erUnknownVariable is what every server but Aurora answers to @@aurora_version.
const erUnknownVariable = 1193

// role is what reading a server safely depends on.
type role struct{ aurora, reader bool }

// askRole finds out which one answers.
func (c *conn) askRole(ctx context.Context) (role, error) {
	res, err := c.query(ctx, "SELECT @@aurora_version, @@innodb_read_only")
	var my *mysql.MyError
	if errors.As(err, &my) && my.Code == erUnknownVariable {
		return role{}, nil
	}
	if err != nil {
		return role{}, err
	}
	version, _ := text(res, 0, 0)
	readOnly, _ := text(res, 0, 1)
	return roleOf(version, readOnly), nil
}

// roleOf judges by the server's variables: aurora_version, which only Aurora has, and innodb_read_only, which is 1 on its readers.
func roleOf(auroraVersion, innodbReadOnly string) role {
	return role{aurora: auroraVersion != "", reader: innodbReadOnly == "1" || innodbReadOnly == "ON"}
}

// chunked decides how a server of that role is read.
func (s Spec) chunked(r role) (bool, error) {
	switch {
	case s.Read != "" && s.Read != readSnapshot && s.Read != readChunked:
		return false, fault.New(fault.Config, "mysql.spec", "write snapshot or chunked", "source.mysql.read: %q is neither", s.Read)
	case !r.aurora:
		return s.Read == readChunked, nil
	case !r.reader && !s.AllowWriter:
		return false, fault.New(fault.Config, "mysql.writer", "give the cluster's reader endpoint (its name has cluster-ro), or set source.mysql.allow_writer: true",
			"%s is an Aurora writer: reading there costs the application", s.address())
	case !r.reader && s.Read == readSnapshot:
		return false, fault.New(fault.Config, "mysql.writer", "remove source.mysql.read, or give the cluster's reader endpoint",
			"%s is an Aurora writer, which is only read chunked", s.address())
	}
	return s.Read != readSnapshot, nil
}

// settle finds out which server answers and decides how it is read.
func (s *Source) settle(ctx context.Context, c *conn) error {
	r, err := c.askRole(ctx)
	if err != nil {
		return failed(ctx, "ask for the role of", place(s.spec), "", fmt.Errorf("aurora_version: %w", err))
	}
	s.role = r
	s.chunked, err = s.spec.chunked(r)
	return err
}

// portable makes a scan chunked whose partitions other processes are to read: no snapshot outlives its process.
func (s *Source) portable(asked bool) (chunked bool, err error) {
	if !asked || s.chunked {
		return s.chunked, nil
	}
	if s.spec.Read == readSnapshot {
		return false, fault.New(fault.Config, "mysql.not_portable", "leave source.mysql.read out, or set it to chunked",
			"source.mysql.read is snapshot, and a snapshot can't be read by several processes")
	}
	return true, nil
}
