package conf

import "strings"

// Origin says where one value came from, and what it is unless it is a secret.
type Origin struct {
	// From is "default", "kitamae.yml:3", "env DB_HOST (kitamae.yml:3)", "secret:env:NAME (kitamae.yml:4)" or "flag".
	From string `json:"from"`
	// Value is the value as text, "(secret)" for secrets.
	Value string `json:"value"`
	Place
}

// Origins are the values of a config by path, as in `source.mysql.host`.
type Origins map[string]Origin

// FromDefault is the From of values nobody set.
const FromDefault = "default"

// Flag notes that a flag of the command line replaced the value at path.
func (o Origins) Flag(path, value string) {
	o[path] = Origin{From: "flag", Value: value}
}

// Join is the path of key below path. Keys that are more than letters, digits, _ and - stand in quotes.
func Join(path, key string) string {
	if !plain(key) {
		key = `"` + strings.ReplaceAll(key, `"`, `\"`) + `"`
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
