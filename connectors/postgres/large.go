package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/kitamae/kitamae/fault"
)

// tooLarge names the value of n bytes in column k of the row p.
func (d *decoder) tooLarge(k, n int, p []byte) error {
	var key []string
	at := 2
	for i := range d.fields {
		size := max(0, int(int32(binary.BigEndian.Uint32(p[at:]))))
		at += 4
		if at+size > len(p) {
			break
		}
		if slices.Contains(d.key, i) {
			key = append(key, d.show(i, p[at:at+size]))
		}
		at += size
		if len(p)-at < 4 {
			break
		}
	}
	return d.tooLargeAt(k, n, key)
}

// tooLargeAt is the fault for a value of n bytes in column k of the row with this key.
func (d *decoder) tooLargeAt(k, n int, key []string) error {
	where := "in a row whose key is not read"
	if len(key) > 0 {
		where = "where " + strings.Join(key, ", ")
	}
	return fault.New(fault.Source, "value.too_large", "raise limits.memory, or leave the column out",
		"table %s column %s holds a value of %d bytes %s; one value may have %d", d.table, d.fields[k].name, n, where, d.max)
}

// show is a key's value for people.
func (d *decoder) show(k int, v []byte) string {
	f, text := &d.fields[k], ""
	switch {
	case f.op == opText:
		text = strconv.Quote(string(v))
	case f.op == op16 && len(v) == 2:
		text = strconv.Itoa(int(int16(binary.BigEndian.Uint16(v))))
	case f.op == op32 && len(v) == 4:
		text = strconv.Itoa(int(int32(binary.BigEndian.Uint32(v))))
	case f.op == op64 && len(v) == 8:
		text = strconv.FormatInt(int64(binary.BigEndian.Uint64(v)), 10)
	case f.op == opUUID && len(v) == 16:
		text = string(appendUUID(nil, v))
	default:
		text = "0x" + hex.EncodeToString(v)
	}
	return f.name + " = " + text
}
