package sqlite

import (
	"context"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one read-only connection through SQLite's own C interface (translated to Go).
// It is used instead of database/sql as that allocates for every text it
// returns and turns declared dates into time.Time by guesswork. It serves one goroutine at a time.
type conn struct {
	tls  *libc.TLS
	db   uintptr
	path string
}

// pageCacheKiB is one connection's page cache. Tables are read from front to back, so
// more than the path down to a leaf is of no use.
const pageCacheKiB = "4096"

// busyMilliseconds is how long a statement waits for a writer that is committing. [openView] tries again for longer.
const busyMilliseconds = 500

func open(path string) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), path: path}
	name, err := libc.CString(path)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	out := c.tls.Alloc(int(unsafe.Sizeof(uintptr(0))))
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READONLY|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	c.db = *(*uintptr)(pointer(out))
	c.tls.Free(int(unsafe.Sizeof(uintptr(0))))
	if rc == sqlite3.SQLITE_OK {
		sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
		sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyMilliseconds)
		// Reading the schema is the first time that SQLite looks into the file.
		err = c.run("PRAGMA cache_size = -"+pageCacheKiB, readSchema)
	} else {
		err = c.fault(rc)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// pointer is a C address as Go's. The memory is SQLite's own, which Go's collector neither moves nor frees.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func (c *conn) close() {
	if c.db != 0 {
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
		c.db = 0
	}
	c.tls.Close()
}

// run runs statements one after the other.
func (c *conn) run(statements ...string) error {
	for _, sql := range statements {
		if err := c.exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// exec runs one statement and throws its rows away.
func (c *conn) exec(sql string) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		if more, err := s.next(); err != nil || !more {
			return err
		}
	}
}

// number runs a statement that answers one integer.
func (c *conn) number(sql string) (int64, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if more, err := s.next(); err != nil || !more {
		return 0, err
	}
	return s.integer(0), nil
}

// text runs a statement that answers one text.
func (c *conn) text(sql string) (string, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.close()
	if more, err := s.next(); err != nil || !more {
		return "", err
	}
	return string(s.text(0)), nil
}

// interruptible makes the statement that runs on c end soon after ctx does. Call stop before c is used for something else.
func (c *conn) interruptible(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		tls := libc.NewTLS() // c.tls belongs to the goroutine that runs the statement
		defer tls.Close()
		sqlite3.Xsqlite3_interrupt(tls, c.db)
	})
	return func() {
		if !cancel() {
			<-done
		}
	}
}

// stmt is one prepared statement and its current row.
type stmt struct {
	c *conn
	p uintptr
}

func (c *conn) prepare(sql string) (*stmt, error) {
	z, err := libc.CString(sql)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, z)
	out := c.tls.Alloc(int(unsafe.Sizeof(uintptr(0))))
	defer c.tls.Free(int(unsafe.Sizeof(uintptr(0))))
	if rc := sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, z, -1, out, 0); rc != sqlite3.SQLITE_OK {
		return nil, c.fault(rc)
	}
	return &stmt{c: c, p: *(*uintptr)(pointer(out))}, nil
}

// next moves to the next row and says whether there is one.
func (s *stmt) next() (bool, error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.fault(rc)
	}
}

func (s *stmt) close() { sqlite3.Xsqlite3_finalize(s.c.tls, s.p) }

// class is the storage class of column i in the current row.
type class int32

const (
	integer class = sqlite3.SQLITE_INTEGER
	real    class = sqlite3.SQLITE_FLOAT
	text    class = sqlite3.SQLITE_TEXT
	blob    class = sqlite3.SQLITE_BLOB
	null    class = sqlite3.SQLITE_NULL
)

// class must be asked before the column's value, as SQLite converts in place.
func (s *stmt) class(i int) class { return class(sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i))) }

func (s *stmt) integer(i int) int64 { return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i)) }

func (s *stmt) real(i int) float64 { return sqlite3.Xsqlite3_column_double(s.c.tls, s.p, int32(i)) }

// text is column i's bytes in UTF-8, SQLite's memory: valid until the next call of next.
func (s *stmt) text(i int) []byte {
	p := sqlite3.Xsqlite3_column_text(s.c.tls, s.p, int32(i)) // first: it converts UTF-16, then the length is known
	return s.memory(p, i)
}

// blob is column i's bytes, SQLite's memory: valid until the next call of next.
func (s *stmt) blob(i int) []byte {
	return s.memory(sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i)), i)
}

func (s *stmt) memory(p uintptr, i int) []byte {
	if p == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), s.size(i))
}

// size is how many bytes a text or blob has. It does not load a zeroblob.
func (s *stmt) size(i int) int {
	return int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i)))
}
