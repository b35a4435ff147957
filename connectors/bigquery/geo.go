package bigquery

import (
	"encoding/binary"
	"math"
	"regexp"
	"strconv"
)

// Geometry arrives as WKB. Where the column is declared to be in SRID 4326, longitude and latitude on WGS 84, it becomes GEOGRAPHY: load jobs
// read it as WKT, which says each coordinate with all its digits.

var in4326 = regexp.MustCompile(`(?i)\bgeography\b|\b(srid )?4326\b`)

// geographic says whether a column's type at the source means longitude and latitude.
func geographic(native string) bool { return in4326.MatchString(native) }

// shape reads one WKB value and writes it as WKT. Its why says what GEOGRAPHY would change or refuse.
type shape struct {
	wkb []byte
	at  int
	out []byte
	why string
}

// appendWKT appends wkb as WKT, or says why GEOGRAPHY can't hold it as it is.
func appendWKT(dst, wkb []byte) (text []byte, why string) {
	s := shape{wkb: wkb, out: dst}
	s.geometry(0, true)
	if s.why == "" && s.at != len(wkb) {
		s.why = noWKB
	}
	return s.out, s.why
}

const noWKB = "bytes that are no WKB of two dimensions"

var shapeNames = [...]string{1: "POINT", 2: "LINESTRING", 3: "POLYGON", 4: "MULTIPOINT", 5: "MULTILINESTRING", 6: "MULTIPOLYGON", 7: "GEOMETRYCOLLECTION"}

// geometry takes one geometry with its header. named says whether the text begins with its name: inside a MULTIPOINT, points have none.
func (s *shape) geometry(inside uint32, named bool) {
	order, ok := s.take(1)
	if !ok || order[0] > 1 {
		s.fail(noWKB)
		return
	}
	var end binary.ByteOrder = binary.BigEndian
	if order[0] == 1 {
		end = binary.LittleEndian
	}
	kind := s.count(end)
	if s.why != "" || kind == 0 || int(kind) >= len(shapeNames) || inside != 0 && inside != 7 && kind != inside-3 || inside == 7 && kind == 7 {
		s.fail(noWKB)
		return
	}
	if named {
		s.out = append(s.out, shapeNames[kind]...)
	}
	switch kind {
	case 1:
		s.out = append(s.out, '(')
		s.point(end)
		s.out = append(s.out, ')')
	case 2:
		s.line(end, 2)
	case 3:
		s.list(end, 1, func(i int) { s.ring(end, i == 0) })
	default:
		s.list(end, 1, func(int) { s.geometry(kind, kind == 7) })
	}
}

func (s *shape) fail(why string) {
	if s.why == "" {
		s.why = why
	}
}

func (s *shape) take(n int) ([]byte, bool) {
	if s.why != "" || len(s.wkb)-s.at < n {
		s.fail(noWKB)
		return nil, false
	}
	s.at += n
	return s.wkb[s.at-n : s.at], true
}

func (s *shape) count(end binary.ByteOrder) uint32 {
	b, ok := s.take(4)
	if !ok {
		return 0
	}
	return end.Uint32(b)
}

// list takes what a count stands before.
func (s *shape) list(end binary.ByteOrder, least uint32, each func(i int)) {
	n := s.count(end)
	if n < least {
		s.fail("an empty geometry, whose kind GEOGRAPHY does not keep")
	}
	s.out = append(s.out, '(')
	for i := 0; i < int(n) && s.why == ""; i++ {
		if i > 0 {
			s.out = append(s.out, ", "...)
		}
		each(i)
	}
	s.out = append(s.out, ')')
}

func (s *shape) coordinates(end binary.ByteOrder) (x, y float64) {
	b, ok := s.take(16)
	if !ok {
		return 0, 0
	}
	x, y = math.Float64frombits(end.Uint64(b)), math.Float64frombits(end.Uint64(b[8:]))
	if !(x >= -180 && x <= 180 && y >= -90 && y <= 90) { // an empty point is NaN
		s.fail("coordinates that are no longitude and latitude")
	}
	return x, y
}

func (s *shape) put(x, y float64) {
	s.out = strconv.AppendFloat(s.out, x, 'g', -1, 64)
	s.out = strconv.AppendFloat(append(s.out, ' '), y, 'g', -1, 64)
}

func (s *shape) point(end binary.ByteOrder) { s.put(s.coordinates(end)) }

func (s *shape) line(end binary.ByteOrder, least uint32) {
	s.list(end, least, func(int) { s.point(end) })
}

// ring takes a polygon's ring. A load takes what is to the left of a ring for its inside, so that an outer one has to run
// counterclockwise and a hole clockwise, whichever way the source has them.
func (s *shape) ring(end binary.ByteOrder, outer bool) {
	n := int(s.count(end))
	if n < 4 || len(s.wkb)-s.at < 16*n {
		s.fail(noWKB)
		return
	}
	points := make([][2]float64, n)
	area, west, east := 0.0, 180.0, -180.0
	for i := range points {
		x, y := s.coordinates(end)
		points[i] = [2]float64{x, y}
		west, east = min(west, x), max(east, x)
		if i > 0 {
			area += points[i-1][0]*y - x*points[i-1][1]
		}
	}
	switch {
	case points[0] != points[n-1] || area == 0:
		s.fail("a polygon that is not closed or has no area")
	case east-west >= 180: // which side is meant can't be seen from the numbers
		s.fail("a polygon around half of the globe")
	}
	s.out = append(s.out, '(')
	for i := range points {
		p := points[i]
		if outer != (area > 0) {
			p = points[n-1-i]
		}
		if i > 0 {
			s.out = append(s.out, ", "...)
		}
		s.put(p[0], p[1])
	}
	s.out = append(s.out, ')')
}
