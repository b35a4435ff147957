package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/internal/servertest"
)

// drain is the floor: it asks for all rows over one connection in the protocol's plainest form and throws them away
// undecoded. It only counts them, so that a floor with rows missing is found out.
func drain(ctx context.Context, s servertest.Server, rows int64) error {
	do := drainMySQL
	if s.Kind == "postgres" {
		do = drainPostgres
	}
	got, err := do(ctx, s, rows)
	if err == nil && got != rows {
		err = fmt.Errorf("%d rows arrived, want %d", got, rows)
	}
	if err != nil {
		return fmt.Errorf("drain %s: %w", s.Name, err)
	}
	return nil
}

func drainMySQL(ctx context.Context, s servertest.Server, rows int64) (int64, error) {
	c, err := openMySQL(ctx, s, database(rows))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if err := sendQuery(c, s, "SELECT * FROM lineitem"); err != nil {
		return 0, err
	}
	// The answer: a packet with the number of columns, one for each column, an end, the rows, an end.
	r := bufio.NewReaderSize(c.Conn.Conn, 1<<20)
	var count, ends int64
	for {
		head, err := r.Peek(5)
		if err != nil {
			return count, err
		}
		length := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		switch {
		case head[4] == mysql.ERR_HEADER:
			packet, _ := r.Peek(min(4+length, r.Size()))
			return count, fmt.Errorf("the server refused: %q", packet[4:])
		case head[4] == mysql.EOF_HEADER && length < 9:
			ends++
		case ends == 1:
			count++
		}
		if _, err := r.Discard(4 + length); err != nil {
			return count, err
		}
		if ends == 2 {
			return count, nil
		}
	}
}

func drainPostgres(ctx context.Context, s servertest.Server, rows int64) (int64, error) {
	c, err := openPostgres(ctx, s, database(rows))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close(ctx) }()
	var lines lineCounter
	_, err = c.CopyTo(ctx, &lines, "COPY lineitem TO STDOUT")
	return int64(lines), err
}

// lineCounter counts rows: COPY sends each as a line.
type lineCounter int64

func (n *lineCounter) Write(p []byte) (int, error) {
	*n += lineCounter(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}
