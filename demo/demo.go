// Package demo makes a sample application database: an English-coaching service as a Japanese
// startup would run it, in SQLite. It knows nothing about moving data.
package demo

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// DefaultRows is about how many rows all tables have together.
const DefaultRows = 1_000_000

// Options for [Create]; the zero value is a million rows.
type Options struct {
	// Rows is about how many rows all tables have together, at least 1,000; 0 means [DefaultRows].
	Rows int
	// Seed decides everything that is random: equal seeds make equal data.
	Seed uint64
	// Progress is called now and then with the rows written so far, from the goroutine that called Create.
	Progress func(done, total int)
}

// minRows is enough for every table to have some.
const minRows = 1_000

// Create writes the database to path, in place of a file that is there. An interrupted
// Create leaves no file.
func Create(ctx context.Context, path string, opts Options) (err error) {
	if opts.Rows == 0 {
		opts.Rows = DefaultRows
	}
	opts.Rows = max(opts.Rows, minRows)
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	part := abs + ".part"
	if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("make room for the sample database: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	if err := fill(ctx, part, opts); err != nil {
		if ctx.Err() != nil { // the driver's own words for it vary
			err = context.Cause(ctx)
		}
		return fmt.Errorf("create the sample database: %w", err)
	}
	for _, side := range []string{"-wal", "-shm", "-journal"} { // of a file that was there, which they would spoil
		os.Remove(abs + side)
	}
	return os.Rename(part, abs)
}

func fill(ctx context.Context, path string, opts Options) error {
	// Nobody else sees the file before it is whole: no journal, no waiting for the disk.
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=locking_mode(exclusive)&_pragma=cache_size(-65536)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, schema); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	w := &world{
		rnd:   rand.New(rand.NewPCG(opts.Seed, 0x6b697461)),
		sizes: share(opts.Rows),
		out:   &writer{ctx: ctx, tx: tx, total: opts.Rows, progress: opts.Progress},
	}
	if err := w.write(); err != nil {
		return err
	}
	// Indexes are made afterwards, as sorting once is cheaper than keeping order.
	if _, err := tx.ExecContext(ctx, indexes); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if opts.Progress != nil {
		opts.Progress(opts.Rows, opts.Rows)
	}
	// A running application's database: readers and writers don't wait for each other.
	_, err = conn.ExecContext(ctx, "PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL")
	return err
}

// sizes are how many rows the tables that grow with the service have.
type sizes struct{ users, logs, messages, lessons, scores, tests int }

// share divides the rows: studying makes most of them.
func share(rows int) sizes {
	return sizes{
		users:    rows * 2 / 100,
		logs:     rows * 56 / 100,
		messages: rows * 16 / 100,
		lessons:  rows * 7 / 100,
		scores:   rows * 6 / 100,
		tests:    rows * 3 / 100,
	}
}

// The service's first day, 2024-10-01 in its own zone (Asia/Tokyo), and how many days there are: 18 months. They
// are fixed, so that the data is the same whenever it is made.
const (
	openedUnix  = 1_727_740_800
	serviceDays = 547
)
