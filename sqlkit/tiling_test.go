package sqlkit

import (
	"testing"

	"github.com/kitamae/kitamae/fault"
)

func TestTiling(t *testing.T) {
	type span struct{ lo, hi []string }
	at := func(key ...string) []string { return key }
	for name, tc := range map[string]struct {
		lo, hi []string
		spans  []span
		whole  bool
	}{
		"one, open-ended":        {nil, nil, []span{{nil, nil}}, true},
		"three, open-ended":      {nil, nil, []span{{nil, at("1")}, {at("1"), at("5", "'a'")}, {at("5", "'a'"), nil}}, true},
		"inside a range":         {at("1"), at("9"), []span{{at("1"), at("4")}, {at("4"), at("9")}}, true},
		"none":                   {nil, nil, nil, false},
		"the first is lost":      {nil, nil, []span{{at("1"), nil}}, false},
		"one between is lost":    {nil, nil, []span{{nil, at("1")}, {at("5"), nil}}, false},
		"the last is lost":       {nil, nil, []span{{nil, at("1")}, {at("1"), at("5")}}, false},
		"the last in a range":    {at("1"), at("9"), []span{{at("1"), at("4")}}, false},
		"one twice":              {nil, nil, []span{{nil, at("1")}, {at("1"), at("5")}, {at("1"), at("5")}, {at("5"), nil}}, false},
		"two overlap":            {nil, nil, []span{{nil, at("5")}, {at("4"), nil}}, false},
		"a longer bound":         {nil, nil, []span{{nil, at("5")}, {at("5", "1"), nil}}, false},
		"the whole twice":        {nil, nil, []span{{nil, nil}, {nil, nil}}, false},
		"beyond the range's end": {at("1"), at("9"), []span{{at("1"), nil}}, false},
	} {
		tiles := NewTiling(tc.lo)
		var err error
		for _, s := range tc.spans {
			if err == nil {
				err = tiles.Add(s.lo, s.hi)
			}
		}
		if err == nil {
			err = tiles.End(tc.hi)
		}
		if (err == nil) != tc.whole || err != nil && fault.ExitCode(err) != 5 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
