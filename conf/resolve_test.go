package conf

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/fault"
)

// keyring has a secret wherever a struct can have one.
type keyring struct {
	Plain Secret `yaml:"plain"`
	Inner struct {
		S Secret `yaml:"s"`
	} `yaml:"inner"`
	Ptr    *keyholder        `yaml:"ptr"`
	List   []Secret          `yaml:"list"`
	Map    map[string]Secret `yaml:"map"`
	Things []keyholder       `yaml:"things"`
	Name   string            `yaml:"name"`
	Memory Bytes             `yaml:"memory"`
}

type keyholder struct {
	Key Secret `yaml:"key"`
}

func TestResolveEverywhere(t *testing.T) {
	var from keyring
	decodeInto(t, `
plain: secret:env:a
inner: {s: "secret:env:${DB}"}
ptr: {key: secret:env:c}
list: [secret:env:d, literal]
map: {x: secret:env:e}
things: [{key: secret:env:f}]
name: n
`, &from)
	stores := Stores{"env": func(_ context.Context, name string) (string, error) { return "S-" + name, nil }}
	got := from
	if err := Resolve(t.Context(), &got, stores); err != nil {
		t.Fatal(err)
	}
	revealed := []string{got.Plain.Reveal(), got.Inner.S.Reveal(), got.Ptr.Key.Reveal(), got.List[0].Reveal(), got.List[1].Reveal(),
		got.Map["x"].Reveal(), got.Things[0].Key.Reveal(), got.Name}
	if diff := cmp.Diff([]string{"S-a", "S-db1", "S-c", "S-d", "literal", "S-e", "S-f", "n"}, revealed); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	for i, s := range []Secret{from.Plain, from.Inner.S, from.Ptr.Key, from.List[0], from.Map["x"], from.Things[0].Key} {
		if _, still := s.reference(); !still {
			t.Errorf("secret %d of the config itself was changed", i)
		}
	}
	asJSON, err := json.Marshal([]any{from, got})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(asJSON), fmt.Sprintf("%+v %#v %v", from, got, got)} {
		if strings.Contains(text, "S-") || strings.Contains(text, "\x00") {
			t.Errorf("shown: %q", text)
		}
	}
}

func decodeInto(t *testing.T, text string, into any) {
	t.Helper()
	d := Parse(Input{Name: "k.yml", Data: []byte(text), LookupEnv: lookup})
	d.Decode(into)
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestLocalStores(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"pw": "s3cret\r\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ name, ref, want, err string }{
		{"environment", "secret:env:PW", "s3cret", ""},
		{"not set", "secret:env:NONE", "", "k.yml:2:9: secret: the environment variable NONE, which holds the secret, is not set"},
		{"set to nothing", "secret:env:EMPTY", "", "k.yml:2:9: secret: the environment variable EMPTY, which holds the secret, is not set"},
		{"beside the config", "secret:file:pw", "s3cret", ""},
		{"absolute", "secret:file:" + filepath.Join(dir, "pw"), "s3cret", ""},
		{"not there", "secret:file:none", "", "k.yml:2:9: secret: read the secret's file " + filepath.Join(dir, "none") + ": no such file or directory"},
		{"empty", "secret:file:empty", "", "k.yml:2:9: secret: the secret's file " + filepath.Join(dir, "empty") + " is empty"},
		{"a store that is not here", "secret:aws-ssm:/a", "", "k.yml:2:9: secret: nothing here looks up aws-ssm secrets"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, d := decode(t, "host: a\nsecret: '"+tc.ref+"'")
			if err := d.Err(); err != nil {
				t.Fatalf("asked for at load: %v", err)
			}
			err := Resolve(t.Context(), &s, LocalStores(dir, lookup))
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || s.Secret.Reveal() != tc.want {
				t.Errorf("resolved to %q, %v; want %q", s.Secret.Reveal(), err, tc.want)
			}
		})
	}
}

func TestResolveTellsEveryFault(t *testing.T) {
	var k keyring
	decodeInto(t, "plain: secret:env:A\nlist: [secret:env:B]", &k)
	err := Resolve(t.Context(), &k, LocalStores("", nil))
	if f := fault.From(err); f.Code != "secret.missing" || f.Kind != fault.Config {
		t.Errorf("fault %s %s", f.Kind, f.Code)
	}
	for _, want := range []string{"k.yml:1:8: plain:", "k.yml:2:8: list[0]:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestRevealPanicsBeforeResolve(t *testing.T) {
	s, _ := decode(t, "host: a\nsecret: secret:env:PW")
	defer func() {
		if recover() == nil {
			t.Error("a reference was handed out as if it were the secret")
		}
	}()
	_ = s.Secret.Reveal()
}

func TestWordInPlaceOfAMapping(t *testing.T) {
	type login struct {
		Use  string `yaml:"use" conf:"enum=default|none,word"`
		More string `yaml:"more"`
	}
	for _, tc := range []struct{ name, in, want, err string }{
		{"word", "auth: none", "none ", ""},
		{"mapping", "auth: {more: x}", "kept x", ""},
		{"left out", "{}", "kept ", ""},
		{"another word", "auth: nnoe", "", "k.yml:1:7: auth.use: want one of default, none, got \"nnoe\" (did you mean none?)"},
		{"list", "auth: [none]", "", "k.yml:1:7: auth: want a mapping (key: value), got a list"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s struct {
				Auth login `yaml:"auth"`
			}
			s.Auth.Use = "kept"
			d := Parse(Input{Name: "k.yml", Data: []byte(tc.in)})
			d.Decode(&s)
			if err := d.Err(); tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("error %v, want %q", err, tc.err)
				}
			} else if got := s.Auth.Use + " " + s.Auth.More; err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
