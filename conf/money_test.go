package conf

import (
	"encoding/json"
	"testing"
)

func TestMoney(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Money
		out  string // "" where in is no amount
	}{
		{"1 USD", USD, "1.00 USD"}, {"0.05USD", 50_000, "0.05 USD"}, {" 6.25 USD ", 6_250_000, "6.25 USD"}, {"0.000001 USD", 1, "0.000001 USD"},
		{"0 USD", 0, "0.00 USD"}, {"1234.5 USD", 1_234_500_000, "1234.50 USD"}, {"1.234 USD", 1_234_000, "1.234 USD"},
		{"1", 0, ""}, {"1 JPY", 0, ""}, {"-1 USD", 0, ""}, {"USD", 0, ""}, {"1e3 USD", 0, ""}, {"1/2 USD", 0, ""}, {"0.0000001 USD", 0, ""},
		{"99999999999999999999 USD", 0, ""}, {"1.2.3 USD", 0, ""},
	} {
		got, err := ParseMoney(tc.in)
		if (err == nil) != (tc.out != "") || got != tc.want || err == nil && got.String() != tc.out {
			t.Errorf("ParseMoney(%q) = %d (%s), %v; want %d (%s)", tc.in, got, got, err, tc.want, tc.out)
			continue
		}
		if err != nil {
			continue
		}
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back Money
		if err := json.Unmarshal(data, &back); err != nil || back != got {
			t.Errorf("%s became %s became %s, %v", tc.in, data, back, err)
		}
	}
}
