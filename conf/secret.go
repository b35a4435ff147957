package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// secretMark begins a reference to a secret that is kept elsewhere.
const secretMark = "secret:"

// secret resolves ref, which begins with secretMark. Its errors never show more than
// names of places, as a password may have been typed where a reference was meant.
func (in Input) secret(ref string) (string, error) {
	store, name, _ := strings.Cut(strings.TrimPrefix(ref, secretMark), ":")
	switch {
	case store == "env" && name != "":
		if in.LookupEnv != nil {
			if value, ok := in.LookupEnv(name); ok && value != "" {
				return value, nil
			}
		}
		return "", fmt.Errorf("the environment variable %s, which holds the secret, is not set", name)
	case store == "file" && name != "":
		return in.secretFile(name)
	}
	return "", errors.New("a secret reference is secret:env:NAME or secret:file:PATH")
}

// secretFile reads a secret from a file, without the line end that editors and echo add.
func (in Input) secretFile(name string) (string, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(in.Dir, path)
	}
	read := in.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	data, err := read(path)
	var pathErr *os.PathError
	switch {
	case errors.As(err, &pathErr):
		return "", fmt.Errorf("read the secret's file %s: %w", path, pathErr.Err)
	case err != nil:
		return "", fmt.Errorf("read the secret's file %s: %w", path, err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("the secret's file %s is empty", path)
	}
	return text, nil
}
