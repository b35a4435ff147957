package bigquery

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestJSONFits(t *testing.T) {
	many := "{"
	for i := range 40 {
		many += `"` + strings.Repeat("k", i+1) + `":` + `[1],`
	}
	var fit jsonFit
	for _, tc := range []struct{ text, want string }{
		{`{}`, ""}, {`[]`, ""}, {`""`, ""}, {`0`, ""}, {`-0`, ""}, {`true`, ""}, {`false`, ""}, {"\n{ \"a\" :\t[ 1 , null ] }\r", ""},
		{`{"b":{"a":1},"a":{"a":1}}`, ""}, {`"\u65e5\ud83d\ude00\n\/"`, ""}, {`[null]`, ""},
		{`9223372036854775807`, ""}, {`-9223372036854775808`, ""}, {`18446744073709551615`, ""}, {`100000000000000000000`, ""},
		{`0.1`, ""}, {`1.10`, ""}, {`-1.5e-10`, ""}, {`1e300`, ""}, {`1.7976931348623157e308`, ""}, {`5e-324`, ""}, {`0.30000000000000004`, ""},
		{`3.141592653589793`, ""}, {`0.000000000000000000`, ""}, {`0e999`, ""}, {`1000000000000000000000000`, ""},
		{`null`, "JSON null"}, {" null\n", "JSON null"},
		{`18446744073709551616`, "digits"}, {`18446744073709551617`, "digits"}, {`-9223372036854775809`, "digits"},
		{`3.14159265358979323846`, "digits"}, {`{"a":[1,{"b":0.1000000000000000055511151231257827}]}`, "digits"},
		{`1e400`, "digits"}, {`1e-400`, "digits"}, {`1.7976931348623159e308`, "digits"}, {`123456789012345678901234567890`, "digits"},
		{`{"a":1,"a":1}`, "twice"}, {`{"a":1,"\u0061":2}`, "twice"}, {`[{"x":{"b":1,"c":2,"b":3}}]`, "twice"},
		{many + `"z":0}`, ""}, {many + `"kk":0}`, "twice"},
		{`"\ud83d"`, "surrogate"}, {`"\ude00x"`, "surrogate"}, {`"\ud83d\u0041"`, "surrogate"}, {`{"a\u0000":1}`, "U+0000"},
		{strings.Repeat("[", 500) + strings.Repeat("]", 500), ""}, {strings.Repeat("[", 502) + strings.Repeat("]", 502), "nested"},
		{``, noJSON}, {`{`, noJSON}, {`{"a"}`, noJSON}, {`{"a":1,}`, noJSON}, {`[1 2]`, noJSON}, {`01`, noJSON}, {`1.`, noJSON}, {`+1`, noJSON}, {`nul`, noJSON},
		{`"a`, noJSON}, {`"\x"`, noJSON}, {`"\u12"`, noJSON}, {"\"\n\"", noJSON}, {`{} {}`, noJSON}, {`NaN`, noJSON}, {`--1`, noJSON}, {`"\`, noJSON}, {`{a:1}`, noJSON},
	} {
		why := fit.unfit([]byte(tc.text))
		if tc.want == "" && why != "" || !strings.Contains(why, tc.want) {
			t.Errorf("%.60s: %q, want %q", tc.text, why, tc.want)
		}
		if (why == noJSON) == json.Valid([]byte(tc.text)) {
			t.Errorf("%.60s: %q, and the standard library says %v", tc.text, why, json.Valid([]byte(tc.text)))
		}
	}
}

// FuzzJSONFits holds that it says of the same texts as the standard library that they are JSON, and never ends otherwise than by saying so.
func FuzzJSONFits(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u0041\ud83d\ude00",null,true]}`, `null`, `"\u00`, `[[[`, `-0.0e-0`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var fit jsonFit
		if why := fit.unfit([]byte(s)); why == "" && !json.Valid([]byte(s)) || why == noJSON && json.Valid([]byte(s)) {
			t.Errorf("%q: %q", s, why)
		}
	})
}
