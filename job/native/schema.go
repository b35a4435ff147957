package native

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/job"
)

// Schema is the JSON Schema of kitamae.yml with the registry's connectors, for editors.
func Schema(reg connector.Registry) []byte { return SchemaWith(reg, docs()) }

// SchemaWith is Schema with other doc comments: the generator's fresh ones.
func SchemaWith(reg connector.Registry, d conf.Docs) []byte {
	s := conf.Schema(reflect.ValueOf(Defaults()), d)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "kitamae.yml"
	s["type"] = "object"
	s["patternProperties"] = map[string]any{"^" + conf.Ignored: map[string]any{}}
	properties := s["properties"].(map[string]any)
	sources, destinations := map[string]any{}, map[string]any{}
	for name, c := range reg {
		if c.Source != nil {
			sources[name] = specSchema(c, c.Source.NewSpec(), d)
		}
		if c.Dest != nil {
			destinations[name] = specSchema(c, c.Dest.NewSpec(), d)
		}
	}
	oneOf(properties["source"], sources)
	oneOf(properties["destination"], destinations)
	tables := properties["tables"].(map[string]any)
	tables["type"] = "object"
	tables["minProperties"] = 1
	tables["additionalProperties"] = map[string]any{"anyOf": []any{
		conf.Schema(reflect.ValueOf(job.Settings{}), d), map[string]any{"const": skip},
	}}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	return out.Bytes()
}

// oneOf makes s take a mapping of exactly one of the connectors.
func oneOf(s any, connectors map[string]any) {
	m := s.(map[string]any)
	m["type"] = "object"
	m["properties"] = connectors
	m["additionalProperties"] = false
	m["minProperties"], m["maxProperties"] = 1, 1
}

func specSchema(c connector.Connector, spec any, d conf.Docs) map[string]any {
	s := conf.Schema(reflect.ValueOf(spec).Elem(), d)
	s["description"] = c.Summary
	return s
}
