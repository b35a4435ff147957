package native

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compileSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("kitamae.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("kitamae.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaAgreesWithCompile holds both to the same verdict, as an editor must not mark
// what runs. What a schema can't say is marked.
func TestSchemaAgreesWithCompile(t *testing.T) {
	s := compileSchema(t, Schema(registry()))
	const src = "source: {server: {host: a}}\n"
	for _, tc := range []struct {
		name, in string
		valid    bool
	}{
		{"least", src, true},
		{"all keys", src + "destination: {duckdb: {path: x}}\ntables: {'*': {}, 'tmp_*': skip, a: {columns: {only: [x], types: {x: text}}, key: id, where: w, name: n, mode: replace, verify: none}}\nlimits: {connections: 3, memory: 1GiB}\ntimezone: Asia/Tokyo\nverify: full", true},
		{"empty values", src + "tables: {a: , b: {columns: }}", true},
		{"x- keys", src + "x-a: {anything: [1]}", true},
		{"numbers as text", "source: {server: {host: 1, port: 1}}", true},
		{"variables", "source: {server: {host: '${HOST}', port: '${X:-1}', tls: {mode: '${X:-off}'}}}\nlimits: {connections: '${X:-2}', memory: '${X:-1GiB}'}\nverify: '${X:-full}'", true},
		{"memory in bytes", src + "limits: {memory: 100000000}", true},
		{"empty", "{}", false},
		{"unknown key", src + "tabels: {}", false},
		{"unknown key of a connector", "source: {server: {host: a, hots: b}}", false},
		{"unknown connector", "source: {sever: {host: a}}", false},
		{"two connectors", "source: {server: {host: a}}\ndestination: {duckdb: {path: x}, files: {path: y}}", false},
		{"missing host", "source: {server: {port: 1}}", false},
		{"empty host", "source: {server: {host: ''}}", false},
		{"null connector with required keys", "source: {server: }", false},
		{"port too large", "source: {server: {host: a, port: 70000}}", false},
		{"port as text", "source: {server: {host: a, port: '1'}}", false},
		{"bool for text", "source: {server: {host: true}}", false},
		{"enum", "source: {server: {host: a, tls: {mode: on}}}", false},
		{"connections", src + "limits: {connections: 0}", false},
		{"memory", src + "limits: {memory: much}", false},
		{"word for a table", src + "tables: {a: skp}", false},
		{"no tables", src + "tables: {}", false},
		{"mode", src + "tables: {a: {mode: upsert}}", false},
		{"type", src + "tables: {a: {columns: {types: {a: int}}}}", false},
		{"list of lists", src + "tables: {a: {key: [[a]]}}", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var v any
			if err := yaml.Unmarshal([]byte(tc.in), &v); err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(v); (err == nil) != tc.valid {
				t.Errorf("schema: valid %v, want %v: %v", err == nil, tc.valid, err)
			}
			if _, err := compile(tc.in); (err == nil) != tc.valid {
				t.Errorf("compile: valid %v, want %v: %v", err == nil, tc.valid, err)
			}
		})
	}
}

func TestSchemaHasDocs(t *testing.T) {
	text := string(Schema(registry()))
	for _, want := range []string{"The business day's zone", `"default": "UTC"`, "Only lists the columns to take", "A server"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the schema", want)
		}
	}
}
