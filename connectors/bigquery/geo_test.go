package bigquery

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// wkb builds WKB: uint32 counts and kinds, float64 coordinates; a kind begins a geometry.
type kind uint32

func wkb(end binary.AppendByteOrder, parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case kind:
			order := byte(1)
			if end == binary.AppendByteOrder(binary.BigEndian) {
				order = 0
			}
			b = end.AppendUint32(append(b, order), uint32(p))
		case int:
			b = end.AppendUint32(b, uint32(p))
		case float64:
			b = end.AppendUint64(b, math.Float64bits(p))
		case []any:
			b = append(b, wkb(end, p...)...)
		}
	}
	return b
}

func TestWKT(t *testing.T) {
	square := []any{4 + 1, 0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0, 0.0, 0.0} // counterclockwise
	turned := []any{4 + 1, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5}
	line := []any{2, 1.0, 2.0, -3.5, 4.25}
	for _, tc := range []struct {
		name  string
		parts []any
		want  string // WKT, or why not
	}{
		{"point", []any{kind(1), 139.6917, 35.689487}, "POINT(139.6917 35.689487)"},
		{"all digits", []any{kind(1), 0.30000000000000004, 1e-7}, "POINT(0.30000000000000004 1e-07)"},
		{"line", []any{kind(2), line}, "LINESTRING(1 2, -3.5 4.25)"},
		{"polygon", []any{kind(3), 1, square}, "POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))"},
		{"hole as it should run", []any{kind(3), 2, square, turned}, "POLYGON((0 0, 2 0, 2 2, 0 2, 0 0), (0.5 0.5, 0.5 1, 1 1, 1 0.5, 0.5 0.5))"},
		{"both the other way", []any{kind(3), 2, turned, square}, "POLYGON((0.5 0.5, 1 0.5, 1 1, 0.5 1, 0.5 0.5), (0 0, 0 2, 2 2, 2 0, 0 0))"},
		{"points", []any{kind(4), 2, kind(1), 1.0, 2.0, kind(1), 3.0, 4.0}, "MULTIPOINT((1 2), (3 4))"},
		{"lines", []any{kind(5), 1, kind(2), line}, "MULTILINESTRING((1 2, -3.5 4.25))"},
		{"polygons", []any{kind(6), 1, kind(3), 1, square}, "MULTIPOLYGON(((0 0, 2 0, 2 2, 0 2, 0 0)))"},
		{"collection", []any{kind(7), 2, kind(1), 1.0, 2.0, kind(2), line}, "GEOMETRYCOLLECTION(POINT(1 2), LINESTRING(1 2, -3.5 4.25))"},
		{"edges of the globe", []any{kind(2), 2, -180.0, -90.0, 180.0, 90.0}, "LINESTRING(-180 -90, 180 90)"},
		{"east of all", []any{kind(1), 180.5, 0.0}, "no longitude"},
		{"latitude first", []any{kind(1), 35.689487, 139.6917}, "no longitude"},
		{"empty point", []any{kind(1), math.NaN(), math.NaN()}, "no longitude"},
		{"empty collection", []any{kind(7), 0}, "empty"},
		{"line of one point", []any{kind(2), 1, 1.0, 2.0}, "empty"},
		{"open ring", []any{kind(3), 1, 4, 0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0}, "closed"},
		{"flat ring", []any{kind(3), 1, 4, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0, 0.0}, "area"},
		{"around the globe", []any{kind(3), 1, 4, -170.0, 0.0, 170.0, 0.0, 0.0, 80.0, -170.0, 0.0}, "half of the globe"},
		{"three dimensions", []any{kind(1001), 1.0, 2.0, 3.0}, noWKB},
		{"a SRID of its own", []any{kind(0x20000001), 4326, 1.0, 2.0}, noWKB},
		{"a line among points", []any{kind(4), 1, kind(2), line}, noWKB},
		{"a count too high", []any{kind(3), 1, 1 << 31, 0.0}, noWKB},
		{"cut off", []any{kind(2), 2, 1.0, 2.0, 3.0}, noWKB},
		{"more behind", []any{kind(1), 1.0, 2.0, 3.0}, noWKB},
		{"nothing", nil, noWKB},
	} {
		for _, end := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			text, why := appendWKT([]byte("> "), wkb(end, tc.parts...))
			if got := string(text) + "|" + why; got != "> "+tc.want+"|" && (why == "" || !strings.Contains(why, tc.want)) {
				t.Errorf("%s, %s: %s, want %s", tc.name, end, got, tc.want)
			}
		}
	}
}

func TestGeographic(t *testing.T) {
	for native, want := range map[string]bool{
		"point SRID 4326": true, "geometry(Point,4326)": true, "geography": true, "geography(Point,4326)": true, "geometry(GeometryZ,4326)": true,
		"point": false, "geometry": false, "geometry(Point,3857)": false, "point SRID 0": false, "polygon SRID 43261": false,
	} {
		if got := geographic(native); got != want {
			t.Errorf("%s: %v", native, got)
		}
	}
}

func FuzzWKT(f *testing.F) {
	f.Add(wkb(binary.LittleEndian, kind(7), 1, kind(3), 1, 4, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, why := appendWKT(nil, b); why == "" && len(text) < len("POINT(0 0)") {
			t.Errorf("%x is %q", b, text)
		}
	})
}
