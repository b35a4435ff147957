package batch

import (
	"encoding/hex"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// AppendJSON appends value i as JSON: numbers (decimals too, with all their digits),
// true and false, null, lists as arrays, structs as objects, and everything else as a string of its
// [AppendText] form. NaN and the infinities, which JSON has no number for, are strings.
func AppendJSON(dst []byte, arr arrow.Array, i int) []byte {
	if arr.IsNull(i) {
		return append(dst, "null"...)
	}
	switch a := arr.(type) {
	case *array.Boolean, *array.Int8, *array.Int16, *array.Int32, *array.Int64,
		*array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64, *array.Decimal128, *array.Decimal256:
		return appendPlain(dst, arr, i)
	case *array.Float32:
		return appendJSONFloat(dst, float64(a.Value(i)), 32)
	case *array.Float64:
		return appendJSONFloat(dst, a.Value(i), 64)
	case *array.String:
		return AppendJSONString(dst, a.Value(i))
	case *array.LargeString:
		return AppendJSONString(dst, a.Value(i))
	case *array.StringView:
		return AppendJSONString(dst, a.Value(i))
	case *array.Binary:
		return appendJSONHex(dst, a.Value(i))
	case *array.LargeBinary:
		return appendJSONHex(dst, a.Value(i))
	case *array.FixedSizeBinary:
		return appendJSONHex(dst, a.Value(i))
	case *array.Struct:
		return appendObject(dst, a, i)
	case array.ListLike:
		return appendList(dst, a, i)
	}
	dst = append(dst, '"')
	from := len(dst)
	dst = AppendText(dst, arr, i)
	if clean(dst[from:]) { // all of the contract's types
		return append(dst, '"')
	}
	text := string(dst[from:])
	return AppendJSONString(dst[:from-1], text)
}

func appendJSONFloat(dst []byte, v float64, bitSize int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		dst = appendFloat(append(dst, '"'), v, bitSize)
		return append(dst, '"')
	}
	return appendFloat(dst, v, bitSize)
}

func appendJSONHex(dst, v []byte) []byte {
	dst = append(dst, `"\\x`...)
	return append(hex.AppendEncode(dst, v), '"')
}

func appendList(dst []byte, a array.ListLike, i int) []byte {
	from, to := a.ValueOffsets(i)
	values := a.ListValues()
	dst = append(dst, '[')
	for k := from; k < to; k++ {
		if k > from {
			dst = append(dst, ',')
		}
		dst = AppendJSON(dst, values, int(k))
	}
	return append(dst, ']')
}

func appendObject(dst []byte, a *array.Struct, i int) []byte {
	fields := a.DataType().(*arrow.StructType).Fields()
	dst = append(dst, '{')
	for k, f := range fields {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, f.Name)
		dst = append(dst, ':')
		dst = AppendJSON(dst, a.Field(k), i)
	}
	return append(dst, '}')
}

// AppendJSONString appends s quoted as JSON. Bytes that are not UTF-8 become U+FFFD: JSON can't hold them.
func AppendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := decodeRune(s[i:])
			if r != utf8.RuneError || size != 1 {
				i += size
				continue
			}
			dst = append(append(dst, s[from:i]...), "\ufffd"...)
		} else {
			dst = appendEscape(append(dst, s[from:i]...), c)
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// clean says whether text needs no escape in JSON.
func clean(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func decodeRune[T string | []byte](s T) (rune, int) {
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}
