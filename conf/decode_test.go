package conf

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/fault"
)

type mode string

type place struct {
	City string `yaml:"city" conf:"required"`
	Zip  int    `yaml:"zip"`
}

type shared struct {
	Note string `yaml:"note"`
}

type spec struct {
	Host    string            `yaml:"host" conf:"required"`
	Port    int               `yaml:"port" conf:"min=1,max=65535"`
	Small   uint8             `yaml:"small"`
	Ratio   float64           `yaml:"ratio" conf:"min=0,max=1"`
	On      bool              `yaml:"on"`
	Wait    time.Duration     `yaml:"wait" conf:"min=1s"`
	Secret  Secret            `yaml:"secret" conf:"secret"`
	Memory  Bytes             `yaml:"memory" conf:"min=1MiB"`
	Mode    mode              `yaml:"mode" conf:"enum=replace|merge"`
	Place   place             `yaml:"place"`
	Pointer *place            `yaml:"pointer"`
	Count   *int              `yaml:"count"`
	Keys    []string          `yaml:"keys"`
	Places  []place           `yaml:"places"`
	Types   map[string]mode   `yaml:"types" conf:"enum=text|boolean"`
	Labels  map[string]string `yaml:"labels"`
	Shared  shared            `yaml:",inline"`
	Later   Raw               `yaml:"later"`
	Hidden  string            `yaml:"-"`
}

var environment = map[string]string{"DB": "db1", "PORT": "5432", "BAD": "hunter2", "EMPTY": "", "PW": "s3cret", "REF": "secret:env:PW"}

func lookup(name string) (string, bool) {
	v, ok := environment[name]
	return v, ok
}

func decode(t *testing.T, text string) (spec, *Document) {
	t.Helper()
	s := spec{Port: 3306, Keys: []string{"default"}}
	d := Parse(Input{Name: "k.yml", Data: []byte(text), Dir: t.TempDir(), LookupEnv: lookup})
	d.Decode(&s)
	return s, d
}

