package mysql

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/sqlkit"
)

// everyServer runs test over every server there is, each with a fresh database.
func everyServer(t *testing.T, test func(t *testing.T, s servertest.Server, db string)) {
	for _, s := range servertest.MySQLServers(t) {
		t.Run(s.Name, func(t *testing.T) { test(t, s, servertest.FreshDatabase(t, s)) })
	}
}

func specFor(s servertest.Server, db string) Spec {
	spec := defaults
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), db
	return spec
}

func open(t testing.TB, spec Spec) *Source {
	t.Helper()
	src, err := Connector.Source.Open(t.Context(), &spec, connector.Env{Version: "test"})
	if err != nil {
		t.Fatalf("open: %v (hint: %s)", err, fault.From(err).Hint)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	return src.(*Source)
}

// table discovers one table.
func table(t testing.TB, src *Source, name string) connector.Table {
	t.Helper()
	tables, err := src.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range tables {
		if tab.Name == name {
			return tab
		}
	}
	t.Fatalf("no table %s among %d", name, len(tables))
	panic("unreachable")
}

// scanOf scans one whole table.
func scanOf(t testing.TB, src *Source, tab connector.Table, connections int) *connector.Scan {
	t.Helper()
	scan, err := src.Scan(t.Context(), connector.ScanRequest{
		Tables:      []connector.TableScan{{Table: tab, Columns: tab.Columns}},
		Connections: connections, BatchBytes: 4 << 20, MaxValueBytes: 64 << 20,
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return scan
}

// readRows reads one partition as text, a row a slice.
func readRows(ctx context.Context, src *Source, p connector.Partition) (rows [][]string, result connector.ReadResult, err error) {
	reading, err := src.Read(ctx, p)
	if err != nil {
		return nil, result, err
	}
	for rec, err := range reading.Rows {
		if err != nil {
			return rows, result, err
		}
		rows = append(rows, textRows(rec)...)
	}
	return rows, reading.Result(), nil
}

func textRows(rec arrow.RecordBatch) (rows [][]string) {
	for i := range int(rec.NumRows()) {
		row := make([]string, rec.NumCols())
		for k := range row {
			row[k] = show(rec.Column(k), i)
		}
		rows = append(rows, row)
	}
	return rows
}

// show prints one value; binary as hex.
func show(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "NULL"
	}
	switch a := a.(type) {
	case *array.Binary:
		return hex.EncodeToString(a.Value(i))
	case *array.String:
		return strings.Clone(a.Value(i)) // the buffer goes back to the pool
	case *array.Duration:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	case *array.Timestamp:
		return a.Value(i).ToTime(arrow.Microsecond).Format("2006-01-02 15:04:05.999999")
	case *array.Float32:
		return strconv.FormatFloat(float64(a.Value(i)), 'g', -1, 32)
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64)
	case *array.Decimal128:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	}
	return a.ValueStr(i)
}

// typeCase is a column, the values to insert as SQL, and what must arrive, row by row.
type typeCase struct {
	native, arrow, kind string
	insert, want        []string
}

// typeCases holds null, the extremes and ordinary values of every type; a row of nulls follows.
var typeCases = []typeCase{
	{"tinyint", "int8", "", []string{"-128", "127", "0"}, []string{"-128", "127", "0"}},
	{"tinyint(1)", "int8", "", []string{"2", "1", "0"}, []string{"2", "1", "0"}},
	{"tinyint unsigned", "uint8", "", []string{"255", "0", "7"}, []string{"255", "0", "7"}},
	{"smallint", "int16", "", []string{"-32768", "32767", "-1"}, []string{"-32768", "32767", "-1"}},
	{"smallint unsigned", "uint16", "", []string{"65535", "0", "1"}, []string{"65535", "0", "1"}},
	{"mediumint", "int32", "", []string{"-8388608", "8388607", "-1"}, []string{"-8388608", "8388607", "-1"}},
	{"mediumint unsigned", "uint32", "", []string{"16777215", "0", "1"}, []string{"16777215", "0", "1"}},
	{"int", "int32", "", []string{"-2147483648", "2147483647", "42"}, []string{"-2147483648", "2147483647", "42"}},
	{"int unsigned", "uint32", "", []string{"4294967295", "0", "42"}, []string{"4294967295", "0", "42"}},
	{"int(8) zerofill", "uint32", "", []string{"4294967295", "0", "42"}, []string{"4294967295", "0", "42"}},
	{"bigint", "int64", "", []string{"-9223372036854775808", "9223372036854775807", "1"}, []string{"-9223372036854775808", "9223372036854775807", "1"}},
	{"bigint unsigned", "uint64", "", []string{"18446744073709551615", "9223372036854775808", "0"}, []string{"18446744073709551615", "9223372036854775808", "0"}},
	{"float", "float", "", []string{"3.4e38", "-1.17549e-38", "0.1"}, []string{"3.4e+38", "-1.17549e-38", "0.1"}},
	{"double", "double", "", []string{"1.7976931348623157e308", "-2.2250738585072014e-308", "0.1"}, []string{"1.7976931348623157e+308", "-2.2250738585072014e-308", "0.1"}},
	{"decimal(10,2)", "decimal(10, 2)", "", []string{"99999999.99", "-99999999.99", "0.05"}, []string{"99999999.99", "-99999999.99", "0.05"}},
	{"decimal(5,0)", "decimal(5, 0)", "", []string{"99999", "-99999", "0"}, []string{"99999", "-99999", "0"}},
	{"decimal(18,18)", "decimal(18, 18)", "", []string{"0.999999999999999999", "-0.000000000000000001", "0.1"}, []string{"0.999999999999999999", "-0.000000000000000001", "0.100000000000000000"}},
	{"decimal(38,10)", "decimal(38, 10)", "", []string{"9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999", "-0.0000000001"}, []string{"9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999", "-0.0000000001"}},
	{"decimal(65,30)", "decimal256(65, 30)", "", []string{strings.Repeat("9", 35) + "." + strings.Repeat("9", 30), "-" + strings.Repeat("9", 35) + "." + strings.Repeat("9", 30), "1"}, []string{strings.Repeat("9", 35) + "." + strings.Repeat("9", 30), "-" + strings.Repeat("9", 35) + "." + strings.Repeat("9", 30), "1." + strings.Repeat("0", 30)}},
	{"date", "date32", "", []string{"'1000-01-01'", "'9999-12-31'", "'2024-02-29'"}, []string{"1000-01-01", "9999-12-31", "2024-02-29"}},
	{"datetime", "timestamp[us]", "", []string{"'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'1969-12-31 23:59:59'"}, []string{"1000-01-01 00:00:00", "9999-12-31 23:59:59", "1969-12-31 23:59:59"}},
	{"datetime(6)", "timestamp[us]", "", []string{"'1000-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'", "'2024-05-01 12:00:00'"}, []string{"1000-01-01 00:00:00.000001", "9999-12-31 23:59:59.999999", "2024-05-01 12:00:00"}},
	{"timestamp(6) NULL", "timestamp[us, tz=UTC]", "", []string{"'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2024-05-01 12:34:56.7'"}, []string{"1970-01-01 00:00:01", "2038-01-19 03:14:07.999999", "2024-05-01 12:34:56.7"}},
	{"time", "duration[us]", "", []string{"'-838:59:59'", "'838:59:59'", "'00:00:00'"}, []string{"-3020399000000", "3020399000000", "0"}},
	{"time(6)", "duration[us]", "", []string{"'-838:59:58.999999'", "'838:59:58.999999'", "'-00:00:00.000001'"}, []string{"-3020398999999", "3020398999999", "-1"}},
	{"year", "uint16", "year", []string{"1901", "2155", "0"}, []string{"1901", "2155", "0"}},
	{"char(10)", "utf8", "", []string{"'北前船'", "''", "'a\\'b'"}, []string{"北前船", "", "a'b"}},
	{"varchar(300)", "utf8", "", []string{"repeat('é', 300)", "'🚢'", "'tab\\tnl\\n'"}, []string{strings.Repeat("é", 300), "🚢", "tab\tnl\n"}},
	{"varchar(30) character set latin1", "utf8", "", []string{"'Zoë'", "''", "'x'"}, []string{"Zoë", "", "x"}},
	{"varchar(30) character set sjis", "utf8", "", []string{"'表示'", "''", "'ｱ'"}, []string{"表示", "", "ｱ"}},
	{"tinytext", "utf8", "", []string{"'a'", "''", "'b'"}, []string{"a", "", "b"}},
	{"mediumtext", "utf8", "", []string{"repeat('漢', 100000)", "''", "'b'"}, []string{strings.Repeat("漢", 100000), "", "b"}},
	{"longtext", "utf8", "", []string{"'{}'", "''", "'b'"}, []string{"{}", "", "b"}},
	{"enum('small','大きい','it''s')", "utf8", "enum", []string{"'small'", "'大きい'", "'it\\'s'"}, []string{"small", "大きい", "it's"}},
	{"set('a','b','c')", "utf8", "set", []string{"'a,c'", "''", "'a,b,c'"}, []string{"a,c", "", "a,b,c"}},
	{"json", "utf8", "json", []string{`'{"a": 1}'`, `'[]'`, `'"北"'`}, []string{`{"a": 1}`, `[]`, `"北"`}},
	{"binary(4)", "binary", "", []string{"x'00FF10'", "x'00000000'", "x'FFFFFFFF'"}, []string{"00ff1000", "00000000", "ffffffff"}},
	{"varbinary(20)", "binary", "", []string{"x'00FF'", "x''", "x'61'"}, []string{"00ff", "", "61"}},
	{"blob", "binary", "", []string{"x'00'", "x''", "repeat(x'FE', 65535)"}, []string{"00", "", strings.Repeat("fe", 65535)}},
	{"longblob", "binary", "", []string{"repeat(x'FE', 300000)", "x''", "x'01'"}, []string{strings.Repeat("fe", 300000), "", "01"}},
	{"bit(1)", "uint64", "bit", []string{"b'1'", "b'0'", "b'1'"}, []string{"1", "0", "1"}},
	{"bit(12)", "uint64", "bit", []string{"b'111111111111'", "b'0'", "b'100000001'"}, []string{"4095", "0", "257"}},
	{"bit(64)", "uint64", "bit", []string{"18446744073709551615", "0", "9223372036854775808"}, []string{"18446744073709551615", "0", "9223372036854775808"}},
	{"point", "binary", "geometry", []string{"ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(0 0)', 4326)", "ST_GeomFromText('POINT(-1 0)')"},
		[]string{"0101000000000000000000f03f0000000000000040", "0101000000" + strings.Repeat("00", 16), "0101000000000000000000f0bf0000000000000000"}},
	{"geometry", "binary", "geometry", []string{"ST_GeomFromText('LINESTRING(0 0,1 1)')", "NULL", "NULL"},
		[]string{"010200000002000000" + strings.Repeat("00", 16) + "000000000000f03f000000000000f03f", "NULL", "NULL"}},
}

// TestEveryType compares every value of every type with what was written down above.
func TestEveryType(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		defs, rows := []string{"id int PRIMARY KEY"}, make([][]string, 4)
		for r := range rows {
			rows[r] = []string{strconv.Itoa(r)}
		}
		cases := append([]typeCase{}, typeCases...)
		if s.Name == "mariadb" {
			cases = append(cases, typeCase{"uuid", "utf8", "uuid", []string{"'123E4567-e89b-12d3-a456-426614174000'", "'00000000-0000-0000-0000-000000000000'", "NULL"}, []string{"123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000", "NULL"}},
				typeCase{"inet6", "utf8", "", []string{"'2001:db8::1'", "'::'", "NULL"}, []string{"2001:db8::1", "::", "NULL"}})
		} else {
			cases = append(cases, typeCase{"vector(3)", "utf8", "unknown", []string{"string_to_vector('[1,2,3]')", "NULL", "string_to_vector('[0,-1,0.5]')"},
				[]string{"[1.00000e+00,2.00000e+00,3.00000e+00]", "NULL", "[0.00000e+00,-1.00000e+00,5.00000e-01]"}})
		}
		for k, c := range cases {
			defs = append(defs, fmt.Sprintf("c%d %s", k, c.native))
			for r := range 3 {
				rows[r] = append(rows[r], c.insert[r])
			}
			rows[3] = append(rows[3], "NULL")
		}
		s.Exec(t, db, "SET SESSION sql_mode=''", "CREATE TABLE t ("+strings.Join(defs, ", ")+") CHARACTER SET utf8mb4")
		for _, r := range rows {
			s.Exec(t, db, "INSERT INTO t VALUES ("+strings.Join(r, ", ")+")")
		}
		src := open(t, specFor(s, db))
		tab := table(t, src, "t")
		scan := scanOf(t, src, tab, 2)
		got, result, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 4 || len(result.Changed) != 0 || result.Bytes == 0 {
			t.Fatalf("%d rows, changed %v, %d bytes; want 4, none, some", len(got), result.Changed, result.Bytes)
		}
		for k, c := range cases {
			col := tab.Columns[k+1]
			if col.Type.DataType.String() != c.arrow && col.Type.String() != c.arrow && arrowName(col.Type.DataType) != c.arrow || col.Kind != c.kind {
				t.Errorf("%s is %s (%s), want %s (%s)", c.native, col.Type.DataType, col.Kind, c.arrow, c.kind)
			}
			for r := range 4 {
				want := "NULL"
				if r < 3 {
					want = c.want[r]
				}
				if got[r][k+1] != want {
					t.Errorf("%s row %d: got %.80s, want %.80s", c.native, r, got[r][k+1], want)
				}
			}
		}
	})
}

// arrowName is the short name the cases use.
func arrowName(d arrow.DataType) string {
	switch d := d.(type) {
	case *arrow.Float32Type:
		return "float"
	case *arrow.Float64Type:
		return "double"
	case arrow.DecimalType:
		return fmt.Sprintf("%s(%d, %d)", strings.Replace(d.Name(), "decimal128", "decimal", 1), d.GetPrecision(), d.GetScale())
	}
	return d.String()
}

func TestFromURL(t *testing.T) {
	u, err := url.Parse("mysql://kit%40me:p%C3%A4%3Ass@db.example:3307/app?tls=skip-verify&ca_file=ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Connector.FromURL(u)
	if err != nil {
		t.Fatal(err)
	}
	spec := got.(*Spec)
	if spec.Host != "db.example" || spec.Port != 3307 || spec.User != "kit@me" || spec.Password.Reveal() != "pä:ss" || spec.Database != "app" || spec.TLS.Mode != sqlkit.TLSSkipVerify || spec.TLS.CAFile != "ca.pem" {
		t.Errorf("got %+v", *spec)
	}
	if p := Connector.Source.Place(spec); p != "app on db.example:3307" {
		t.Errorf("place = %q", p)
	}
}
