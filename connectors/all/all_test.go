package all

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/job"
)

// TestSpecs holds what the decoder, the schema and the reference rely on in every spec.
func TestSpecs(t *testing.T) {
	for name, c := range Registry() {
		if c.Name != name || c.Summary == "" || c.Source == nil && c.Dest == nil {
			t.Errorf("%s: no summary or no end", name)
		}
		if len(c.Schemes) > 0 != (c.FromURL != nil) {
			t.Errorf("%s: schemes %v without FromURL, or the other way round", name, c.Schemes)
		}
		if c.Source != nil {
			checkSpec(t, name, reflect.TypeOf(c.Source.NewSpec()).Elem())
		}
		if c.Dest != nil {
			checkSpec(t, name, reflect.TypeOf(c.Dest.NewSpec()).Elem())
		}
	}
}

func checkSpec(t *testing.T, path string, spec reflect.Type) {
	for _, f := range conf.Fields(spec) {
		at := path + "." + f.Key
		field, _ := f.Owner.FieldByName(f.Go)
		if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag != f.Key {
			t.Errorf("%s: json tag %q", at, tag)
		}
		if f.Type.Kind() == reflect.String && job.LooksLikeCredential(f.Key) && f.Type != reflect.TypeFor[conf.Secret]() {
			t.Errorf("%s is a %s, not a conf.Secret", at, f.Type)
		}
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[conf.Raw]() {
			checkSpec(t, at, f.Type)
		}
	}
}
