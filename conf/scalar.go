package conf

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar is how one kind of single value is read and shown.
type scalar struct {
	want  string // in "want …"
	text  bool   // any text will do: written in quotes or not
	parse func(text string, v reflect.Value) error
	// print is the value in a config's words.
	print func(v reflect.Value) string
	// number makes values of min and max comparable; nil for kinds without order.
	number func(text string) (float64, error)
}

var errScalar = errors.New("not a value of this type")

// scalarOf is nil for types that are not single values.
func scalarOf(t reflect.Type) *scalar {
	switch t {
	case reflect.TypeFor[Secret]():
		return &scalar{want: "text", text: true, parse: parseString, print: func(v reflect.Value) string { return v.Interface().(Secret).String() }}
	case reflect.TypeFor[Bytes]():
		return &scalar{want: "an amount such as 256MiB", parse: parseAmount, number: amountNumber,
			print: func(v reflect.Value) string { return Bytes(v.Int()).String() }}
	case reflect.TypeFor[Money]():
		return &scalar{want: "an amount such as 1 USD", parse: parseMoney, number: moneyNumber,
			print: func(v reflect.Value) string { return Money(v.Int()).String() }}
	case reflect.TypeFor[time.Duration]():
		return &scalar{want: "a duration such as 30s", parse: parseDuration, number: durationNumber,
			print: func(v reflect.Value) string { return time.Duration(v.Int()).String() }}
	case reflect.TypeFor[Filled]():
		return &scalar{want: "text", text: true, parse: parseString, print: func(v reflect.Value) string { return v.Interface().(Filled).String() }}
	}
	show := func(v reflect.Value) string { return fmt.Sprint(v.Interface()) }
	switch t.Kind() {
	case reflect.String:
		return &scalar{want: "text", text: true, parse: parseString, print: reflect.Value.String}
	case reflect.Bool:
		return &scalar{want: "true or false", parse: parseBool, print: show}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &scalar{want: "a whole number", parse: parseInt, print: show, number: floatNumber}
	case reflect.Float32, reflect.Float64:
		return &scalar{want: "a number", parse: parseFloat, print: show, number: floatNumber}
	}
	return nil
}

// scalar fills v from a single value, and notes where it came from.
func (d *Document) scalar(n, key *yaml.Node, path string, v reflect.Value, check Check) {
	s, secret := scalarOf(v.Type()), v.Type() == reflect.TypeFor[Secret]()
	bad := func(format string, args ...any) { d.problems.Add(d.at(n), path, format, args...) }
	switch {
	case isNull(n):
		d.problems.Add(d.at(key), path, "has no value: write one or remove the key")
		return
	case n.Kind != yaml.ScalarNode:
		bad("want %s, got %s", s.want, kindOf(n))
		return
	case !strings.Contains("!!str !!int !!float !!bool !!timestamp", n.ShortTag()):
		bad("a YAML tag, which means nothing here: put text that begins with ! in quotes")
		return
	}
	e, err := expand(n.Value, d.in.LookupEnv)
	if err != nil {
		bad("%v", err)
		return
	}
	refers := strings.HasPrefix(n.Value, secretMark)
	from := e.from(d.at(n))
	if n.Line == 0 { // made by the program, see Default
		from = FromDefault
	}
	switch {
	case secret && refers:
		store, name, err := parseReference(e.text)
		if err != nil {
			bad("%v", err)
			return
		}
		from = fmt.Sprintf("%s (%s)", e.text, from)
		e.text = string(reference{at: d.at(n).String(), path: path, store: store, name: name}.secret())
	case s.text && isReference(n.Value):
		bad("this key holds no secret, so that it takes no secret reference: use ${NAME}")
		return
	}
	if v.Type() == reflect.TypeFor[Filled]() && len(e.used) > 0 {
		e.text = string(newFilled(n.Value, e.text, e.used, e.values))
	}
	got := shown(n, e, secret)
	if wrongStyle(n, e, s) || s.parse(e.text, v) != nil {
		bad("want %s, got %s%s", s.want, got, styleHint(n, s))
		return
	}
	if check.Required && e.text == "" {
		bad("must not be empty")
	}
	if msg := check.refuse(s, e.text, got); msg != "" {
		bad("%s", msg)
	}
	d.origins[path] = Origin{From: from, Value: s.print(v), Place: d.at(n)}
}

