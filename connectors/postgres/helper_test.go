package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
)

// specFor is a config for a database of a test server.
func specFor(s servertest.Server, db string) Spec {
	spec := defaults
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), db
	return spec
}

func open(t testing.TB, spec Spec) *source {
	t.Helper()
	s, err := openSource(t.Context(), spec, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*source)
}

// eachServer runs a test on every PostgreSQL there is but the oldest, in a fresh database.
func eachServer(t *testing.T, f func(t *testing.T, s servertest.Server, db string)) {
	onServers(t, servertest.PostgresServers(t), f)
}

// eachVersion is eachServer with the oldest PostgreSQL, for what hangs on what a server's version has.
func eachVersion(t *testing.T, f func(t *testing.T, s servertest.Server, db string)) {
	onServers(t, append(servertest.PostgresServers(t), servertest.PostgresOldest(t)), f)
}

func onServers(t *testing.T, servers []servertest.Server, f func(t *testing.T, s servertest.Server, db string)) {
	for _, s := range servers {
		t.Run(s.Name, func(t *testing.T) { f(t, s, servertest.FreshDatabase(t, s)) })
	}
}

func discover(t testing.TB, s connector.Source) map[string]connector.Table {
	t.Helper()
	tables, err := s.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byRef := map[string]connector.Table{}
	for _, table := range tables {
		byRef[table.Ref()] = table
	}
	return byRef
}

// wants asks for whole tables.
func wants(tables ...connector.Table) connector.ScanRequest {
	req := connector.ScanRequest{Connections: 2, BatchBytes: 1 << 20, MaxValueBytes: 64 << 20}
	for _, table := range tables {
		req.Tables = append(req.Tables, connector.TableScan{Table: table, Columns: table.Columns})
	}
	return req
}

func scan(t testing.TB, s connector.Source, req connector.ScanRequest) *connector.Scan {
	t.Helper()
	sc, err := s.Scan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// read reads one partition into rows of text, as Arrow prints values; null is "(null)".
func read(t testing.TB, s connector.Source, p connector.Partition) ([][]string, connector.ReadResult) {
	t.Helper()
	rows, result, err := tryRead(t.Context(), s, p)
	if err != nil {
		t.Fatal(err)
	}
	return rows, result
}

func tryRead(ctx context.Context, s connector.Source, p connector.Partition) ([][]string, connector.ReadResult, error) {
	reading, err := s.Read(ctx, p)
	if err != nil {
		return nil, connector.ReadResult{}, err
	}
	var rows [][]string
	for rec, err := range reading.Rows {
		if err != nil {
			return rows, connector.ReadResult{}, err
		}
		rows = append(rows, texts(rec)...)
	}
	return rows, reading.Result(), nil
}

func texts(rec arrow.RecordBatch) [][]string {
	rows := make([][]string, rec.NumRows())
	for i := range rows {
		for _, col := range rec.Columns() {
			rows[i] = append(rows[i], show(col, i))
		}
	}
	return rows
}

// show prints a value as it lies in the buffers: days, microseconds, months/days/nanoseconds, hexadecimal bytes.
func show(arr arrow.Array, i int) string {
	if arr.IsNull(i) {
		return "null"
	}
	switch a := arr.(type) {
	case *array.Date32:
		return fmt.Sprint(int32(a.Value(i)))
	case *array.Timestamp:
		return fmt.Sprint(int64(a.Value(i)))
	case *array.Time64:
		return fmt.Sprint(int64(a.Value(i)))
	case *array.MonthDayNanoInterval:
		v := a.Value(i)
		return fmt.Sprintf("%d/%d/%d", v.Months, v.Days, v.Nanoseconds)
	case *array.Binary:
		return fmt.Sprintf("%x", a.Value(i))
	case *array.String:
		return strings.Clone(a.Value(i))
	case *array.Float32:
		return strconv.FormatFloat(float64(a.Value(i)), 'g', -1, 32)
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64)
	case *array.Decimal128:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.List:
		from, to := a.ValueOffsets(i)
		parts := make([]string, 0, to-from)
		for k := from; k < to; k++ {
			parts = append(parts, show(a.ListValues(), int(k)))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return arr.ValueStr(i)
}
