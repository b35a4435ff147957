package bigquery

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
)

// samePoints says whether a text in WKT has the kind and all the points of a geometry in WKB, in any order: a polygon's rings may have been
// turned round.
func samePoints(wkt string, wkb []byte) bool {
	kind, _, _ := strings.Cut(wkt, "(")
	numbers := strings.FieldsFunc(wkt[len(kind):], func(r rune) bool { return !strings.ContainsRune("+-.eE0123456789", r) })
	var said []float64
	for _, n := range numbers {
		if n == "E" { // of a name inside a collection
			continue
		}
		v, err := strconv.ParseFloat(n, 64)
		if err != nil {
			return false
		}
		said = append(said, v)
	}
	number, points, rest, ok := wkbPoints(wkb)
	return ok && len(rest) == 0 && number >= 1 && number <= uint32(len(kinds)) && kinds[number-1] == kind && len(said) == 2*len(points) && slices.Equal(inOrder(inPairs(said)), inOrder(points))
}

// kinds are the names of geometries, numbered from 1.
var kinds = [...]string{"POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION"}

type point struct{ x, y float64 }

func inPairs(numbers []float64) (points []point) {
	for pair := range slices.Chunk(numbers, 2) {
		if len(pair) == 2 {
			points = append(points, point{pair[0], pair[1]})
		}
	}
	return points
}

func inOrder(points []point) []point {
	slices.SortFunc(points, func(a, b point) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y, b.y)) })
	return points
}

// wkbPoints takes one geometry: its kind, all its points, and the bytes after it.
func wkbPoints(b []byte) (kind uint32, points []point, rest []byte, ok bool) {
	if len(b) < 5 || b[0] > 1 {
		return 0, nil, nil, false
	}
	order := [...]binary.ByteOrder{binary.BigEndian, binary.LittleEndian}[b[0]]
	kind, b = order.Uint32(b[1:]), b[5:]
	count := func() (n int) {
		if ok = len(b) >= 4; ok {
			n, b = int(order.Uint32(b)), b[4:]
		}
		return n
	}
	line := func(n int) {
		for ; n > 0 && ok; n-- {
			if ok = len(b) >= 16; ok {
				points = append(points, point{math.Float64frombits(order.Uint64(b)), math.Float64frombits(order.Uint64(b[8:]))})
				b = b[16:]
			}
		}
	}
	ok = true
	switch kind {
	case 1:
		line(1)
	case 2:
		line(count())
	case 3:
		for n := count(); n > 0 && ok; n-- {
			line(count())
		}
	default:
		for n := count(); n > 0 && ok; n-- {
			var more []point
			_, more, b, ok = wkbPoints(b)
			points = append(points, more...)
		}
	}
	return kind, points, b, ok
}
