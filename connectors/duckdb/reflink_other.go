//go:build !linux

package duckdb

import (
	"errors"
	"os"
)

// reflink is Linux's.
func reflink(_, _ *os.File) error { return errors.ErrUnsupported }