func TestDecodeValues(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     spec
	}{
		{"defaults stay", "host: a", spec{Host: "a"}},
		{"all kinds", "host: a\nport: 1\nsmall: 255\nratio: 0.5\non: true\nwait: 1m30s\nmemory: 256MiB\nmode: merge\n",
			spec{Host: "a", Port: 1, Small: 255, Ratio: 0.5, On: true, Wait: 90 * time.Second, Memory: 256 << 20, Mode: "merge"}},
		{"plain bytes", "{host: a, memory: 2000000}", spec{Host: "a", Memory: 2000000}},
		{"grouped digits", "{host: a, port: 1_000}", spec{Host: "a", Port: 1000}},
		{"a leading zero is decimal", "{host: a, port: 0123}", spec{Host: "a", Port: 123}},
		{"a number is text as written", "host: 0123", spec{Host: "0123"}},
		{"a date is text as written", "host: 2026-01-02", spec{Host: "2026-01-02"}},
		{"quoted true is text", "host: 'true'", spec{Host: "true"}},
		{"whole number for a float", "{host: a, ratio: 1}", spec{Host: "a", Ratio: 1}},
		{"nested", "host: a\nplace:\n  city: 東京\n  zip: 100", spec{Host: "a", Place: place{"東京", 100}}},
		{"pointer", "host: a\npointer: {city: x}", spec{Host: "a", Pointer: &place{City: "x"}}},
		{"pointer to a number", "{host: a, count: 3}", spec{Host: "a", Count: new(3)}},
		{"list", "{host: a, keys: [x, y]}", spec{Host: "a", Keys: []string{"x", "y"}}},
		{"list of one without brackets", "{host: a, keys: x}", spec{Host: "a", Keys: []string{"x"}}},
		{"empty list", "{host: a, keys: []}", spec{Host: "a", Keys: []string{}}},
		{"list of structs", "host: a\nplaces:\n- city: x\n- {city: y}", spec{Host: "a", Places: []place{{City: "x"}, {City: "y"}}}},
		{"map", "{host: a, types: {列: text}}", spec{Host: "a", Types: map[string]mode{"列": "text"}}},
		{"number as map key", "{host: a, labels: {1: x}}", spec{Host: "a", Labels: map[string]string{"1": "x"}}},
		{"inlined", "{host: a, note: n}", spec{Host: "a", Shared: shared{"n"}}},
		{"empty mapping", "host: a\nlabels:\n", spec{Host: "a", Labels: map[string]string{}}},
		{"anchor", "labels: &l {a: b}\nhost: &h a\nplace: {city: *h}\ntypes: {}", spec{Host: "a", Labels: map[string]string{"a": "b"}, Place: place{City: "a"}, Types: map[string]mode{}}},
		{"merge key", "x-base: &b {city: x, zip: 1}\nhost: a\nplace:\n  <<: *b\n  zip: 2", spec{Host: "a", Place: place{"x", 2}}},
		{"merge list, first wins", "x-a: &a {city: x}\nx-b: &b {city: y, zip: 9}\nhost: a\nplace: {<<: [*a, *b]}", spec{Host: "a", Place: place{"x", 9}}},
		{"CRLF", "host: a\r\nport: 2\r\n", spec{Host: "a", Port: 2}},
		{"BOM", "\ufeffhost: a\n", spec{Host: "a"}},
		{"variable", "host: ${DB}\nport: ${PORT}", spec{Host: "db1", Port: 5432}},
		{"variable in quotes", `{host: "x-${DB}-y", port: "${PORT}"}`, spec{Host: "x-db1-y", Port: 5432}},
		{"variable in single quotes", `host: '${DB}'`, spec{Host: "db1"}},
		{"variable's default", "{host: '${NONE:-localhost:1}', port: '${NONE:-7}'}", spec{Host: "localhost:1", Port: 7}},
		{"empty takes the default", "host: ${EMPTY:-d}", spec{Host: "d"}},
		{"set wins over the default", "host: ${DB:-d}", spec{Host: "db1"}},
		{"escaped", "host: $${DB} costs $5", spec{Host: "${DB} costs $5"}},
		{"several", "host: ${DB}${DB}", spec{Host: "db1db1"}},
		{"in a block", "host: |\n  a\n  ${DB}\n", spec{Host: "a\ndb1\n"}},
		{"literal secret", "{host: a, secret: pw}", spec{Host: "a", Secret: "pw"}},
		{"secret by variable", "{host: a, secret: '${PW}'}", spec{Host: "a", Secret: "s3cret"}},
		{"a variable's value is no reference", "{host: a, secret: '${REF}'}", spec{Host: "a", Secret: "secret:env:PW"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, d := decode(t, tc.in)
			if err := d.Err(); err != nil {
				t.Fatalf("decode %q: %v", tc.in, err)
			}
			if tc.want.Port == 0 {
				tc.want.Port = 3306
			}
			if tc.want.Keys == nil {
				tc.want.Keys = []string{"default"}
			}
			got.Later = Raw{}
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b Raw) bool { return true })); diff != "" {
				t.Errorf("decode %q (-want +got):\n%s", tc.in, diff)
			}
		})
	}
}

