package native

import (
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/fault"
)

// FuzzCompile reads whatever stands in a kitamae.yml: it becomes a job, or a fault of the config's with a place in the file.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"source: {sqlite: {path: app.db}}\n",
		"source:\n  mysql: {host: ${H}, user: u, password: secret:env:P, database: d}\ntables: {\"*\": {}, a: skip}\nlimits: {memory: 1GiB}\n",
		"source: &a {postgres: *a}\n", "source: [\n", "? {a: b}\n: c\n", "x-y: &x {<<: *x}\n", "tables: {a: {mode: append, cursor: id, key: [a, b]}}\n", "\x00", "a: !!binary x\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := conf.Input{Name: "k.yml", Data: []byte(text), Dir: t.TempDir(),
			LookupEnv: func(name string) (string, bool) { return "v", name != "" }}
		j, err := Compile(in, all.Registry())
		if err == nil {
			if j.Source.Use == "" || j.Destination.Use == "" {
				t.Errorf("%q: a job without ends", text)
			}
			return
		}
		if f := fault.From(err); f.Kind != fault.Config {
			t.Errorf("%q: %v is no fault of the config's", text, err)
		}
	})
}
