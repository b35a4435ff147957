package format

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// jsonScanner walks over JSON without spaces between its tokens.
type jsonScanner struct {
	buf     []byte
	at      int
	scratch []byte // the last string with escapes
}

var errJSON = errors.New("not the JSON that was written")

// skip steps over exactly these bytes if they come next.
func (s *jsonScanner) skip(token []byte) bool {
	if !bytes.HasPrefix(s.buf[s.at:], token) {
		return false
	}
	s.at += len(token)
	return true
}

// value appends the next value to c. parse is for c's type; that of a list's elements is inside it.
func (s *jsonScanner) value(c *batch.Column, parse parser, t arrow.DataType) error {
	if s.skip([]byte("null")) {
		c.Null()
		return nil
	}
	if s.at >= len(s.buf) {
		return errJSON
	}
	if list, ok := t.(*arrow.ListType); ok {
		return s.list(c, parse, list.Elem())
	}
	text, err := s.token()
	if err != nil {
		return err
	}
	return parse(c, text)
}

// list appends one array. For lists, parse is the parser of the innermost elements.
func (s *jsonScanner) list(c *batch.Column, parse parser, elem arrow.DataType) error {
	if !s.skip([]byte("[")) {
		return errJSON
	}
	for first := true; !s.skip([]byte("]")); first = false {
		if !first && !s.skip([]byte(",")) {
			return errJSON
		}
		if err := s.value(c.Child(), parse, elem); err != nil {
			return err
		}
	}
	c.List()
	return nil
}

// token is the next string without quotes and escapes, or the next number or word.
func (s *jsonScanner) token() ([]byte, error) {
	rest := s.buf[s.at:]
	if rest[0] != '"' {
		n := bytes.IndexAny(rest, ",]}")
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			return nil, errJSON
		}
		s.at += n
		return rest[:n], nil
	}
	rest = rest[1:]
	n := bytes.IndexByte(rest, '"')
	if n < 0 {
		return nil, errJSON
	}
	if bytes.IndexByte(rest[:n], '\\') < 0 {
		s.at += n + 2
		return rest[:n], nil
	}
	return s.escaped(rest)
}

// escaped reads a string with escapes into scratch; text starts behind its quote.
func (s *jsonScanner) escaped(text []byte) ([]byte, error) {
	out := s.scratch[:0]
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			s.at += i + 2
			s.scratch = out
			return out, nil
		case '\\':
			i++
			if i == len(text) {
				return nil, errJSON
			}
			if text[i] != 'u' {
				out = append(out, unescape(text[i]))
				continue
			}
			r, n, err := unicodeEscape(text[i:])
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, r)
			i += n - 1
		default:
			out = append(out, c)
		}
	}
	return nil, errJSON
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return c
}

// unicodeEscape reads uXXXX, or uXXXX\uXXXX for a surrogate pair, and says how long it is.
func unicodeEscape(text []byte) (rune, int, error) {
	const one = len("uXXXX")
	hex := func(at int) (rune, error) {
		if len(text) < at+4 {
			return 0, errJSON
		}
		v, err := strconv.ParseUint(string(text[at:at+4]), 16, 16)
		return rune(v), err
	}
	r, err := hex(1)
	if err != nil || !utf16.IsSurrogate(r) {
		return r, one, err
	}
	if !bytes.HasPrefix(text[one:], []byte(`\u`)) {
		return 0, 0, fmt.Errorf("%w: half a surrogate pair", errJSON)
	}
	low, err := hex(one + 2)
	return utf16.DecodeRune(r, low), 2*one + 1, err
}
