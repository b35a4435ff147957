package format

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// parser appends the value text stands for to a column. text is not kept.
type parser func(c *batch.Column, text []byte) error

// form is how binary values look and where lists come from.
type form int

const (
	textForm form = iota // CSV: \x and hex digits; a list is a field of JSON
	jsonForm             // NDJSON: base64; a list is scanned in place
)

// parserOf is the inverse of batch.AppendText (CSV) and of WriteNDJSON's values. For a
// list in JSON it is the parser of the innermost elements.
func parserOf(t arrow.DataType, form form) (parser, error) {
	if list, ok := t.(*arrow.ListType); ok {
		elem := list.Elem()
		for inner, ok := elem.(*arrow.ListType); ok; inner, ok = elem.(*arrow.ListType) {
			elem = inner.Elem()
		}
		p, err := parserOf(elem, form)
		if err != nil || form == jsonForm {
			return p, err
		}
		return func(c *batch.Column, text []byte) error {
			scan := jsonScanner{buf: text}
			if err := scan.list(c, p, list.Elem()); err != nil {
				return err
			}
			if scan.at != len(text) {
				return errJSON
			}
			return nil
		}, nil
	}
	switch t := t.(type) {
	case *arrow.BooleanType:
		return parseBool, nil
	case *arrow.StringType:
		return func(c *batch.Column, text []byte) error { c.Value(text); return nil }, nil
	case *arrow.BinaryType:
		if form == jsonForm {
			return parseBase64, nil
		}
		return parseHex, nil
	case *arrow.Float32Type:
		return func(c *batch.Column, text []byte) error {
			v, err := parseFloat(text, 32)
			c.Uint32(math.Float32bits(float32(v)))
			return err
		}, nil
	case *arrow.Float64Type:
		return func(c *batch.Column, text []byte) error {
			v, err := parseFloat(text, 64)
			c.Uint64(math.Float64bits(v))
			return err
		}, nil
	case *arrow.Decimal128Type:
		if t.Scale < 0 { // no source has them
			break
		}
		return decimalParser(t.Scale, func(c *batch.Column, w [4]uint64) { c.Decimal128(int64(w[1]), w[0]) }), nil
	case *arrow.Decimal256Type:
		return decimalParser(t.Scale, func(c *batch.Column, w [4]uint64) { c.Decimal256(w) }), nil
	}
	if p := timeParser(t); p != nil {
		return p, nil
	}
	return integerParser(t)
}

func integerParser(t arrow.DataType) (parser, error) {
	fixed, ok := t.(arrow.FixedWidthDataType)
	if !ok || !arrow.IsInteger(t.ID()) {
		return nil, fmt.Errorf("no text form of Arrow type %s can be read", t)
	}
	bits, signed := fixed.BitWidth(), arrow.IsSignedInteger(t.ID())
	return func(c *batch.Column, text []byte) error {
		v, err := parseInteger(text, bits, signed)
		if err != nil {
			return err
		}
		c.Word(bits/8, v)
		return nil
	}, nil
}

// parseInteger returns the two's complement bits of a number that must fit the width.
func parseInteger(text []byte, bits int, signed bool) (uint64, error) {
	digits, negative := text, false
	if signed && len(text) > 0 && text[0] == '-' {
		digits, negative = text[1:], true
	}
	if len(digits) == 0 || len(digits) > 20 {
		return 0, notA("integer", text)
	}
	var v uint64
	for _, d := range digits {
		d -= '0'
		next := v*10 + uint64(d)
		if d > 9 || v > math.MaxUint64/10 || next < v {
			return 0, notA("integer", text)
		}
		v = next
	}
	limit := uint64(math.MaxUint64) >> (64 - bits)
	if signed {
		limit >>= 1
		if negative {
			limit++
		}
	}
	if v > limit {
		return 0, fmt.Errorf("%s does not fit %d bits", text, bits)
	}
	if negative {
		v = -v
	}
	return v, nil
}

func parseBool(c *batch.Column, text []byte) error {
	switch string(text) {
	case "true":
		c.Bool(true)
	case "false":
		c.Bool(false)
	default:
		return notA("boolean", text)
	}
	return nil
}

// parseFloat lends text to strconv without a copy; strconv does not keep it except in an error, which is dropped.
func parseFloat(text []byte, bits int) (float64, error) {
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), bits)
	if err != nil {
		return 0, notA("number", text)
	}
	return v, nil
}

func parseHex(c *batch.Column, text []byte) error {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return notA("binary value", text)
	}
	n, err := hex.Decode(text[2:], text[2:]) // in place: a byte is written behind the two it is read from
	if err != nil {
		return notA("binary value", text)
	}
	c.Value(text[2 : 2+n])
	return nil
}

func parseBase64(c *batch.Column, text []byte) error {
	n, err := base64.StdEncoding.Decode(text, text)
	if err != nil {
		return notA("binary value", text)
	}
	c.Value(text[:n])
	return nil
}

// shownBytes bounds how much of a value an error quotes.
const shownBytes = 40

func notA(what string, text []byte) error {
	if len(text) > shownBytes {
		text = text[:shownBytes]
	}
	return fmt.Errorf("%q is not a %s", text, what)
}
