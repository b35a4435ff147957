package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
)

// typeCase is one column type: what Discover says of it, and values in SQL with what arrives.
type typeCase struct {
	native, typ, kind string
	values            [][2]string // SQL expression, want as show prints it
	changed           map[string]int64
	from              int // the oldest version (server_version_num / 10000) that has it
}

const (
	max38 = "99999999999999999999999999999999999999"
	max65 = "99999999999999999999999999999999999999999999999999999999999999999"
)

var typeCases = []typeCase{
	{native: "boolean", typ: "bool", values: [][2]string{{"true", "true"}, {"false", "false"}}},
	{native: "smallint", typ: "int16", values: [][2]string{{"-32768", "-32768"}, {"0", "0"}, {"32767", "32767"}}},
	{native: "integer", typ: "int32", values: [][2]string{{"-2147483648", "-2147483648"}, {"7", "7"}, {"2147483647", "2147483647"}}},
	{native: "bigint", typ: "int64", values: [][2]string{{"-9223372036854775808", "-9223372036854775808"}, {"-1", "-1"}, {"9223372036854775807", "9223372036854775807"}}},
	{native: "oid", typ: "uint32", values: [][2]string{{"'0'", "0"}, {"'4294967295'", "4294967295"}}},
	{native: "real", typ: "float32", values: [][2]string{{"1.5", "1.5"}, {"'NaN'", "NaN"}, {"'-Infinity'", "-Inf"}, {"3.4028235e38", "3.4028235e+38"}, {"1e-45", "1e-45"}, {"0.1", "0.1"}}},
	{native: "double precision", typ: "float64", values: [][2]string{{"0.1", "0.1"}, {"'NaN'", "NaN"}, {"'Infinity'", "+Inf"}, {"1.7976931348623157e308", "1.7976931348623157e+308"}, {"5e-324", "5e-324"}, {"'-0'", "-0"}}},
	{native: "numeric(15,2)", typ: "decimal(15,2)", values: [][2]string{{"0", "0.00"}, {"12345.67", "12345.67"}, {"-0.05", "-0.05"}, {"9999999999999.99", "9999999999999.99"},
		{"-9999999999999.99", "-9999999999999.99"}, {"10000", "10000.00"}, {"100000000", "100000000.00"}, {"0.1", "0.10"}, {"'NaN'", "null"}}, changed: map[string]int64{"NaN, now null": 1}},
	{native: "numeric(38,0)", typ: "decimal(38,0)", values: [][2]string{{max38, max38}, {"-" + max38, "-" + max38}, {"1", "1"}, {"18446744073709551616", "18446744073709551616"}, {"1e37", "1" + strings.Repeat("0", 37)}}},
	{native: "numeric(38,38)", typ: "decimal(38,38)", values: [][2]string{{"0." + max38, "0." + max38}, {"-1e-38", "-0." + strings.Repeat("0", 37) + "1"}, {"0", "0." + strings.Repeat("0", 38)}}},
	{native: "numeric(38,10)", typ: "decimal(38,10)", values: [][2]string{{"1.0000000001", "1.0000000001"}, {"0.0000000001", "0.0000000001"}, {"1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"}}},
	{native: "numeric(4,3)", typ: "decimal(4,3)", values: [][2]string{{"9.999", "9.999"}, {"-1.001", "-1.001"}, {"0.001", "0.001"}}},
	{native: "numeric(5,1)", typ: "decimal(5,1)", values: [][2]string{{"9999.9", "9999.9"}, {"-1000.1", "-1000.1"}}},
	{native: "numeric(65,0)", typ: "decimal256(65,0)", values: [][2]string{{max65, max65}, {"-" + max65, "-" + max65}, {"0", "0"}}},
	{native: "numeric(76,30)", typ: "decimal256(76,30)", values: [][2]string{{"-1.5", "-1.5" + strings.Repeat("0", 29)}, {"1e-30", "0." + strings.Repeat("0", 29) + "1"}, {"'NaN'", "null"}}, changed: map[string]int64{"NaN, now null": 1}},
	{native: "numeric", typ: "utf8", kind: "decimal", values: [][2]string{{"1.50", "1.50"}, {"-0.000", "0.000"}, {"1e-20", "0.00000000000000000001"}, {"123456789012345678901234567890.5", "123456789012345678901234567890.5"},
		{"'NaN'", "NaN"}, {"10000", "10000"}, {"0.00010", "0.00010"}, {"1e30", "1" + strings.Repeat("0", 30)}, {"-12.0001", "-12.0001"}, {"0", "0"}}},
	{native: "numeric(80,2)", typ: "utf8", kind: "decimal", values: [][2]string{{"1.5", "1.50"}}},
	{native: "numeric(3,-2)", typ: "utf8", kind: "decimal", values: [][2]string{{"12345", "12300"}}, from: 15},
	{native: "numeric(2,4)", typ: "utf8", kind: "decimal", values: [][2]string{{"0.0012", "0.0012"}}, from: 15},
	{native: "text", typ: "utf8", values: [][2]string{{"''", ""}, {"'日本語 🍣 ' || chr(10) || '\"x\"'", "日本語 🍣 \n\"x\""}, {"repeat('あ', 100000)", strings.Repeat("あ", 100000)}}},
	{native: "character varying(5)", typ: "utf8", values: [][2]string{{"'héllo'", "héllo"}}},
	{native: "character(4)", typ: "utf8", values: [][2]string{{"'ab'", "ab  "}, {"'日本'", "日本  "}}},
	{native: "name", typ: "utf8", values: [][2]string{{"'users'", "users"}}},
	{native: `"char"`, typ: "utf8", values: [][2]string{{"'x'", "x"}, {"''", ""}}},
	{native: "bytea", typ: "binary", values: [][2]string{{"''", ""}, {`'\x00ff5c'`, "00ff5c"}, {`decode(repeat('ab', 300000), 'hex')`, strings.Repeat("ab", 300000)}}},
	{native: "date", typ: "date32", values: [][2]string{{"'1970-01-01'", "0"}, {"'2000-02-29'", "11016"}, {"'0001-01-01'", "-719162"}, {"'4713-01-01 BC'", "-2440550"}, {"'5874897-12-31'", "2145042905"},
		{"'infinity'", "null"}, {"'-infinity'", "null"}}, changed: map[string]int64{"infinity, now null": 2}},
	{native: "timestamp without time zone", typ: "timestamp[us]", values: [][2]string{{"'1970-01-01 00:00:00.000001'", "1"}, {"'2024-02-29 23:59:59.999999'", "1709251199999999"}, {"'1969-12-31 23:59:59.999999'", "-1"},
		{"'4713-01-01 00:00:00 BC'", "-210863520000000000"}, {"'infinity'", "null"}, {"'-infinity'", "null"}, {"'294276-12-31 23:59:59.999999'", "null"}},
		changed: map[string]int64{"infinity, now null": 2, "beyond the range of microseconds since 1970, now null": 1}},
	{native: "timestamp(3) without time zone", typ: "timestamp[us]", values: [][2]string{{"'2024-01-01 00:00:00.1239'", "1704067200124000"}}},
	{native: "timestamp with time zone", typ: "timestamp[us, tz=UTC]", values: [][2]string{{"'2024-07-01 09:00:00+09'", "1719792000000000"}, {"'1970-01-01 00:00:00Z'", "0"}, {"'infinity'", "null"}}, changed: map[string]int64{"infinity, now null": 1}},
	{native: "time without time zone", typ: "time64[us]", values: [][2]string{{"'00:00'", "0"}, {"'23:59:59.999999'", "86399999999"}, {"'24:00'", "86400000000"}}},
	{native: "time with time zone", typ: "utf8", values: [][2]string{{"'23:59:59.5+09'", "23:59:59.5+09"}}},
	{native: "interval", typ: "month_day_nano_interval", values: [][2]string{{"'1 year 2 months -3 days 04:05:06.789'", "14/-3/14706789000000"}, {"'-1 month'", "-1/0/0"}, {"'0'", "0/0/0"}, {"'-0.5 seconds'", "0/0/-500000000"},
		{"'-1 year 1 day -00:00:01'", "-12/1/-1000000000"}, {"'2562047 hours'", "0/0/9223369200000000000"}, {"'2562048 hours'", "null"}}, changed: map[string]int64{"interval beyond nanoseconds, now null": 1}},
	{native: "interval", typ: "month_day_nano_interval", values: [][2]string{{"'infinity'", "null"}, {"'-infinity'", "null"}}, changed: map[string]int64{"infinity, now null": 2}, from: 17},
	{native: "uuid", typ: "utf8", kind: "uuid", values: [][2]string{{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {"'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000"}}},
	{native: "json", typ: "utf8", kind: "json", values: [][2]string{{`'{"b": 1,  "a":[null]}'`, `{"b": 1,  "a":[null]}`}, {`'"日"'`, `"日"`}}},
	{native: "jsonb", typ: "utf8", kind: "json", values: [][2]string{{`'{"b": 1,  "a":[null, 1.10]}'`, `{"a": [null, 1.10], "b": 1}`}, {"'null'", "null"}}},
	{native: "mood", typ: "utf8", kind: "enum", values: [][2]string{{"'sad'", "sad"}, {"'とても happy'", "とても happy"}}},
	{native: "posint", typ: "int32", values: [][2]string{{"5", "5"}}},
	{native: "price", typ: "decimal(10,2)", values: [][2]string{{"5.25", "5.25"}}},
	{native: "tags", typ: "list<utf8>", values: [][2]string{{"'{a,b}'", "[a b]"}}},
	{native: "bit(5)", typ: "utf8", kind: "bit", values: [][2]string{{"B'10101'", "10101"}}},
	{native: "bit varying(9)", typ: "utf8", kind: "bit", values: [][2]string{{"B'1'", "1"}, {"B''", ""}}},
	{native: "integer[]", typ: "list<int32>", values: [][2]string{{"'{}'", "[]"}, {"'{1,NULL,-3}'", "[1 null -3]"}, {"'[0:1]={7,8}'", "[7 8]"}}, changed: map[string]int64{"array not starting at 1, bounds dropped": 1}},
	{native: "text[]", typ: "list<utf8>", values: [][2]string{{`'{"a,b","",NULL,"NULL","q\"\\","{}"}'`, `[a,b  null NULL q"\ {}]`}}},
	{native: "numeric(10,2)[]", typ: "list<decimal(10,2)>", values: [][2]string{{"'{1.5,NaN,NULL}'", "[1.50 null null]"}}, changed: map[string]int64{"NaN, now null": 1}},
	{native: "timestamp with time zone[]", typ: "list<timestamp[us, tz=UTC]>", values: [][2]string{{"ARRAY['1970-01-01 00:00:01Z'::timestamptz, 'infinity']", "[1000000 null]"}}, changed: map[string]int64{"infinity, now null": 1}},
	{native: "uuid[]", typ: "list<utf8>", values: [][2]string{{"ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]", "[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11]"}}},
	{native: "boolean[]", typ: "list<bool>", values: [][2]string{{"'{t,f,NULL}'", "[true false null]"}}},
	{native: "bytea[]", typ: "list<binary>", values: [][2]string{{`ARRAY['\x00'::bytea, '\xff22'::bytea]`, "[00 ff22]"}}},
	{native: "mood[]", typ: "list<utf8>", values: [][2]string{{"ARRAY['sad'::mood]", "[sad]"}}},
	{native: "posint[]", typ: "list<int32>", values: [][2]string{{"'{3,4}'", "[3 4]"}}},
	{native: "inet[]", typ: "list<utf8>", values: [][2]string{{"'{10.0.0.1,::1/128,NULL}'", "[10.0.0.1/32 ::1/128 null]"}}},
	{native: "jsonb[]", typ: "list<utf8>", values: [][2]string{{`ARRAY['{"a": 1}'::jsonb]`, `[{"a": 1}]`}}},
	{native: "pair[]", typ: "list<utf8>", values: [][2]string{{"ARRAY[ROW(1,'x')::pair]", "[(1,x)]"}}},
	{native: "pair", typ: "utf8", values: [][2]string{{"ROW(1,'a b')", `(1,"a b")`}}},
	{native: "int4range", typ: "utf8", values: [][2]string{{"'[1,5)'", "[1,5)"}, {"'empty'", "empty"}}},
	{native: "int4multirange", typ: "utf8", values: [][2]string{{"'{[1,3),[5,7)}'", "{[1,3),[5,7)}"}}, from: 14},
	{native: "inet", typ: "utf8", values: [][2]string{{"'192.168.0.1/24'", "192.168.0.1/24"}, {"'::1'", "::1/128"}}},
	{native: "cidr", typ: "utf8", values: [][2]string{{"'10.0.0.0/8'", "10.0.0.0/8"}}},
	{native: "macaddr", typ: "utf8", values: [][2]string{{"'08:00:2b:01:02:03'", "08:00:2b:01:02:03"}}},
	{native: "money", typ: "utf8", values: [][2]string{{"12.5::numeric", "$12.50"}}},
	{native: "point", typ: "utf8", values: [][2]string{{"'(1,2.5)'", "(1,2.5)"}}},
	{native: "tsvector", typ: "utf8", values: [][2]string{{"'a b'", "'a' 'b'"}}},
	{native: "int2vector", typ: "utf8", values: [][2]string{{"'1 2'", "1 2"}}},
	{native: "pg_lsn", typ: "utf8", values: [][2]string{{"'16/B374D848'", "16/B374D848"}}},
	{native: "bigint[][]", typ: "utf8", values: [][2]string{{"'{{1,2},{3,4}}'", "{{1,2},{3,4}}"}}},
	{native: "citext", typ: "utf8", values: [][2]string{{"'Straße'", "Straße"}}},
	{native: "hstore", typ: "utf8", values: [][2]string{{"'a=>1, b=>NULL'", `"a"=>"1", "b"=>NULL`}}},
	{native: "citext[]", typ: "list<utf8>", values: [][2]string{{"'{A,b}'", "[A b]"}}},
	{native: "widget", typ: "utf8", kind: "unknown", values: [][2]string{{"'anything'", "anything"}}},
}

// typeSetup makes the types the cases use. widget is a base type no one knows: it borrows text's functions.
var typeSetup = []string{
	`CREATE EXTENSION citext`, `CREATE EXTENSION hstore`,
	`CREATE TYPE mood AS ENUM ('sad', 'とても happy')`, `CREATE DOMAIN posint AS integer CHECK (VALUE > 0)`, `CREATE DOMAIN pricebase AS numeric(10,2)`,
	`CREATE DOMAIN price AS pricebase`, `CREATE DOMAIN tags AS text[]`, `CREATE TYPE pair AS (a int, b text)`, `CREATE TYPE widget`,
	`CREATE FUNCTION widget_in(cstring) RETURNS widget AS 'textin' LANGUAGE internal STRICT IMMUTABLE`,
	`CREATE FUNCTION widget_out(widget) RETURNS cstring AS 'textout' LANGUAGE internal STRICT IMMUTABLE`,
	`CREATE TYPE widget (INPUT = widget_in, OUTPUT = widget_out, LIKE = text)`,
}

func TestTypes(t *testing.T) {
	eachVersion(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, typeSetup...)
		var major int
		if _, err := fmt.Sscanf(server.Version, "%d", &major); err != nil {
			t.Fatal(err)
		}
		var asked []int
		for i, tc := range typeCases {
			if tc.from > major {
				continue
			}
			asked = append(asked, i)
			rows := []string{"(0, NULL)"}
			for k, v := range tc.values {
				rows = append(rows, fmt.Sprintf("(%d, %s)", k+1, v[0]))
			}
			server.Exec(t, db, fmt.Sprintf(`CREATE TABLE t_%d (ord int PRIMARY KEY, v %s)`, i, tc.native),
				fmt.Sprintf("INSERT INTO t_%d VALUES %s", i, strings.Join(rows, ", ")))
		}
		s := open(t, specFor(server, db))
		tables := discover(t, s)
		var found []connector.Table
		for _, i := range asked {
			found = append(found, tables[fmt.Sprintf("t_%d", i)])
		}
		req := wants(found...)
		sc := scan(t, s, req)
		for at, i := range asked {
			tc := typeCases[i]
			t.Run(tc.native, func(t *testing.T) {
				col := found[at].Columns[1]
				if got := [2]string{col.Type.String(), col.Kind}; got != [2]string{tc.typ, tc.kind} {
					t.Errorf("read as %q, want %q %q", got, tc.typ, tc.kind)
				}
				rows, result := read(t, s, sc.Tables[at].Partitions[0])
				want := [][]string{{"0", "null"}}
				for k, v := range tc.values {
					want = append(want, []string{fmt.Sprint(k + 1), v[1]})
				}
				if diff := cmp.Diff(want, rows); diff != "" {
					t.Errorf("want -, got +\n%s", diff)
				}
				if diff := cmp.Diff(tc.changed, result.Changed["v"]); diff != "" {
					t.Errorf("changed: want -, got +\n%s", diff)
				}
				sample, err := s.Sample(t.Context(), req.Tables[at], 100)
				if err != nil {
					t.Fatal(err)
				}
				defer sample.Release()
				sampled := texts(sample)
				slices.SortFunc(sampled, func(a, b []string) int { return slices.Compare(a, b) })
				slices.SortFunc(want, func(a, b []string) int { return slices.Compare(a, b) })
				if diff := cmp.Diff(want, sampled); diff != "" {
					t.Errorf("sample: want -, got +\n%s", diff)
				}
			})
		}
	})
}
