package bigquery

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
)

// BigQuery's JSON keeps values, not text: the order of keys and white space go, which mean nothing. What else it would change, or
// refuse for the whole table, is looked for in each value before it is loaded.

// jsonDepth is how deep BigQuery lets values be nested.
const jsonDepth = 500

// jsonFit looks at one JSON text after the other. It serves one goroutine.
type jsonFit struct {
	text []byte
	at   int
	keys [][]byte // of the objects around the place, the innermost last
}

// unfit says why BigQuery's JSON can't hold text as it is, "" where it can.
func (j *jsonFit) unfit(text []byte) string {
	j.text, j.at, j.keys = text, 0, j.keys[:0]
	j.space()
	if bytes.HasPrefix(j.text[j.at:], []byte("null")) && len(bytes.TrimRight(j.text[j.at:], " \t\r\n")) == len("null") {
		return "a JSON null, which a load would make NULL"
	}
	if why := j.value(0); why != "" {
		return why
	}
	j.space()
	if j.at < len(j.text) {
		return noJSON
	}
	return ""
}

const noJSON = "text that is no JSON"

func (j *jsonFit) space() {
	for j.at < len(j.text) {
		switch j.text[j.at] {
		case ' ', '\t', '\n', '\r':
			j.at++
		default:
			return
		}
	}
}

// next skips white space and takes c where it is next.
func (j *jsonFit) next(c byte) bool {
	j.space()
	if j.at < len(j.text) && j.text[j.at] == c {
		j.at++
		return true
	}
	return false
}

func (j *jsonFit) value(depth int) string {
	if depth > jsonDepth {
		return "values nested deeper than 500 levels"
	}
	j.space()
	if j.at == len(j.text) {
		return noJSON
	}
	switch c := j.text[j.at]; c {
	case '{':
		j.at++
		return j.object(depth)
	case '[':
		j.at++
		return j.array(depth)
	case '"':
		_, why := j.str()
		return why
	case 't', 'f', 'n':
		for _, word := range []string{"true", "false", "null"} {
			if bytes.HasPrefix(j.text[j.at:], []byte(word)) {
				j.at += len(word)
				return ""
			}
		}
		return noJSON
	default:
		return j.number()
	}
}

func (j *jsonFit) array(depth int) string {
	if j.next(']') {
		return ""
	}
	for {
		if why := j.value(depth + 1); why != "" {
			return why
		}
		if j.next(']') {
			return ""
		}
		if !j.next(',') {
			return noJSON
		}
	}
}

func (j *jsonFit) object(depth int) string {
	from := len(j.keys)
	defer func() { j.keys = j.keys[:from] }()
	if j.next('}') {
		return ""
	}
	for {
		j.space()
		if j.at == len(j.text) || j.text[j.at] != '"' {
			return noJSON
		}
		key, why := j.str()
		if why != "" {
			return why
		}
		j.keys = append(j.keys, key)
		if !j.next(':') {
			return noJSON
		}
		if why := j.value(depth + 1); why != "" {
			return why
		}
		if j.next('}') {
			break
		}
		if !j.next(',') {
			return noJSON
		}
	}
	if doubled(j.keys[from:]) {
		return "a key that stands twice in one object"
	}
	return ""
}

// doubled says whether a key is there twice. Most objects have few.
func doubled(keys [][]byte) bool {
	if len(keys) <= 16 {
		for i, k := range keys {
			for _, o := range keys[:i] {
				if bytes.Equal(k, o) {
					return true
				}
			}
		}
		return false
	}
	seen := make(map[string]bool, len(keys))
	for _, k := range keys {
		if seen[string(k)] {
			return true
		}
		seen[string(k)] = true
	}
	return false
}

// str takes a string and returns what is between its quotes, escapes resolved.
func (j *jsonFit) str() (content []byte, why string) {
	from := j.at
	escaped := false
	for j.at++; j.at < len(j.text); j.at++ {
		switch c := j.text[j.at]; {
		case c == '"':
			j.at++
			content = j.text[from+1 : j.at-1]
			if !escaped {
				return content, ""
			}
			var s string
			if err := json.Unmarshal(j.text[from:j.at], &s); err != nil {
				return nil, noJSON
			}
			return []byte(s), ""
		case c < ' ':
			return nil, noJSON
		case c == '\\':
			escaped = true
			if why := j.escape(); why != "" {
				return nil, why
			}
		}
	}
	return nil, noJSON
}

// escape takes one escape and stays on its last byte.
func (j *jsonFit) escape() string {
	j.at++
	if j.at == len(j.text) {
		return noJSON
	}
	if j.text[j.at] != 'u' {
		return "" // which letters may follow is checked with the whole string
	}
	r, ok := j.unit(j.at + 1)
	j.at += 4
	switch {
	case !ok:
		return noJSON
	case r == 0:
		return "a character U+0000"
	case !utf16.IsSurrogate(r):
		return ""
	}
	if low, ok := j.unit(j.at + 3); ok && j.text[j.at+1] == '\\' && j.text[j.at+2] == 'u' && utf16.DecodeRune(r, low) != '\ufffd' {
		j.at += 6
		return ""
	}
	return "half of a surrogate pair"
}

// unit is the four hex digits at i.
func (j *jsonFit) unit(i int) (rune, bool) {
	if i+4 > len(j.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(j.text[i:i+4]), 16, 16)
	return rune(n), err == nil
}

// number takes a number that BigQuery holds exactly: as INT64, UINT64 or FLOAT64.
func (j *jsonFit) number() string {
	from := j.at
	whole := true
	for ; j.at < len(j.text); j.at++ {
		switch c := j.text[j.at]; {
		case c >= '0' && c <= '9', c == '-':
			continue
		case c == '.', c == 'e', c == 'E', c == '+':
			whole = false
			continue
		}
		break
	}
	text := j.text[from:j.at]
	if !json.Valid(text) || len(text) == 0 {
		return noJSON
	}
	if whole && holdsInteger(text) || holdsFloat(text) {
		return ""
	}
	return "a number of more digits than FLOAT64 keeps"
}

func holdsInteger(text []byte) bool {
	if len(text) <= 18 {
		return true
	}
	_, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		_, err = strconv.ParseUint(string(text), 10, 64)
	}
	return err == nil
}

func holdsFloat(text []byte) bool {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return false
	}
	digits, exp := scientific(text)
	if len(digits) <= 15 && exp > -290 && exp < 290 {
		return true // so many survive any conversion there and back
	}
	d, e := scientific(strconv.AppendFloat(nil, f, 'e', -1, 64))
	return bytes.Equal(d, digits) && e == exp
}

// scientific takes a number apart into its digits, without zeros at both ends, and the power of ten they are multiplied with, as if
// the point stood before them. Zero has no digits.
func scientific(text []byte) (digits []byte, exp int) {
	mantissa, power, _ := bytes.Cut(bytes.ToLower(bytes.TrimPrefix(text, []byte("-"))), []byte("e"))
	exp, _ = strconv.Atoi(string(power)) // one that is too large for it makes no number for ParseFloat
	before, after, _ := bytes.Cut(mantissa, []byte("."))
	digits = append(append(digits, before...), after...)
	exp += len(before)
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
		exp--
	}
	digits = bytes.TrimRight(digits, "0")
	if len(digits) == 0 {
		return nil, 0
	}
	return digits, exp
}
