package digest

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
)

var everyType = []arrow.DataType{
	arrow.PrimitiveTypes.Int64, // the row's number: column 0
	arrow.FixedWidthTypes.Boolean,
	arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
	arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Duration_us,
	arrow.FixedWidthTypes.MonthDayNanoInterval, arrow.FixedWidthTypes.Timestamp_us,
	&arrow.Decimal128Type{Precision: 38, Scale: 4}, &arrow.Decimal256Type{Precision: 65, Scale: 30},
	arrow.ListOf(arrow.BinaryTypes.String), arrow.ListOf(arrow.PrimitiveTypes.Int32),
}

func everySchema() *arrow.Schema {
	var fields []arrow.Field
	for i, typ := range everyType {
		fields = append(fields, batch.Field(string(rune('a'+i)), typ, true, "", "", ""))
	}
	return arrow.NewSchema(fields, nil)
}

// random makes rows of every type with nulls; the same seed makes the same rows.
func random(tb testing.TB, seed uint64, rows int) arrow.RecordBatch {
	tb.Helper()
	b, err := batch.NewBuilder(everySchema(), &batch.Pool{}, 1<<30)
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	for n := range rows {
		b.Columns[0].Uint64(uint64(n))
		for i, typ := range everyType[1:] {
			put(rng, b.Columns[i+1], typ)
		}
	}
	rec, err := b.Batch()
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

func put(rng *rand.Rand, c *batch.Column, typ arrow.DataType) {
	if rng.IntN(5) == 0 {
		c.Null()
		return
	}
	v := rng.Uint64() >> rng.IntN(64)
	switch t := typ.(type) {
	case *arrow.BooleanType:
		c.Bool(v&1 == 1)
	case *arrow.StringType, *arrow.BinaryType:
		word := make([]byte, rng.IntN(90))
		for i := range word {
			word[i] = byte('a' + rng.IntN(3)*rng.IntN(3))
		}
		c.Value(word)
	case *arrow.Decimal256Type:
		c.Decimal256([4]uint64{v, rng.Uint64(), rng.Uint64(), v})
	case *arrow.ListType:
		for range rng.IntN(4) {
			put(rng, c.Child(), t.Elem())
		}
		c.List()
	case arrow.FixedWidthDataType:
		switch t.Bytes() {
		case 1:
			c.Uint8(uint8(v))
		case 2:
			c.Uint16(uint16(v))
		case 4:
			c.Uint32(uint32(v))
		case 8:
			c.Uint64(v)
		default:
			c.Decimal128(int64(v)*int64(rng.IntN(3)-1), rng.Uint64())
		}
	}
}

func digestOf(tb testing.TB, recs ...arrow.RecordBatch) Digest {
	tb.Helper()
	acc := New(everySchema(), Full)
	for _, rec := range recs {
		if err := acc.Add(rec); err != nil {
			tb.Fatal(err)
		}
	}
	return acc.Digest()
}

// same fails unless both digests are equal as data, not only where Compare looks.
func same(tb testing.TB, what string, want, got Digest) {
	tb.Helper()
	w, err1 := json.Marshal(want)
	g, err2 := json.Marshal(got)
	if err1 != nil || err2 != nil {
		tb.Fatal(err1, err2)
	}
	if string(w) != string(g) {
		tb.Errorf("%s: digest\n%s\nwant\n%s", what, g, w)
	}
	if diffs := Compare(want, got); len(diffs) > 0 {
		tb.Errorf("%s: %v", what, diffs)
	}
}

func TestDigestIgnoresDivisionAndOrder(t *testing.T) {
	rec := random(t, 1, 997)
	want := digestOf(t, rec)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		a := rng.Int64N(998)
		b := a + rng.Int64N(998-a)
		parts := []arrow.RecordBatch{rec.NewSlice(b, 997), rec.NewSlice(0, a), rec.NewSlice(a, b)}
		same(t, "divided", want, digestOf(t, parts...))
		var merged Digest
		for _, p := range parts {
			var part Digest
			data, err := json.Marshal(digestOf(t, p))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &part); err != nil {
				t.Fatal(err)
			}
			merged.Merge(part)
		}
		same(t, "merged", want, merged)
	}
	reversed := make([]arrow.RecordBatch, 997)
	for i := range reversed {
		reversed[996-i] = rec.NewSlice(int64(i), int64(i)+1)
	}
	same(t, "reversed", want, digestOf(t, reversed...))
}

