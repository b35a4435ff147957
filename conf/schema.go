package conf

import (
	"reflect"
	"strconv"
	"time"
)

// Schema is a JSON Schema (2020-12) of the struct type t as this package decodes it, with
// defaults taken from v and descriptions from docs.
func Schema(v reflect.Value, docs Docs) map[string]any {
	t := v.Type()
	properties := map[string]any{}
	var required []string
	for _, f := range Fields(t) {
		fv := v.FieldByIndex(f.Index)
		s := schemaOf(fv, f.Check, docs)
		if doc := docs.Field(f); doc != "" {
			s["description"] = doc
		}
		if text, ok := Text(fv); ok && !fv.IsZero() {
			s["default"] = jsonDefault(fv, text)
		}
		properties[f.Key] = s
		if f.Check.Required && fv.IsZero() {
			required = append(required, f.Key)
		}
	}
	s := map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
		s["type"] = "object"
	}
	return s
}

func schemaOf(v reflect.Value, check Check, docs Docs) map[string]any {
	t := v.Type()
	switch {
	case t == reflect.TypeFor[Raw]():
		return map[string]any{}
	case scalarOf(t) != nil:
		return scalarSchema(t, check)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(reflect.New(t.Elem()).Elem(), check, docs)
	case reflect.Struct:
		s := Schema(v, docs)
		if f, ok := wordField(Fields(t)); ok {
			return map[string]any{"anyOf": []any{scalarSchema(f.Type, f.Check), s}}
		}
		return s
	case reflect.Map:
		return map[string]any{
			"type":                 []string{"object", "null"},
			"additionalProperties": schemaOf(reflect.New(t.Elem()).Elem(), check, docs),
		}
	}
	elem := schemaOf(reflect.New(t.Elem()).Elem(), check, docs)
	list := map[string]any{"type": "array", "items": elem}
	if scalarOf(t.Elem()) == nil {
		return list
	}
	return map[string]any{"anyOf": []any{elem, list}}
}

// variable is a value that is only known once ${…} is replaced.
func variable() map[string]any {
	return map[string]any{"type": "string", "pattern": `\$\{`}
}

func scalarSchema(t reflect.Type, check Check) map[string]any {
	either := func(s map[string]any) map[string]any {
		return map[string]any{"anyOf": []any{s, variable()}}
	}
	switch {
	case len(check.Enum) > 0:
		return either(map[string]any{"enum": check.Enum})
	case t == reflect.TypeFor[Bytes]():
		return map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 0},
			map[string]any{"type": "string", "pattern": `^[0-9.]+ *([KMGT]i?B|kB|B)$|\$\{`},
		}}
	case t == reflect.TypeFor[Money]():
		return map[string]any{"type": "string", "pattern": `^[0-9.]+ *USD$|\$\{`}
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$|\$\{`}
	}
	switch t.Kind() {
	case reflect.String:
		s := map[string]any{"type": []string{"string", "number"}}
		if check.Required {
			s["minLength"] = 1
		}
		return s
	case reflect.Bool:
		return either(map[string]any{"type": "boolean"})
	case reflect.Float32, reflect.Float64:
		return either(bounds(map[string]any{"type": "number"}, check))
	}
	return either(bounds(map[string]any{"type": "integer"}, check))
}

func bounds(s map[string]any, check Check) map[string]any {
	for key, bound := range map[string]string{"minimum": check.Min, "maximum": check.Max} {
		if n, err := strconv.ParseFloat(bound, 64); err == nil {
			s[key] = n
		}
	}
	return s
}

// jsonDefault is a default as a JSON value.
func jsonDefault(v reflect.Value, text string) any {
	switch {
	case v.Type() == reflect.TypeFor[Bytes](), v.Type() == reflect.TypeFor[Money](), v.Type() == reflect.TypeFor[time.Duration]():
		return text
	case v.Kind() == reflect.String:
		return text
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.String:
		return text // lists of amounts and the like read as they are written
	}
	return v.Interface()
}
