package postgres

import (
	"encoding/binary"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// fuzzHows are columns of every way to decode.
func fuzzHows() []how {
	cat := catalog{1007: {OID: 1007, Name: "_int4", Schema: "pg_catalog", Class: "b", Elem: oidInt4, Category: "A", Length: -1},
		oidInt4: {OID: oidInt4, Name: "int4", Schema: "pg_catalog", Class: "b"}}
	mod := func(p, s int32) int32 { return p<<16 + s + 4 }
	hows := []how{cat.resolve(1007, -1, 1), cat.resolve(oidNumeric, mod(15, 2), 0), cat.resolve(oidNumeric, mod(60, 20), 0)}
	for _, oid := range []uint32{oidBool, oidInt2, oidInt4, oidInt8, oidFloat8, oidNumeric, oidText, oidBytea, oidDate, oidTimestamp, oidTime, oidInterval, oidUUID, oidJSONB} {
		hows = append(hows, cat.resolve(oid, -1, 0))
	}
	return hows
}

func tupleDecoder(t testing.TB, hows []how) (*decoder, *batch.Builder) {
	t.Helper()
	var fields []arrow.Field
	names := make([]string, len(hows))
	for i, h := range hows {
		names[i] = string(rune('a' + i))
		fields = append(fields, arrow.Field{Name: names[i], Type: h.Type, Nullable: true})
	}
	b, err := batch.NewBuilder(arrow.NewSchema(fields, nil), &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return newDecoder("t", names, hows, b), b
}

// dataRow puts values together as a DataRow's body; nil is null.
func dataRow(values ...[]byte) []byte {
	p := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			p = binary.BigEndian.AppendUint32(p, 0xffffffff)
			continue
		}
		p = append(binary.BigEndian.AppendUint32(p, uint32(len(v))), v...)
	}
	return p
}

// whole is a row with a value in every column of fuzzHows.
func whole() []byte {
	return dataRow(
		[]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x17\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07\xff\xff\xff\xff"),
		[]byte("\x00\x03\x00\x01\x40\x00\x00\x02\x00\x01\x09\x29\x1a\x2c"), // -12345.67
		[]byte("\x00\x01\x00\x00\x00\x00\x00\x14\x00\x05"),
		[]byte{1}, []byte{0, 1}, []byte{0, 0, 0, 1}, make([]byte, 8), make([]byte, 8), []byte("\x00\x01\x00\x00\x00\x00\x00\x02\x00\x05"),
		[]byte("日本"), []byte{0xff}, make([]byte, 4), make([]byte, 8), make([]byte, 8), make([]byte, 16), make([]byte, 16), []byte("\x01{}"))
}

// TestCutShort cuts a good row everywhere: every prefix is an error, none a panic.
func TestCutShort(t *testing.T) {
	good := whole()
	for n := range len(good) {
		d, b := tupleDecoder(t, fuzzHows())
		if err := d.row(good[:n:n]); err == nil {
			t.Errorf("%d of %d bytes made a row", n, len(good))
		}
		b.Release()
	}
	d, b := tupleDecoder(t, fuzzHows())
	defer b.Release()
	if err := d.row(good); err != nil {
		t.Fatal(err)
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if got := show(rec.Column(0), 0) + " " + show(rec.Column(1), 0); got != "[7 null] -12345.67" {
		t.Errorf("got %s", got)
	}
}

// FuzzRow feeds the decoder rows no server sends: they end in an error or in a batch Arrow accepts.
func FuzzRow(f *testing.F) {
	f.Add(whole())
	f.Add(dataRow(make([][]byte, 17)...))
	f.Add([]byte{0, 17, 0xff, 0xff, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, p []byte) {
		d, b := tupleDecoder(t, fuzzHows())
		defer b.Release()
		if d.row(p) != nil {
			return
		}
		rec, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		texts(rec)
	})
}

// FuzzNumber compares the two ways to an unscaled number where both apply.
func FuzzNumber(f *testing.F) {
	f.Add([]byte("\x00\x03\x00\x01\x40\x00\x00\x02\x00\x01\x09\x29\x1a\x2c"), uint8(2))
	f.Add([]byte("\x00\x01\xff\xff\x00\x00\x00\x04\x00\x05"), uint8(4))
	f.Fuzz(func(t *testing.T, v []byte, scale uint8) {
		n, ok := parseNumber(v)
		if !ok {
			return
		}
		n.appendText(nil)
		s := int(scale % 39)
		small, ok := unscaled64(n.digits, n.weight, s)
		if !ok {
			return
		}
		if big, ok := n.big(s); !ok || big != [4]uint64{small} {
			t.Errorf("%x at scale %d: %d and %v %v", v, s, small, big, ok)
		}
	})
}
