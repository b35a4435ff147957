package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/kitamae/kitamae/internal/servertest"
)

// generation changes whenever other rows are made, so that older tables are loaded anew.
const generation = 1

// database is where the table of that many rows lives.
func database(rows int64) string { return fmt.Sprintf("bench_%d_%d", generation, rows) }

// days returns the text of n days from the first of January on.
func days(year, n int) []string {
	d := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
	out := make([]string, n)
	for i := range out {
		out[i] = d.AddDate(0, 0, i).Format(time.DateOnly)
	}
	return out
}

// load makes the table unless a whole one is there: one that was loaded to the end has a table "loaded" beside it.
func load(ctx context.Context, s servertest.Server, rows int64) error {
	begin := time.Now()
	do := loadMySQL
	if s.Kind == "postgres" {
		do = loadPostgres
	}
	fresh, err := do(ctx, s, rows)
	if err != nil {
		return fmt.Errorf("load %d rows into %s: %w", rows, s.Name, err)
	}
	if fresh {
		fmt.Fprintf(os.Stderr, "loaded %d rows into %s in %.0f s\n", rows, s.Name, time.Since(begin).Seconds())
	}
	return nil
}

// openMySQL connects with leave to send files.
func openMySQL(ctx context.Context, s servertest.Server, db string) (*client.Conn, error) {
	return client.ConnectWithContext(ctx, s.Address(), s.User, s.Password, db, time.Minute, func(c *client.Conn) error {
		c.SetCapability(mysql.CLIENT_LOCAL_FILES)
		return nil
	})
}

func loadMySQL(ctx context.Context, s servertest.Server, rows int64) (fresh bool, err error) {
	c, err := openMySQL(ctx, s, "kitamae")
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Quit() }()
	db := database(rows)
	if _, err := c.Execute("SELECT 1 FROM " + db + ".loaded"); err == nil {
		return false, nil
	}
	for _, q := range []string{
		"SET sql_log_bin = 0, unique_checks = 0, foreign_key_checks = 0",
		"DROP DATABASE IF EXISTS " + db, "CREATE DATABASE " + db, "USE " + db, table,
	} {
		if _, err := c.Execute(q); err != nil {
			return false, err
		}
	}
	if err := loadData(c, s, newLineitem(rows)); err != nil {
		return false, err
	}
	for _, q := range []string{"ANALYZE TABLE lineitem", "CREATE TABLE loaded (id int PRIMARY KEY)"} {
		if _, err := c.Execute(q); err != nil {
			return false, err
		}
	}
	return true, nil
}

// loadData runs LOAD DATA LOCAL with rows as the file. The driver has no call for it: the server answers the
// statement by asking for the file, which goes out as packets, an empty one at the end.
func loadData(c *client.Conn, s servertest.Server, rows io.WriterTo) error {
	const statement = "LOAD DATA LOCAL INFILE 'rows' INTO TABLE lineitem CHARACTER SET utf8mb4"
	if err := sendQuery(c, s, statement); err != nil {
		return err
	}
	answer, err := c.ReadPacket()
	if err != nil {
		return err
	}
	if answer[0] != mysql.LocalInFile_HEADER {
		return fmt.Errorf("LOAD DATA LOCAL refused: %q", answer)
	}
	if _, err := rows.WriteTo(packetWriter{c}); err != nil {
		return err
	}
	if err := c.WritePacket(make([]byte, 4)); err != nil {
		return err
	}
	answer, err = c.ReadPacket()
	if err == nil && answer[0] != mysql.OK_HEADER {
		err = fmt.Errorf("LOAD DATA LOCAL: %q", answer)
	}
	return err
}

// sendQuery sends the statement and leaves the answer unread.
func sendQuery(c *client.Conn, s servertest.Server, statement string) error {
	packet := []byte{0, 0, 0, 0, mysql.COM_QUERY}
	if s.Name == "mysql" {
		packet = append(packet, 0, 1) // no query attributes, in one set: what MySQL agreed on with the driver at login
	}
	c.ResetSequence()
	return c.WritePacket(append(packet, statement...))
}

// packetWriter sends each Write as one packet. Writes stay far below 16 MiB.
type packetWriter struct{ c *client.Conn }

func (w packetWriter) Write(p []byte) (int, error) {
	return len(p), w.c.WritePacket(append(make([]byte, 4, 4+len(p)), p...))
}

func openPostgres(ctx context.Context, s servertest.Server, db string) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.User, config.Password, config.Database = s.Host, uint16(s.Port), s.User, s.Password, db
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend { // the driver's own reads take 8 KiB at a time
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, 1<<20), w)
	}
	return pgconn.ConnectConfig(ctx, config)
}

func loadPostgres(ctx context.Context, s servertest.Server, rows int64) (fresh bool, err error) {
	db := database(rows)
	if c, err := openPostgres(ctx, s, db); err == nil {
		_, err := c.Exec(ctx, "SELECT 1 FROM loaded").ReadAll()
		_ = c.Close(ctx)
		if err == nil {
			return false, nil
		}
	}
	admin, err := openPostgres(ctx, s, "kitamae")
	if err != nil {
		return false, err
	}
	defer func() { _ = admin.Close(ctx) }()
	for _, q := range []string{"DROP DATABASE IF EXISTS " + db + " WITH (FORCE)", "CREATE DATABASE " + db} {
		if err := admin.Exec(ctx, q).Close(); err != nil {
			return false, err
		}
	}
	c, err := openPostgres(ctx, s, db)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close(ctx) }()
	if err := c.Exec(ctx, table).Close(); err != nil {
		return false, err
	}
	r, w := io.Pipe()
	go func() {
		_, err := newLineitem(rows).WriteTo(w)
		w.CloseWithError(err)
	}()
	if _, err := c.CopyFrom(ctx, r, "COPY lineitem FROM STDIN"); err != nil {
		return false, err
	}
	// Reading right after a load would also write: every page gets its hint bits. VACUUM does that now.
	for _, q := range []string{"VACUUM (FREEZE, ANALYZE) lineitem", "CHECKPOINT", "CREATE TABLE loaded ()"} {
		if err := c.Exec(ctx, q).Close(); err != nil {
			return false, fmt.Errorf("%s: %w", q, err)
		}
	}
	return true, nil
}
