package conf

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Filled is text of a config that is used with its ${NAME} filled in and prints as it was written, since what is in the
// environment may be a secret. An untyped string is one without variables.
type Filled string

// newFilled is a text where variables stood: as it was written, what it says, and each variable's name and value.
func newFilled(written, says string, used, values []string) Filled {
	parts := []string{written, says}
	for i, name := range used {
		parts = append(parts, name, values[i])
	}
	return Filled(unresolved + strings.Join(parts, unresolved))
}

// parts are nil where no variable stood.
func (f Filled) parts() []string {
	rest, ok := strings.CutPrefix(string(f), unresolved)
	if !ok {
		return nil
	}
	return strings.Split(rest, unresolved)
}

// Reveal is the text with the variables filled in, for whoever uses it.
func (f Filled) Reveal() string {
	if p := f.parts(); p != nil {
		return p[1]
	}
	return string(f)
}

func (f Filled) String() string {
	if p := f.parts(); p != nil {
		return p[0]
	}
	return string(f)
}

// GoString keeps %#v from printing the values.
func (f Filled) GoString() string { return strconv.Quote(f.String()) }

// MarshalJSON writes the text as it was written and, where variables stood in it, a hash of what it says: two texts are
// the same JSON only where they say the same.
func (f Filled) MarshalJSON() ([]byte, error) {
	if f.parts() == nil {
		return json.Marshal(string(f))
	}
	sum := sha256.Sum256([]byte(f.Reveal()))
	return json.Marshal(f.String() + " (filled in: sha256 " + hex.EncodeToString(sum[:]) + ")")
}

// The shortest piece of a value that [Filled.Hide] looks for, in bytes, and the shortest whole value: less says nothing.
const leastPiece, leastValue = 6, 3

// Hide replaces in text what the variables' values put into it, also pieces of them and in another case, as servers quote SQL
// they refuse from the middle on.
func (f Filled) Hide(text string) string {
	p := f.parts()
	for i := 2; i+1 < len(p); i += 2 {
		text = hide(text, p[i], p[i+1])
	}
	return text
}

func hide(text, name, value string) string {
	if len(value) < leastValue {
		return text
	}
	least := min(leastPiece, len(value))
	low, pieces := strings.ToLower(text), strings.ToLower(value)
	if len(low) != len(text) || len(pieces) != len(value) { // letters whose cases differ in length
		low, pieces = text, value
	}
	var out strings.Builder
	for at := 0; at < len(text); {
		n := longest(low[at:], pieces, least)
		if n == 0 {
			_, size := utf8.DecodeRuneInString(text[at:])
			out.WriteString(text[at : at+size])
			at += size
			continue
		}
		out.WriteString("${" + name + "}")
		at += n
	}
	return out.String()
}

// longest is how many bytes at text's beginning are a piece of value that has least bytes or more, 0 for none.
func longest(text, value string, least int) int {
	best := 0
	for from := 0; from+least <= len(value); from++ {
		n := 0
		for n < len(text) && from+n < len(value) && text[n] == value[from+n] {
			n++
		}
		if n >= least {
			best = max(best, n)
		}
	}
	return best
}
