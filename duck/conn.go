package duck

import (
	"context"
	"errors"
	"time"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// conn is one DuckDB connection: one statement at a time, one transaction.
type conn struct {
	db *DB
	c  bindings.Connection
}

func (db *DB) connect() (*conn, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, errors.New("DuckDB is closed")
	}
	c := &conn{db: db}
	if bindings.Connect(db.db, &c.c) == bindings.StateError {
		return nil, errors.New("DuckDB gave no connection")
	}
	db.users.Add(1)
	return c, nil
}

// close rolls back an open transaction.
func (c *conn) close() {
	if c.c.Ptr == nil {
		return
	}
	bindings.Disconnect(&c.c)
	c.db.users.Done()
}

// reassert is how often a cancelled statement is interrupted again: DuckDB forgets an
// interrupt that comes just before a statement starts.
const reassert = 10 * time.Millisecond

// watch interrupts what DuckDB does on this connection once ctx ends, until stop is called.
func (c *conn) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		tick := time.NewTicker(reassert)
		defer tick.Stop()
		for {
			bindings.Interrupt(c.c)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(done)
		<-stopped // or its interrupt would meet the next statement
	}
}

// because is err, or why ctx ended when that is what interrupted the statement.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// exec runs all statements of sql and returns how many rows the last one changed.
func (c *conn) exec(ctx context.Context, sql string) (int64, error) {
	defer c.watch(ctx)()
	var changed int64
	err := c.each(sql, func(stmt bindings.PreparedStatement, _ int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var res bindings.Result
		defer bindings.DestroyResult(&res)
		if bindings.ExecutePrepared(stmt, &res) == bindings.StateError {
			return newError(bindings.ResultError(&res))
		}
		changed = int64(bindings.RowsChanged(&res))
		return nil
	})
	return changed, because(ctx, err)
}

// each prepares one statement of sql after the other and hands it to do, with how many there are.
func (c *conn) each(sql string, do func(stmt bindings.PreparedStatement, of int) error) error {
	var stmts bindings.ExtractedStatements
	n := bindings.ExtractStatements(c.c, sql, &stmts)
	defer func() { bindings.DestroyExtracted(&stmts) }()
	if n == 0 {
		if msg := bindings.ExtractStatementsError(stmts); msg != "" {
			return newError(msg)
		}
		return newError("Parser Error: there is no statement")
	}
	for i := range n {
		var stmt bindings.PreparedStatement
		err := func() error {
			defer bindings.DestroyPrepare(&stmt)
			if bindings.PrepareExtractedStatement(c.c, stmts, i, &stmt) == bindings.StateError {
				return newError(bindings.PrepareError(stmt))
			}
			return do(stmt, int(n))
		}()
		if err != nil {
			return err
		}
	}
	return nil
}
