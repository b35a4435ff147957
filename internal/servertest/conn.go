package servertest

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// conn is a stock driver's connection, for setting up and looking at servers.
type conn interface {
	exec(ctx context.Context, statement string) error
	query(ctx context.Context, query string) ([][]string, error)
	close(ctx context.Context)
}

// open connects as User, in the clear, with the session's zone in UTC.
func (s Server) open(ctx context.Context, db string) (conn, error) {
	if s.Kind == "postgres" {
		return s.openPostgres(ctx, db)
	}
	c, err := client.ConnectWithContext(ctx, s.Address(), s.User, s.Password, db, setupTimeout)
	if err != nil {
		return nil, err
	}
	if err := c.SetCharset("utf8mb4"); err != nil {
		return nil, err
	}
	if _, err := c.Execute("SET time_zone = '+00:00'"); err != nil {
		return nil, err
	}
	return mysqlConn{c}, nil
}

func (s Server) openPostgres(ctx context.Context, db string) (conn, error) {
	if db == "" {
		db = "kitamae"
	}
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.User, config.Password, config.Database = s.Host, uint16(s.Port), s.User, s.Password, db
	config.RuntimeParams = map[string]string{"timezone": "UTC"}
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return postgresConn{c.PgConn()}, nil
}

type mysqlConn struct{ c *client.Conn }

func (m mysqlConn) exec(_ context.Context, statement string) error {
	r, err := m.c.Execute(statement)
	if err == nil {
		r.Close()
	}
	return err
}

func (m mysqlConn) query(_ context.Context, query string) ([][]string, error) {
	r, err := m.c.Execute(query)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var rows [][]string
	for i := range r.Values {
		row := make([]string, len(r.Fields))
		for j := range row {
			row[j] = mysqlText(r.Values[i][j].Value())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func mysqlText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return string(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

func (m mysqlConn) close(context.Context) { _ = m.c.Quit() }

type postgresConn struct{ c *pgconn.PgConn }

func (p postgresConn) exec(ctx context.Context, statement string) error {
	return p.c.Exec(ctx, statement).Close()
}

func (p postgresConn) query(ctx context.Context, query string) ([][]string, error) {
	results, err := p.c.Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, r := range results {
		for _, values := range r.Rows {
			row := make([]string, len(values))
			for i, v := range values {
				row[i] = "NULL"
				if v != nil {
					row[i] = string(v)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (p postgresConn) close(ctx context.Context) { _ = p.c.Close(ctx) }