func TestDecodeProblems(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"unknown key", "host: a\nprot: 1", "k.yml:2:1: prot: unknown key (did you mean port?)"},
		{"unknown key far from all", "host: a\nzzzzzzzzzz: 1", "k.yml:2:1: zzzzzzzzzz: unknown key"},
		{"unknown key in a struct", "host: a\nplace:\n  city: x\n  zipp: 1", "k.yml:4:3: place.zipp: unknown key (did you mean zip?)"},
		{"columns count characters", "{host: 東京, ポート: 1}", "k.yml:1:12: ポート: unknown key"},
		{"twice", "host: a\nport: 1\nhost: b", "k.yml:3:1: host: the key stands here twice: first in line 1"},
		{"missing", "port: 1", "k.yml:1:1: host: is missing"},
		{"missing below a key", "host: a\nplace:\n  zip: 1", "k.yml:2:1: place.city: is missing"},
		{"missing in a list", "host: a\nplaces:\n- city: x\n- zip: 1", "k.yml:4:3: places[1].city: is missing"},
		{"empty file", "", "k.yml:1:1: host: is missing"},
		{"only comments", "# nothing", "k.yml:1:1: host: is missing"},
		{"required but empty", "host: ''", "k.yml:1:7: host: must not be empty"},
		{"no value", "host:\nport: 1", "k.yml:1:1: host: has no value: write one or remove the key"},
		{"null pointer", "host: a\ncount: ~", "k.yml:2:1: count: has no value: write one or remove the key"},
		{"null list", "host: a\nkeys:", "k.yml:2:1: keys: has no value: write one or remove the key"},
		{"text for a number", "host: a\nport: many", `k.yml:2:7: port: want a whole number, got "many"`},
		{"quoted number", "host: a\nport: \"5\"", `k.yml:2:7: port: want a whole number, got "5" in quotes`},
		{"fraction for a whole number", "host: a\nport: 1.5", "k.yml:2:7: port: want a whole number, got the number 1.5"},
		{"too large for its type", "host: a\nsmall: 256", "k.yml:2:8: small: want a whole number, got the number 256"},
		{"not finite", "host: a\nratio: .inf", "k.yml:2:8: ratio: want a number, got the number .inf"},
		{"mapping for a number", "host: a\nport: {a: 1}", "k.yml:2:7: port: want a whole number, got a mapping"},
		{"list for text", "host: [a]", "k.yml:1:7: host: want text, got a list"},
		{"bool for text", "host: true", "k.yml:1:7: host: want text, got true: put it in quotes"},
		{"yes for true", "host: a\non: yes", `k.yml:2:5: on: want true or false, got "yes" (did you mean true?)`},
		{"text for a mapping", "host: a\nplace: tokyo", "k.yml:2:8: place: want a mapping (key: value), got text"},
		{"no space after the colon stays hidden", "host: a\nplace:\n  secret:hunter2", "k.yml:3:3: place: want a mapping (key: value), got text: a space must follow the colon"},
		{"mapping for a list", "host: a\nkeys: {a: 1}", "k.yml:2:7: keys: want a list, got a mapping"},
		{"text for a list of structs", "host: a\nplaces: x", `k.yml:2:9: places: want a list, got "x"`},
		{"list at the top", "- a", "k.yml:1:1: want a mapping (key: value), got a list"},
		{"below the range", "host: a\nport: 0", "k.yml:2:7: port: want at least 1, got the number 0"},
		{"above the range", "host: a\nport: 99999", "k.yml:2:7: port: want at most 65535, got the number 99999"},
		{"duration", "host: a\nwait: 30", "k.yml:2:7: wait: want a duration such as 30s, got the number 30"},
		{"short duration", "host: a\nwait: 5ms", `k.yml:2:7: wait: want at least 1s, got "5ms"`},
		{"bytes", "host: a\nmemory: much", `k.yml:2:9: memory: want an amount such as 256MiB, got "much"`},
		{"few bytes", "host: a\nmemory: 1kB", `k.yml:2:9: memory: want at least 1MiB, got "1kB"`},
		{"enum", "host: a\nmode: replcae", `k.yml:2:7: mode: want one of replace, merge, got "replcae" (did you mean replace?)`},
		{"enum in a map", "host: a\ntypes: {c: bool}", `k.yml:2:12: types.c: want one of text, boolean, got "bool"`},
		{"quoted path", "host: a\ntypes: {\"a.b\": x}", `k.yml:2:16: types."a.b": want one of text, boolean, got "x"`},
		{"missing variable", "host: ${NONE}", "k.yml:1:7: host: the environment variable NONE is not set: set it, or write ${NONE:-default}"},
		{"unclosed variable", "host: a${DB", "k.yml:1:7: host: a ${ without its }: write $${ for the characters themselves"},
		{"not a variable", "host: ${a b}", "k.yml:1:7: host: a ${ that is neither ${NAME} nor ${NAME:-default}: write $${ for the characters themselves"},
		{"variable of the wrong type stays hidden", "host: a\nport: ${BAD}", "k.yml:2:7: port: want a whole number, got the value of ${BAD}"},
		{"default of the wrong type", "host: a\nport: ${NONE:-x}", `k.yml:2:7: port: want a whole number, got "x"`},
		{"secret reference of a kind nobody knows stays hidden", "host: a\nsecret: secret:hunter2", "k.yml:2:9: secret: a secret reference is secret:env:NAME, secret:file:PATH, secret:aws-ssm:/PATH, secret:aws-sm:NAME or secret:aws-sm:NAME#FIELD or secret:gcp-sm:projects/PROJECT/secrets/NAME"},
		{"secret reference without a name", "host: a\nsecret: 'secret:file:'", "k.yml:2:9: secret: a secret reference is secret:env:NAME, secret:file:PATH, secret:aws-ssm:/PATH, secret:aws-sm:NAME or secret:aws-sm:NAME#FIELD or secret:gcp-sm:projects/PROJECT/secrets/NAME"},
		{"secret for a plain key", "host: secret:env:PW", "k.yml:1:7: host: this key holds no secret, so that it takes no secret reference: use ${NAME}"},
		{"list for a secret", "host: a\nsecret: [hunter2]", "k.yml:2:9: secret: want text, got a list"},
		{"bool for a secret", "host: a\nsecret: true", "k.yml:2:9: secret: want text, got (secret): put it in quotes"},
		{"tab", "host: a\nplace:\n\tcity: x", "k.yml:3:1: a tab indents this line: YAML wants spaces"},
		{"tab after spaces", "host: a\nplace:\n  \tcity: x\n  zip: 1", "k.yml:3:3: a tab indents this line: YAML wants spaces"},
		{"wrong indent", "host: a\nplace:\n  city: b\n zip: 2", "k.yml:4:2: did not find expected key"},
		{"two colons", "host: a: b", "k.yml:1:1: mapping values are not allowed in this context"},
		{"bracket never closed", "host: a\nkeys: [x,\nport: 1\n", "k.yml:2:1: did not find expected ',' or ']'"},
		{"quote never closed", "host: a\nport: 1\nmode: \"x\non: true", "k.yml:3:1: found unexpected end of stream"},
		{"full-width colon", "host：a\nport: 1", "k.yml:2:1: mapping values are not allowed in this context: in the line before, the full-width colon \"：\" should be \":\""},
		{"full-width space", "host: a\nplace:\n\u3000city: x\n\u3000zip: 1", "k.yml:2:1: place.city: is missing\nk.yml:3:1: \"\u3000city\": unknown key: the full-width space \"\\u3000\" should be \" \"\nk.yml:4:1: \"\u3000zip\": unknown key: the full-width space \"\\u3000\" should be \" \""},
		{"unknown anchor", "host: *b", "k.yml:1:1: an alias (*name) with no anchor (&name) before it: put text that begins with * in quotes"},
		{"password that begins with a star", "host: a\nsecret: *hunter2", "k.yml:2:1: an alias (*name) with no anchor (&name) before it: put text that begins with * in quotes"},
		{"password that begins with an exclamation mark", "host: a\nsecret: !hunter2", "k.yml:2:9: secret: a YAML tag, which means nothing here: put text that begins with ! in quotes"},
		{"second document", "host: a\n---\nport: 2", "k.yml:2:1: a second YAML document: a config is one document, without ---"},
		{"not UTF-8", "host: a\nmode: \x83\x7c", "k.yml:2:7: this is not UTF-8 text: save the file as UTF-8"},
		{"anchor in itself", "host: a\nlabels: &l\n  <<: *l", "k.yml:3:3: labels: an anchor that contains itself"},
		{"all at once", "prot: 1\nport: x\nsmall: -1",
			"k.yml:1:1: prot: unknown key (did you mean port?)\nk.yml:1:1: host: is missing\nk.yml:2:7: port: want a whole number, got \"x\"\nk.yml:3:8: small: want a whole number, got the number -1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, d := decode(t, tc.in)
			err := d.Err()
			if err == nil {
				t.Fatalf("decode %q: no error, want %q", tc.in, tc.want)
			}
			if got := err.Error(); got != tc.want {
				t.Errorf("decode %q\n got %q\nwant %q", tc.in, got, tc.want)
			}
			if f := fault.From(err); f.Code != "config.invalid" || f.Kind != fault.Config {
				t.Errorf("fault is %s %s, want config config.invalid", f.Kind, f.Code)
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	_, d := decode(t, "host: ${DB}\nsecret: secret:env:PW\nmode: ${NONE:-merge}\nkeys: [a]\nplace:\n  city: 東京")
	got := map[string]string{}
	for path, o := range d.Origins() {
		if o.Value != "" && o.Value != "0" && o.Value != "false" && o.Value != "0s" {
			got[path] = o.Value + " from " + o.From
		}
	}
	want := map[string]string{
		"host":       "db1 from env DB (k.yml:1)",
		"secret":     "(secret) from secret:env:PW (k.yml:2)",
		"mode":       "merge from k.yml:3 (NONE is not set)",
		"keys[0]":    "a from k.yml:4",
		"place.city": "東京 from k.yml:6",
		"port":       "3306 from default",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
}

func TestRawDecodesLater(t *testing.T) {
	s, d := decode(t, "host: a\nlater:\n  b: {city: x}\n  a: skip\n  c:\n")
	var keys []string
	for _, e := range s.Later.Entries() {
		keys = append(keys, e.Key)
		if e.Key == "b" {
			var p place
			e.Value.Decode(&p)
			if p.City != "x" {
				t.Errorf("city = %q, want x", p.City)
			}
		}
		if e.Key == "a" && !e.Value.Is("skip") {
			t.Error("a is not skip")
		}
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	s.Later.Problem("is %s", "odd")
	if got, want := d.Err().Error(), "k.yml:2:1: later: is odd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// checked excludes host and socket.
type checked struct {
	Host   string `yaml:"host"`
	Socket string `yaml:"socket"`
}

func (c *checked) CheckConf(bad func(key, format string, args ...any)) {
	if c.Host != "" && c.Socket != "" {
		bad("socket", "can't stand beside host")
	}
	if c.Host == "" && c.Socket == "" {
		bad("host", "is missing, and so is socket")
	}
}

func TestChecker(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"both", "a:\n  host: a\n  socket: b", "k.yml:3:3: a.socket: can't stand beside host"},
		{"neither", "a: {}", "k.yml:1:1: a.host: is missing, and so is socket"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s struct {
				A checked `yaml:"a"`
			}
			d := Parse(Input{Name: "k.yml", Data: []byte(tc.in)})
			d.Decode(&s)
			if got := d.Err().Error(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	for _, tc := range []struct {
		typed string
		names []string
		want  string
	}{
		{"usres", []string{"users", "orders"}, "users"},
		{"USERS", []string{"users"}, "users"},
		{"x", []string{"users"}, ""},
		{"ab", []string{"ad", "ac"}, "ac"},
		{"利用履歴", []string{"利用者履歴", "注文"}, "利用者履歴"},
		{"users", nil, ""},
	} {
		if got := Nearest(tc.typed, tc.names); got != tc.want {
			t.Errorf("Nearest(%q, %q) = %q, want %q", tc.typed, tc.names, got, tc.want)
		}
	}
}

func TestUnknownCheckPanics(t *testing.T) {
	for _, bad := range []any{
		struct {
			A string `yaml:"a" conf:"requierd"`
		}{},
		struct {
			A string `yaml:"a" conf:"secret"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T: no panic", bad)
				}
			}()
			Fields(reflect.TypeOf(bad))
		}()
	}
}

func TestParseBytes(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Bytes
		bad  bool
	}{
		{"256MiB", 256 << 20, false}, {"1.5GiB", 3 << 29, false}, {"500MB", 500e6, false}, {"10", 10, false}, {"1 kB", 1000, false},
		{"", 0, true}, {"-1", 0, true}, {"nan", 0, true}, {"inf", 0, true}, {"1e3", 0, true}, {"0x10", 0, true}, {"99999999999TiB", 0, true}, {"MiB", 0, true}, {"1M", 0, true},
	} {
		got, err := ParseBytes(tc.in)
		if got != tc.want || (err != nil) != tc.bad {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d, error %v", tc.in, got, err, tc.want, tc.bad)
		}
	}
}

// FuzzDecode holds that no text makes the decoder panic or hang, and that no problem
// shows a secret.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"host: a", "a: &a [*a]", "<<: x", "? [a]\n: b", "<<: [{a: 1}, x]", "keys: &k [a, *k]", "host: ${DB:-${X}}", "x-a: &a {<<: *a}\nplace: *a", "\t", "secret: !!int 5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s spec
		d := Parse(Input{Name: "k.yml", Data: []byte(text + "\nsecret: [\"hunter2-secret\"]\n"), LookupEnv: lookup})
		d.Decode(&s)
		if err := d.Err(); err != nil && strings.Contains(err.Error(), "hunter2-secret") && !strings.Contains(text, "hunter2-secret") {
			t.Errorf("shown: %v", err)
		}
	})
}
