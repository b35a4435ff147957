package mysql

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/kitamae/kitamae/fault"
)

// span says how many bytes of p, which starts at a value of c, are its header and how many
// follow. ok is false when the header has not arrived yet.
func (c *cell) span(p []byte) (head, size int, ok bool) {
	switch c.code {
	case asByte, boolByte:
		return 0, 1, true
	case asTwo, boolTwo:
		return 0, 2, true
	case asFour, boolFour:
		return 0, 4, true
	case asEight, boolEight:
		return 0, 8, true
	}
	if len(p) == 0 {
		return 0, 0, false
	}
	n, head := lengthOf(p)
	if head == 0 || n > 1<<40 {
		return 0, 0, false
	}
	return head, int(n), true
}

// each walks over the values of a row as far as it has arrived, nulls left out. A value
// that has arrived in part is cut; size is its whole length. It stops when visit says so.
func (d *rowDecoder) each(row []byte, visit func(c *cell, v []byte, size int) bool) {
	i := 1 + (len(d.cells)+9)/8
	if len(row) < i {
		return
	}
	nulls := row[1:i]
	for k := range d.cells {
		if bit := uint(k) + 2; nulls[bit>>3]>>(bit&7)&1 == 1 {
			continue
		}
		head, size, ok := d.cells[k].span(row[i:])
		if !ok {
			return
		}
		i = min(i+head, len(row))
		v := row[i:min(i+size, len(row))]
		i += len(v)
		if !visit(&d.cells[k], v, size) || len(v) < size {
			return
		}
	}
}

// rowFactor is how many times the largest allowed value a whole row may be.
const rowFactor = 4

// inspect refuses a large row as soon as the length of a value too large has arrived.
func (d *rowDecoder) inspect(part []byte) error {
	var refused *cell
	var length, most int
	d.each(part, func(c *cell, _ []byte, size int) bool {
		if size > most {
			most, refused = size, c
		}
		return size <= d.maxValue
	})
	if most > d.maxValue {
		length = most
	} else if len(part) > rowFactor*max(d.maxValue, largeStep) {
		return fault.New(fault.Source, "value.too_large", "raise limits.memory, or leave large columns out",
			"table %s, row with %s: more than %d MiB", d.table, d.keyOf(part), len(part)>>20)
	}
	if length == 0 {
		return nil
	}
	return d.refuse(part, refused, length)
}

// tooLarge is the fault for the k-th value of row.
func (d *rowDecoder) tooLarge(row []byte, k, size int) error { return d.refuse(row, &d.cells[k], size) }

func (d *rowDecoder) refuse(row []byte, c *cell, size int) error {
	return fault.New(fault.Source, "value.too_large", "raise limits.memory, or leave the column out with columns: {drop: ["+c.name+"]}",
		"table %s, column %s, row with %s: a value of %s, more than the %s that memory allows",
		d.table, c.name, d.keyOf(row), amount(size), amount(d.maxValue))
}

func amount(n int) string {
	if n < 10<<20 {
		return strconv.Itoa(n) + " bytes"
	}
	return strconv.Itoa(n>>20) + " MiB"
}

// keyOf names a row by its key's values, as far as they have arrived.
func (d *rowDecoder) keyOf(row []byte) string {
	var parts []string
	d.each(row, func(c *cell, v []byte, size int) bool {
		if c.key && len(v) == size && size <= 200 {
			parts = append(parts, c.name+" "+c.show(v))
		}
		return true
	})
	if parts == nil {
		return "unknown key"
	}
	return "key " + strings.Join(parts, ", ")
}

// show prints a key's value for people.
func (c *cell) show(v []byte) string {
	unsigned := false
	if c.typeName != "" {
		unsigned = c.typeName[0] == 'u'
	}
	var n uint64
	switch c.code {
	case asByte:
		n = uint64(v[0])
		if !unsigned {
			n = uint64(int8(v[0]))
		}
	case asTwo:
		n = uint64(binary.LittleEndian.Uint16(v))
		if !unsigned {
			n = uint64(int16(n))
		}
	case asFour:
		n = uint64(binary.LittleEndian.Uint32(v))
		if !unsigned {
			n = uint64(int32(n))
		}
	case asEight:
		n = binary.LittleEndian.Uint64(v)
	case asText, asDecimal128, asDecimal256:
		return fmt.Sprintf("%q", v)
	case asBytes:
		return fmt.Sprintf("x'%X'", v)
	default:
		return "(" + c.typeName + ")"
	}
	if unsigned {
		return strconv.FormatUint(n, 10)
	}
	return strconv.FormatInt(int64(n), 10)
}