func TestDigestCountsDuplicates(t *testing.T) {
	rec := random(t, 2, 10)
	if diffs := Compare(digestOf(t, rec), digestOf(t, rec, rec, rec)); len(diffs) == 0 {
		t.Error("rows three times have the digest of rows once")
	}
	pair, other := rec.NewSlice(0, 1), rec.NewSlice(1, 2)
	a, b := digestOf(t, pair, pair), digestOf(t, other, other)
	if *a.Hash == *b.Hash {
		t.Error("pairs of equal rows cancel out")
	}
}

// TestDigestIgnoresBytesUnderNulls rebuilds a batch with other bytes where nulls are.
func TestDigestIgnoresBytesUnderNulls(t *testing.T) {
	valid := memory.NewBufferBytes([]byte{0b101})
	make3 := func(hidden int64) arrow.Array {
		data := arrow.Int64Traits.CastToBytes([]int64{1, hidden, 3})
		return array.MakeFromData(array.NewData(arrow.PrimitiveTypes.Int64, 3, []*memory.Buffer{valid, memory.NewBufferBytes(data)}, nil, array.UnknownNullCount, 0))
	}
	text := func(hidden string) arrow.Array {
		all := "a" + hidden + "b"
		offs := arrow.Int32Traits.CastToBytes([]int32{0, 1, 1 + int32(len(hidden)), int32(len(all))})
		return array.MakeFromData(array.NewData(arrow.BinaryTypes.String, 3,
			[]*memory.Buffer{valid, memory.NewBufferBytes(offs), memory.NewBufferBytes([]byte(all))}, nil, 1, 0))
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	var digests []Digest
	for _, rec := range []arrow.RecordBatch{
		array.NewRecordBatch(schema, []arrow.Array{make3(0), text("")}, 3),
		array.NewRecordBatch(schema, []arrow.Array{make3(-77), text("zzzz")}, 3),
	} {
		acc := New(schema, Full)
		if err := acc.Add(rec); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, acc.Digest())
	}
	same(t, "under nulls", digests[0], digests[1])
}

// TestDigestSeesEveryCorruption changes each column of one row and wants it named.
func TestDigestSeesEveryCorruption(t *testing.T) {
	rec := random(t, 3, 50)
	want := digestOf(t, rec)
	for col, typ := range everyType {
		for row := int64(0); row < 50; row += 7 {
			other := random(t, 1000+uint64(col)*100+uint64(row), 1)
			if equal(rec.Column(col), int(row), other.Column(col), 0) {
				continue
			}
			cols := make([]arrow.Array, len(everyType))
			copy(cols, rec.NewSlice(row, row+1).Columns())
			cols[col] = other.Column(col)
			changed := array.NewRecordBatch(rec.Schema(), cols, 1)
			got := digestOf(t, rec.NewSlice(0, row), changed, rec.NewSlice(row+1, 50))
			diffs := Compare(want, got)
			if len(diffs) != 1 || diffs[0].Column != rec.ColumnName(col) {
				t.Errorf("%s changed in row %d: %v", typ, row, diffs)
			}
			if *want.Hash == *got.Hash {
				t.Errorf("%s changed in row %d: same row hash", typ, row)
			}
		}
	}
}

func TestFullSeesValuesInOtherRows(t *testing.T) {
	rec := random(t, 4, 2)
	a, b := rec.NewSlice(0, 1), rec.NewSlice(1, 2)
	for col, typ := range everyType {
		if equal(rec.Column(col), 0, rec.Column(col), 1) {
			continue
		}
		first, second := append([]arrow.Array(nil), a.Columns()...), append([]arrow.Array(nil), b.Columns()...)
		first[col], second[col] = second[col], first[col]
		got := digestOf(t, array.NewRecordBatch(rec.Schema(), first, 1), array.NewRecordBatch(rec.Schema(), second, 1))
		diffs := Compare(digestOf(t, rec), got)
		if len(diffs) != 1 || !strings.Contains(diffs[0].Text, "other rows") {
			t.Errorf("%s in another row: %v", typ, diffs)
		}
	}
}

func TestDigestSeesSwappedColumns(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int32}, {Name: "b", Type: arrow.PrimitiveTypes.Int32}}, nil)
	b := array.NewInt32Builder(memory.DefaultAllocator)
	b.AppendValues([]int32{1, 2}, nil)
	x := b.NewArray()
	b.AppendValues([]int32{2, 1}, nil) // the same values, so that only rows differ
	y := b.NewArray()
	acc1, acc2 := New(schema, Full), New(schema, Full)
	if err := acc1.Add(array.NewRecordBatch(schema, []arrow.Array{x, x}, 2)); err != nil {
		t.Fatal(err)
	}
	if err := acc2.Add(array.NewRecordBatch(schema, []arrow.Array{x, y}, 2)); err != nil {
		t.Fatal(err)
	}
	if len(Compare(acc1.Digest(), acc2.Digest())) == 0 {
		t.Error("(1,1)(2,2) has the digest of (1,2)(2,1)")
	}
}

