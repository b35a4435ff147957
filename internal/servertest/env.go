package servertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Find reads one server from .servers/env, for programs that aren't tests, as the
// benchmark is. name is as in [Server].Name.
func Find(name string) (Server, error) {
	env, err := readEnv()
	if err != nil {
		return Server{}, err
	}
	key := func(k string) string { return env[strings.ToUpper(name)+"_"+k] }
	if why := key("MISSING"); why != "" {
		return Server{}, fmt.Errorf("%s can't be had here: %s", name, why)
	}
	if key("HOST") == "" {
		return Server{}, fmt.Errorf("%s is not running; run: make servers", name)
	}
	port, err := strconv.Atoi(key("PORT"))
	if err != nil {
		return Server{}, fmt.Errorf("port of %s in .servers/env: %w", name, err)
	}
	kind := "mysql"
	if strings.HasPrefix(name, "postgres") {
		kind = "postgres"
	}
	return Server{
		Name: name, Kind: kind, Host: key("HOST"), Port: port, Socket: key("SOCKET"),
		User: key("USER"), Password: key("PASSWORD"), Admin: key("ADMIN"), Version: key("VERSION"), CAFile: key("CA_FILE"),
	}, nil
}

func find(t testing.TB, name string) Server {
	t.Helper()
	s, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func environment(t testing.TB) map[string]string {
	t.Helper()
	env, err := readEnv()
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// otherEnv names a file in place of .servers/env: for trying other servers by hand.
const otherEnv = "KITAMAE_SERVERS_ENV"

// readEnv parses the KEY='value' lines of .servers/env.
func readEnv() (map[string]string, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(root, ".servers", "env")
	if other := os.Getenv(otherEnv); other != "" {
		file = other
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the test servers are not running; run: make servers")
	}
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			continue
		}
		value = strings.TrimSuffix(strings.TrimPrefix(value, "'"), "'")
		env[key] = strings.ReplaceAll(value, `'\''`, "'")
	}
	return env, nil
}

// Root is the repository's folder: the nearest one above the working folder with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod in or above the working folder")
		}
		dir = parent
	}
}
