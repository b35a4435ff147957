package conform

import (
	"fmt"
	"math"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal256"

	"github.com/kitamae/kitamae/batch"
)

// sort of value that every type has one of, a row each.
const (
	null = iota
	empty
	least
	greatest
	ordinary
	odd // what else breaks writers: NaN, control characters, one above an edge
	sorts
)

// typed is a column of one type.
type typed struct {
	typ    arrow.DataType
	kind   string
	noNUL  bool // texts without the NUL character
	narrow bool // Caps.Years9999
}

// allTypes are the contract's types: those connector.ParseType knows, with the kinds that refine them.
func allTypes() []typed {
	var all []typed
	add := func(kind string, types ...arrow.DataType) {
		for _, t := range types {
			all = append(all, typed{typ: t, kind: kind})
		}
	}
	zoned := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	clock := &arrow.TimestampType{Unit: arrow.Microsecond}
	add("", arrow.FixedWidthTypes.Boolean,
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
		arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
		arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Duration_us,
		arrow.FixedWidthTypes.MonthDayNanoInterval, clock, zoned)
	for _, p := range [][2]int32{{1, 0}, {4, 2}, {9, 9}, {18, 3}, {38, 0}, {38, 38}} {
		add("", &arrow.Decimal128Type{Precision: p[0], Scale: p[1]})
	}
	for _, p := range [][2]int32{{39, 0}, {65, 30}, {76, 76}} {
		add("", &arrow.Decimal256Type{Precision: p[0], Scale: p[1]})
	}
	for _, elem := range []arrow.DataType{
		arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64,
		arrow.BinaryTypes.String, arrow.BinaryTypes.Binary, arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time64us,
		clock, zoned, arrow.FixedWidthTypes.MonthDayNanoInterval,
		&arrow.Decimal128Type{Precision: 38, Scale: 10}, &arrow.Decimal256Type{Precision: 60, Scale: 20},
	} {
		add("", arrow.ListOf(elem))
	}
	for _, kind := range []string{batch.KindJSON, batch.KindUUID, batch.KindDecimal, batch.KindEnum, batch.KindSet, batch.KindBit, batch.KindUnknown} {
		add(kind, arrow.BinaryTypes.String)
	}
	add(batch.KindBit, arrow.PrimitiveTypes.Uint64)
	add(batch.KindYear, arrow.PrimitiveTypes.Uint16)
	add(batch.KindGeometry, arrow.BinaryTypes.Binary)
	add(batch.KindUUID, arrow.ListOf(arrow.BinaryTypes.String))
	return all
}

// everyTable has a row number and a column of each type; rows go round through the sorts of values.
func everyTable(s Suite) table {
	fields := []arrow.Field{batch.Field("n", arrow.PrimitiveTypes.Int64, false, "", "bigint", "row number")}
	types := allTypes()
	for i, t := range types {
		name := fmt.Sprintf("c%02d_%s_%s", i, t.typ.Name(), t.kind)
		fields = append(fields, batch.Field(strings.TrimSuffix(name, "_"), t.typ, true, t.kind, t.typ.String(), ""))
	}
	return table{name: "every_type", schema: arrow.NewSchema(fields, nil), fill: func(cols []*batch.Column, row int) {
		cols[0].Uint64(uint64(row))
		for i, t := range types {
			t.noNUL, t.narrow = s.RefusesNUL, s.Connector.Caps.Years9999
			put(cols[i+1], t, row%sorts)
		}
	}}
}

// put appends a type's value of one sort.
func put(c *batch.Column, t typed, sort int) {
	if sort == null {
		c.Null()
		return
	}
	if list, ok := t.typ.(*arrow.ListType); ok {
		if sort != empty {
			for s := range sorts { // nulls and emptiness among the elements
				put(c.Child(), typed{list.Elem(), t.kind, t.noNUL, t.narrow}, s)
			}
		}
		if sort == least {
			c.Child().Null()
		}
		c.List()
		return
	}
	if texts, ok := kindTexts[t.kind]; ok && t.typ.ID() == arrow.STRING {
		c.Value([]byte(texts[(sort-1)%len(texts)]))
		return
	}
	switch t.typ.ID() {
	case arrow.BOOL:
		c.Bool(sort%2 == 0)
	case arrow.STRING:
		text := texts[sort-1]
		if t.noNUL {
			text = strings.ReplaceAll(text, "\x00", "\x02")
		}
		c.Value([]byte(text))
	case arrow.BINARY:
		c.Value([]byte(binaries[sort-1]))
	case arrow.DECIMAL128, arrow.DECIMAL256:
		putDecimal(c, t.typ.(arrow.DecimalType), sort)
	case arrow.INTERVAL_MONTH_DAY_NANO:
		v := intervals[sort-1]
		c.Interval(v.Months, v.Days, v.Nanoseconds)
	default:
		putWord(c, t, sort)
	}
}

