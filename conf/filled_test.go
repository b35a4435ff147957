package conf_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/conf"
)

// filled is what a config's text becomes with KEY set.
func filled(t *testing.T, text, value string) conf.Filled {
	t.Helper()
	var into struct {
		Where conf.Filled `yaml:"where" json:"where"`
	}
	doc := conf.Parse(conf.Input{Name: "k.yml", Data: []byte("where: " + text), LookupEnv: func(name string) (string, bool) { return value, name == "KEY" }})
	doc.Decode(&into)
	if err := doc.Err(); err != nil {
		t.Fatal(err)
	}
	if o := doc.Origins()["where"]; value != "" && strings.Contains(fmt.Sprint(o), value) {
		t.Errorf("the origin shows the value: %v", o)
	}
	return into.Where
}

// What comes from the environment is used and never prints; texts that say something else are other JSON.
func TestFilledNeverPrints(t *testing.T) {
	const secret = "s3cr3t-val'ue"
	f := filled(t, `"a = decrypt(b, '${KEY}')"`, secret)
	if got := f.Reveal(); got != "a = decrypt(b, '"+secret+"')" {
		t.Errorf("it says %s", got)
	}
	text, err := json.Marshal(struct{ F conf.Filled }{f})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{f.String(), fmt.Sprint(f), fmt.Sprintf("%v %q %#v %+v", f, f, f, struct{ F conf.Filled }{f}), string(text)} {
		if strings.Contains(shown, "s3cr3t") || !strings.Contains(shown, "${KEY}") {
			t.Errorf("it prints as %s", shown)
		}
	}
	other, err := json.Marshal(struct{ F conf.Filled }{filled(t, `"a = decrypt(b, '${KEY}')"`, secret+"2")})
	if err != nil || string(other) == string(text) {
		t.Errorf("another value, the same JSON: %s %v", other, err)
	}
	var back struct{ F conf.Filled }
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(back); err != nil || string(again) != string(text) {
		t.Errorf("read and written again it is %s, was %s (%v)", again, text, err)
	}
	for _, plain := range []string{`id > 7`, `"${NONE:-id > 7}"`} {
		f := filled(t, plain, "")
		if text, err := json.Marshal(f); err != nil || string(text) != `"id > 7"` && string(text) != `"id \u003e 7"` || f.Reveal() != "id > 7" {
			t.Errorf("%s: %s %v, says %s", plain, text, err, f.Reveal())
		}
	}
}

func TestFilledHides(t *testing.T) {
	f := filled(t, `"x = ${KEY}"`, "Pl4nted-n3ver")
	for _, tc := range []struct{ in, want string }{
		{`near 'Pl4nted-n3ver' at line 1`, `near '${KEY}' at line 1`},
		{`column "pl4nted-n3ver" does not exist`, `column "${KEY}" does not exist`},
		{`near 'ted-n3ver' and Pl4nte…`, `near '${KEY}' and ${KEY}…`},
		{`the plan is never ended`, `the plan is never ended`},
		{`表 Pl4nted-n3ver です`, `表 ${KEY} です`},
	} {
		if got := f.Hide(tc.in); got != tc.want {
			t.Errorf("Hide(%s) = %s, want %s", tc.in, got, tc.want)
		}
	}
	if got := filled(t, `"x = ${KEY}"`, "7").Hide("column 7 of 17"); got != "column 7 of 17" {
		t.Errorf("a value of one digit: %s", got)
	}
}
