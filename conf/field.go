package conf

import (
	"fmt"
	"reflect"
	"strings"
)

// Field is one key of a spec struct, as its tags say.
type Field struct {
	Key   string // as a config names it
	Go    string // the field's name, "Outer.Inner" never: inlined structs have their own Owner
	Owner reflect.Type
	Type  reflect.Type
	Index []int // for reflect.Value.FieldByIndex
	Check Check
}

// Check is what a conf tag asks of a value. Those of lists and maps are asked of each element.
type Check struct {
	Required bool
	Min, Max string   // in the words of a config: "1", "30s", "1MiB"; "" for none
	Enum     []string // nil for any
	Word     bool     // a single value in place of the struct's mapping is this key's
}

// Fields are the keys of the struct type t, in order. Fields without a yaml tag, or with
// "-", are not keys; ",inline" lifts a struct's keys into the one around it. It panics on
// a tag it does not know, which is a mistake in the program.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case options == "inline":
			for _, inner := range Fields(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				fields = append(fields, inner)
			}
			continue
		case name == "":
			continue
		}
		fields = append(fields, Field{
			Key: name, Go: f.Name, Owner: t, Type: f.Type, Index: []int{i}, Check: parseCheck(t, f),
		})
	}
	return fields
}

// wordField is the key that a single value in place of a mapping is for.
func wordField(fields []Field) (Field, bool) {
	for _, f := range fields {
		if f.Check.Word {
			return f, true
		}
	}
	return Field{}, false
}

func parseCheck(t reflect.Type, f reflect.StructField) Check {
	var c Check
	tag := f.Tag.Get("conf")
	if tag == "" {
		return c
	}
	for _, part := range strings.Split(tag, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "required":
			c.Required = true
		case "min":
			c.Min = value
		case "max":
			c.Max = value
		case "secret":
			if f.Type != reflect.TypeFor[Secret]() {
				panic(fmt.Sprintf("conf: %s.%s is a secret but not a conf.Secret, which never prints", t, f.Name))
			}
		case "word":
			c.Word = true
		case "enum":
			c.Enum = strings.Split(value, "|")
		default:
			panic(fmt.Sprintf("conf: %s.%s has an unknown check %q", t, f.Name, part))
		}
	}
	return c
}