// kindTexts are the text values of kinds that allow not every text.
var kindTexts = map[string][]string{
	batch.KindJSON:    {`""`, `{"b": 1,  "a": 1e400, "a": 12345678901234567890.10}`, `[null, "日本\u0000\ud83d\ude00", {}]`, `{"k": "v"}`, ` null `},
	batch.KindUUID:    {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "7fffffff-ffff-ffff-ffff-ffffffffffff", "80000000-0000-0000-0000-000000000001"},
	batch.KindDecimal: {"0", "-" + strings.Repeat("9", 100) + "." + strings.Repeat("9", 50), "1" + strings.Repeat("0", 5000), "1.50", "NaN"},
	batch.KindSet:     {"", "a", "a,b,c", "日本,x"},
	batch.KindBit:     {"", "0", "1111111111111111111111111111111111111111111111111111111111111111", "0101"},
}

// texts and binaries are by sort, from empty to odd.
var texts = [sorts - 1]string{
	"",
	"\x01",
	strings.Repeat("長い文章。", 20_000),
	"Tanaka-san, 田中さん",
	"a\x00b,\"c\"\t'd'\\N\\\r\n;|NULL 😀 e\u0301 \u2028 \ufeff ",
}

var binaries = [sorts - 1]string{"", "\x00", strings.Repeat("\xff", 100_000), "\x89PNG\r\n", "\\x00 \xff\xfe\x00\"',\n"}

// intervals hold whole microseconds, as the databases' do.
var intervals = [sorts - 1]arrow.MonthDayNanoInterval{
	{},
	{Months: -2_136_000_000, Days: -math.MaxInt32, Nanoseconds: -9_223_372_036_854_775_000},
	{Months: 2_136_000_000, Days: math.MaxInt32, Nanoseconds: 9_223_372_036_854_775_000},
	{Months: 14, Days: 3, Nanoseconds: 14_706_789_000_000},
	{Months: 1, Days: -1, Nanoseconds: -1000},
}

// words are the values of types as wide as an integer, by sort from empty to odd. The extremes of dates and
// times are those that PostgreSQL and MySQL can hold.
var words = map[arrow.Type][sorts - 1]int64{
	arrow.INT8:      {0, math.MinInt8, math.MaxInt8, 42, -1},
	arrow.INT16:     {0, math.MinInt16, math.MaxInt16, 42, -1},
	arrow.INT32:     {0, math.MinInt32, math.MaxInt32, 42, -1},
	arrow.INT64:     {0, math.MinInt64, math.MaxInt64, 42, 1<<53 + 1},
	arrow.UINT8:     {0, 0, math.MaxUint8, 42, 128},
	arrow.UINT16:    {0, 0, math.MaxUint16, 1999, 2155},
	arrow.UINT32:    {0, 0, math.MaxUint32, 42, 1 << 31},
	arrow.UINT64:    {0, 0, -1, 42, math.MinInt64},
	arrow.DATE32:    {0, -2_440_588, 2_145_042_905, 19_723, -1},
	arrow.TIME64:    {0, 0, 86_399_999_999, 45_296_789_000, 86_400_000_000},
	arrow.DURATION:  {0, -3_020_399_999_999, 3_020_399_999_999, 3_661_000_000, -1},
	arrow.TIMESTAMP: {0, -210_866_803_200_000_000, 9_223_372_036_854_775_806, 1_700_000_000_123_456, -1},
}

var floats = [sorts - 1]float64{0, -math.MaxFloat64, math.MaxFloat64, 0.1, math.NaN()}

// narrowWords replace the words of a destination with Caps.Years9999: its first and last moments.
var narrowWords = map[arrow.Type][sorts - 1]int64{
	arrow.DATE32:    {0, -719_162, 2_932_896, 19_723, -1},
	arrow.TIME64:    {0, 0, 86_399_999_999, 45_296_789_000, 1},
	arrow.TIMESTAMP: {0, -62_135_596_800_000_000, 253_402_300_799_999_999, 1_700_000_000_123_456, -1},
}

func putWord(c *batch.Column, t typed, sort int) {
	typ, values := t.typ, words[t.typ.ID()]
	if narrow, ok := narrowWords[typ.ID()]; ok && t.narrow {
		values = narrow
	}
	word := uint64(values[sort-1])
	switch typ.ID() {
	case arrow.FLOAT32:
		c.Uint32(math.Float32bits(float32(max(-math.MaxFloat32, min(math.MaxFloat32, floats[sort-1])))))
		return
	case arrow.FLOAT64:
		c.Uint64(math.Float64bits(floats[sort-1]))
		return
	}
	c.Word(typ.(arrow.FixedWidthDataType).Bytes(), word)
}

func putDecimal(c *batch.Column, t arrow.DecimalType, sort int) {
	nines := decimal256.GetMaxValue(t.GetPrecision())
	v := map[int]decimal256.Num{
		empty: {}, least: nines.Negate(), greatest: nines, ordinary: decimal256.FromI64(7), odd: decimal256.FromI64(-1),
	}[sort]
	w := v.Array()
	if t.ID() == arrow.DECIMAL128 {
		c.Decimal128(int64(w[1]), w[0])
		return
	}
	c.Decimal256(w)
}