func TestFloats(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "f", Type: arrow.PrimitiveTypes.Float64}}, nil)
	digest := func(values ...float64) Digest {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		b.AppendValues(values, nil)
		acc := New(schema, Full)
		if err := acc.Add(array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, int64(len(values)))); err != nil {
			t.Fatal(err)
		}
		return acc.Digest()
	}
	same(t, "all NaNs are one", digest(math.NaN()), digest(math.Float64frombits(0xfff8000000000123)))
	if len(Compare(digest(0), digest(math.Copysign(0, -1)))) == 0 {
		t.Error("-0 counts as 0")
	}
	if len(Compare(digest(1, -1, 2, -2), digest(-1, -1, -2, -2))) == 0 {
		t.Error("two lost signs cancel out")
	}
	got := Compare(digest(-1.5, 3), digest(-2.5, 3))
	if len(got) != 1 || got[0].String() != "column f: least value differs: -1.5 written, -2.5 staged" {
		t.Errorf("differences = %v", got)
	}
}

func TestCompareSays(t *testing.T) {
	base := Digest{Rows: 9, Columns: []ColumnDigest{{Name: "email", Nulls: 3, Bytes: 10, Min: []byte("a"), Max: []byte("z")}}}
	for _, tc := range []struct {
		change func(d *Digest)
		want   []Difference
	}{
		{func(d *Digest) {}, nil},
		{func(d *Digest) { d.Rows = 8 }, []Difference{{"", "9 rows written, 8 staged"}}},
		{func(d *Digest) { d.Columns[0].Nulls = 4 }, []Difference{{"email", "3 nulls written, 4 staged"}}},
		{func(d *Digest) { d.Columns[0].Bytes = 4 }, []Difference{{"email", "10 bytes written, 4 staged"}}},
		{func(d *Digest) { d.Columns[0].Max = []byte("y") }, []Difference{{"email", "greatest value differs"}}},
		{func(d *Digest) { d.Columns[0].Sum[1] = 4 }, []Difference{{"email", "sum differs"}}},
		{func(d *Digest) { d.Columns[0].Name = "name" }, []Difference{{"email", "column name stands in its place"}}},
		{func(d *Digest) { d.Columns = append(d.Columns, ColumnDigest{}) }, []Difference{{"", "1 columns written, 2 staged"}}},
		{func(d *Digest) { d.Columns = nil }, nil}, // level None counts rows only
	} {
		got := base.clone()
		tc.change(&got)
		if diffs := Compare(base, got); !reflect.DeepEqual(diffs, tc.want) {
			t.Errorf("differences = %v, want %v", diffs, tc.want)
		}
	}
	if diffs := Compare(Digest{}, New(everySchema(), Full).Digest()); diffs != nil {
		t.Errorf("no tasks and no rows differ: %v", diffs)
	}
}

func TestAddRefusesOtherTypes(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int32}}, nil)
	if err := New(schema, Aggregates).Add(random(t, 1, 1)); err == nil {
		t.Error("a batch with other columns was added")
	}
}

// FuzzDivision divides rows of any text at any place.
func FuzzDivision(f *testing.F) {
	f.Add("a|bb||\x00|\x00\x00|abcdefgh|abcdefg\x00|abcdefghi|日本語", uint8(3))
	f.Fuzz(func(t *testing.T, joined string, at uint8) {
		schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.Binary}}, nil)
		words := strings.Split(joined, "|")
		b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
		least, most := words[0], words[0]
		for _, w := range words {
			b.Append([]byte(w))
			least, most = min(least, w), max(most, w)
		}
		rec := array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, int64(len(words)))
		cut := int64(at) % int64(len(words)+1)
		whole, parts := New(schema, Full), New(schema, Full)
		for _, err := range []error{whole.Add(rec), parts.Add(rec.NewSlice(cut, rec.NumRows())), parts.Add(rec.NewSlice(0, cut))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want := whole.Digest()
		same(t, "divided", want, parts.Digest())
		c := want.Columns[0]
		if string(c.Min) != least[:min(64, len(least))] || string(c.Max) != most[:min(64, len(most))] || c.Bytes != int64(len(joined)-len(words)+1) {
			t.Errorf("least %q greatest %q bytes %d of %q", c.Min, c.Max, c.Bytes, words)
		}
	})
}
