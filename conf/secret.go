package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Secret is text that never prints: not by fmt, not as JSON or YAML, not in a log. Where a config refers to one
// that is kept elsewhere (secret:env:NAME), it holds the reference until [Resolve] has looked it up.
type Secret string

const redacted = "(secret)"

// Reveal returns the text itself, for the one place that logs in with it. A reference that nobody looked up is a
// mistake in the program: it panics rather than hands the reference to a server.
func (s Secret) Reveal() string {
	if _, ok := s.reference(); ok {
		panic("conf: a secret is used that Resolve has not looked up")
	}
	return string(s)
}

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from printing it.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format keeps every other verb from printing it.
func (s Secret) Format(f fmt.State, verb rune) { fmt.Fprint(f, s.String()) }

// MarshalJSON writes that there is a secret, not which.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalYAML writes that there is a secret, not which.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

const (
	// secretMark begins a reference to a secret that is kept elsewhere.
	secretMark = "secret:"
	// unresolved begins, and divides, a Secret that holds a reference. Neither YAML nor an environment variable
	// can hold this character, so that no password looks like one.
	unresolved = "\x00"
)

// reference is a secret that is kept elsewhere, and where the config speaks of it.
type reference struct{ at, path, store, name string }

func (r reference) secret() Secret {
	return Secret(unresolved + strings.Join([]string{r.at, r.path, r.store, r.name}, unresolved))
}

func (s Secret) reference() (reference, bool) {
	rest, ok := strings.CutPrefix(string(s), unresolved)
	if !ok {
		return reference{}, false
	}
	parts := strings.SplitN(rest, unresolved, 4)
	return reference{parts[0], parts[1], parts[2], parts[3]}, true
}

// storeForms are how references to each store are written.
var storeForms = []struct{ store, form string }{
	{"env", "secret:env:NAME"},
	{"file", "secret:file:PATH"},
	{"aws-ssm", "secret:aws-ssm:/PATH"},
	{"aws-sm", "secret:aws-sm:NAME or secret:aws-sm:NAME#FIELD"},
	{"gcp-sm", "secret:gcp-sm:projects/PROJECT/secrets/NAME"},
}

// parseReference takes apart ref, which begins with secretMark. Its errors never repeat it, as a password may have
// been typed where a reference was meant.
func parseReference(ref string) (store, name string, err error) {
	store, name, _ = strings.Cut(strings.TrimPrefix(ref, secretMark), ":")
	var forms []string
	for _, s := range storeForms {
		if s.store == store && name != "" {
			return store, name, nil
		}
		forms = append(forms, s.form)
	}
	return "", "", errors.New("a secret reference is " + strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1])
}

// isReference says whether a plain key's text is clearly meant as a reference.
func isReference(text string) bool {
	return slices.ContainsFunc(storeForms, func(s struct{ store, form string }) bool {
		return strings.HasPrefix(text, secretMark+s.store+":")
	})
}