// shown is what a message may tell of a value: what is in the environment may be meant for a secret's field.
func shown(n *yaml.Node, e expanded, secret bool) string {
	switch {
	case len(e.used) > 0:
		return "the value of ${" + strings.Join(e.used, "} and ${") + "}"
	case secret:
		return redacted
	case len(e.absent) > 0:
		return strconv.Quote(e.text)
	}
	return kindOf(n)
}

// wrongStyle says whether YAML itself gives the scalar another type than the one wanted:
// "5" in quotes is text, true without quotes is not. A value with ${…} has no type before it is expanded.
func wrongStyle(n *yaml.Node, e expanded, s *scalar) bool {
	if len(e.used) > 0 || len(e.absent) > 0 {
		return false
	}
	if s.text {
		return n.ShortTag() == "!!bool"
	}
	return n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
}

func styleHint(n *yaml.Node, s *scalar) string {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	meant := map[string]string{"yes": "true", "on": "true", "no": "false", "off": "false"}[strings.ToLower(n.Value)]
	switch {
	case s.text && n.ShortTag() == "!!bool":
		return ": put it in quotes"
	case quoted && !s.text:
		return " in quotes"
	case s.want == "true or false" && meant != "":
		return " (did you mean " + meant + "?)"
	}
	return ""
}

// refuse is what is wrong with a value that has the right type, or "".
func (c Check) refuse(s *scalar, text, got string) string {
	if len(c.Enum) > 0 && text != "" {
		for _, word := range c.Enum {
			if text == word {
				return ""
			}
		}
		return fmt.Sprintf("want one of %s, got %s%s", strings.Join(c.Enum, ", "), got, DidYouMean(text, c.Enum))
	}
	if s.number == nil {
		return ""
	}
	v, err := s.number(text)
	switch {
	case err != nil:
	case c.Min != "" && v < mustNumber(s, c.Min):
		return fmt.Sprintf("want at least %s, got %s", c.Min, got)
	case c.Max != "" && v > mustNumber(s, c.Max):
		return fmt.Sprintf("want at most %s, got %s", c.Max, got)
	}
	return ""
}

// mustNumber reads a bound out of a tag: a wrong one is a mistake in the program.
func mustNumber(s *scalar, bound string) float64 {
	v, err := s.number(bound)
	if err != nil {
		panic("conf: the bound " + strconv.Quote(bound) + " is not " + s.want)
	}
	return v
}

func parseString(text string, v reflect.Value) error {
	v.SetString(text)
	return nil
}

func parseBool(text string, v reflect.Value) error {
	if text != "true" && text != "false" {
		return errScalar
	}
	v.SetBool(text == "true")
	return nil
}

// parseInt reads decimal digits, which may be grouped with _. YAML's octal and hexadecimal
// forms would surprise whoever writes 0123.
func parseInt(text string, v reflect.Value) error {
	text = strings.ReplaceAll(text, "_", "")
	if v.CanUint() {
		u, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err == nil {
			v.SetUint(u)
		}
		return err
	}
	i, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err == nil {
		v.SetInt(i)
	}
	return err
}

func parseFloat(text string, v reflect.Value) error {
	f, err := floatNumber(text)
	if err == nil {
		v.SetFloat(f)
	}
	return err
}

func floatNumber(text string) (float64, error) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = errScalar
	}
	return f, err
}

func parseAmount(text string, v reflect.Value) error {
	b, err := ParseBytes(text)
	if err == nil {
		v.SetInt(int64(b))
	}
	return err
}

func amountNumber(text string) (float64, error) {
	b, err := ParseBytes(text)
	return float64(b), err
}

func parseMoney(text string, v reflect.Value) error {
	m, err := ParseMoney(text)
	if err == nil {
		v.SetInt(int64(m))
	}
	return err
}

func moneyNumber(text string) (float64, error) {
	m, err := ParseMoney(text)
	return float64(m), err
}

func parseDuration(text string, v reflect.Value) error {
	t, err := time.ParseDuration(text)
	if err == nil && t < 0 {
		err = errScalar
	}
	if err == nil {
		v.SetInt(int64(t))
	}
	return err
}

func durationNumber(text string) (float64, error) {
	t, err := time.ParseDuration(text)
	return float64(t), err
}
