package conf

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecretNeverPrints(t *testing.T) {
	type login struct {
		User     string
		Password Secret
		Old      *Secret
		More     map[string]Secret
	}
	old := Secret("hunter2")
	l := login{"etl", "hunter2", &old, map[string]Secret{"a": "hunter2"}}
	asJSON, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{string(asJSON), string(asYAML), fmt.Errorf("login: %w", fmt.Errorf("%s", l.Password)).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, l), fmt.Sprintf(verb, l.Password))
	}
	for _, text := range printed {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("printed: %s", text)
		}
	}
	if l.Password.Reveal() != "hunter2" {
		t.Error("Reveal does not")
	}
}

func TestBytesReadBack(t *testing.T) {
	for _, b := range []Bytes{0, 1, 1023, 1 << 10, 256 << 20, 3 << 30, 1500} {
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var back Bytes
		if err := json.Unmarshal(data, &back); err != nil || back != b {
			t.Errorf("%d became %s became %d, %v", b, data, back, err)
		}
	}
}
