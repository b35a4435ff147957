package conf

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Input is one file, and what its values may refer to.
type Input struct {
	Name string // in messages
	Data []byte
	// Dir is the file's folder, where relative paths start.
	Dir string
	// LookupEnv finds an environment variable, as os.LookupEnv does. nil finds none.
	LookupEnv func(name string) (string, bool)
}

// Document is a parsed file. It collects every problem met while it is decoded.
type Document struct {
	in       Input
	root     *yaml.Node // nil for an empty file or one that did not parse
	broken   bool       // did not parse: nothing to decode
	problems Problems
	origins  Origins
}

// Parse reads the YAML of in. What is wrong with it stands in Err, with everything else.
func Parse(in Input) *Document {
	d := &Document{in: in, origins: Origins{}}
	data := bytes.TrimPrefix(in.Data, []byte("\ufeff"))
	if line, column, ok := badText(data); !ok {
		d.problems.Add(Place{in.Name, line, column}, "", "this is not UTF-8 text: save the file as UTF-8")
		d.broken = true
		return d
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return d
	case err != nil:
		d.syntax(data, err)
		return d
	}
	d.root = doc.Content[0]
	switch err := dec.Decode(&second); {
	case err == nil:
		d.problems.Add(d.at(&second), "", "a second YAML document: a config is one document, without ---")
	case !errors.Is(err, io.EOF):
		d.syntax(data, err)
	}
	return d
}

// Problem adds something the caller found wrong.
func (d *Document) Problem(at Place, path, format string, args ...any) {
	d.problems.Add(at, path, format, args...)
}

// Err is all that is wrong, as a fault, or nil.
func (d *Document) Err() error { return d.problems.Err() }

// Origins says where each decoded value came from.
func (d *Document) Origins() Origins { return d.origins }

func (d *Document) at(n *yaml.Node) Place {
	if n == nil || n.Line == 0 {
		return Place{File: d.in.Name, Line: 1, Column: 1}
	}
	return Place{File: d.in.Name, Line: n.Line, Column: n.Column}
}

// badText finds the first byte that is not UTF-8.
func badText(data []byte) (line, column int, ok bool) {
	if utf8.Valid(data) {
		return 0, 0, true
	}
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		data = data[size:]
	}
	return line, column, false
}

var yamlMessage = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// maxExactLines bounds how long a file may be for its syntax errors to be searched exactly.
const maxExactLines = 1000

// syntax reports what the YAML library refused. The library's own line is that of an
// enclosing block, or missing, so the line is searched: the one after the longest beginning that parses.
func (d *Document) syntax(data []byte, err error) {
	d.broken = true
	m := yamlMessage.FindStringSubmatch(err.Error())
	message := err.Error()
	line := 1
	if m != nil {
		message = m[2]
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line = n
		}
	}
	lines := strings.SplitAfter(string(data), "\n")
	if strings.HasPrefix(message, "unknown anchor") { // whose name may be a password
		message = "an alias (*name) with no anchor (&name) before it: put text that begins with * in quotes"
	}
	if len(lines) <= maxExactLines {
		line = firstBadLine(lines)
	}
	at := Place{d.in.Name, line, 1}
	var text, before string
	if line <= len(lines) {
		text = lines[line-1]
	}
	if line >= 2 && line-2 < len(lines) {
		before = lines[line-2]
	}
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	at.Column = 1 + indent
	switch tab := strings.IndexByte(text[:indent], '\t'); {
	case tab >= 0:
		at.Column, message = 1+tab, "a tab indents this line: YAML wants spaces"
	case wide(text) != "":
		message += ": " + wide(text)
	case wide(before) != "":
		message += ": in the line before, " + wide(before)
	}
	d.problems.Add(at, "", "%s", message)
}

// firstBadLine is the line after the longest beginning of whole lines that parses.
func firstBadLine(lines []string) int {
	for n := len(lines) - 1; n > 0; n-- {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(strings.Join(lines[:n], "")), &doc) == nil {
			return n + 1
		}
	}
	return 1
}

// wide says what a full-width character, easily typed by Japanese input methods, should be.
func wide(line string) string {
	for _, c := range []struct{ wide, plain, name string }{
		{"：", ":", "colon"}, {"\u3000", " ", "space"}, {"，", ",", "comma"},
		{"［", "[", "bracket"}, {"｛", "{", "brace"}, {"＃", "#", "number sign"},
	} {
		if strings.Contains(line, c.wide) {
			return "the full-width " + c.name + " " + strconv.Quote(c.wide) + " should be " + strconv.Quote(c.plain)
		}
	}
	return ""
}

// plain says whether a key needs no quotes in a path.
func plain(key string) bool {
	for _, r := range key {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) && r != '_' && r != '-' {
			return false
		}
	}
	return key != ""
}
