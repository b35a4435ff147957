package eject

import "path/filepath"

// Workflow is a GitHub Actions workflow that plans config's deployment on a pull request and applies it on merge, by a role and
// without any stored key.
func Workflow(config string) (map[string][]byte, error) {
	text, err := fill("ci.yml", map[string]string{"FILE": filepath.ToSlash(filepath.Clean(config))})
	return map[string][]byte{".github/workflows/kitamae-deploy.yml": text}, err
}
