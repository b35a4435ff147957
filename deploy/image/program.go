// Package image makes the container image around a kitamae binary and pushes it, without a container
// engine. Where the image then runs is not its matter.
package image

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/kitamae/kitamae/fault"
)

// Program is a static Linux binary that can be the whole of an image.
type Program struct {
	Path string
	Arch string // as Go and OCI name it: amd64 or arm64
	Info *buildinfo.BuildInfo
	Size int64
}

// hint is what helps with every binary that can't be used.
const hint = "`make build` makes the static binary; name it with --binary"

// Inspect reads what an image must know of the binary at path, and refuses one that could not run in an empty file system.
func Inspect(path string) (Program, error) {
	p := Program{Path: path}
	f, err := elf.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, fault.Wrap(fault.Config, "image.missing", hint, err)
	}
	if err != nil {
		return p, fault.Wrap(fault.Config, "image.foreign", hint, fmt.Errorf("%s is no Linux binary: %w", path, err))
	}
	defer func() { _ = f.Close() }()
	switch f.Machine {
	case elf.EM_X86_64:
		p.Arch = "amd64"
	case elf.EM_AARCH64:
		p.Arch = "arm64"
	default:
		return p, fault.New(fault.Config, "image.machine", hint, "%s is for %s: images are for x86-64 and arm64", path, f.Machine)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return p, fault.New(fault.Config, "image.dynamic", hint, "%s wants a dynamic loader, which the image has not", path)
	}
	if p.Info, err = buildinfo.ReadFile(path); err != nil {
		return p, fault.Wrap(fault.Config, "image.foreign", hint, fmt.Errorf("%s is no Go binary: %w", path, err))
	}
	stat, err := os.Stat(path)
	if err != nil {
		return p, fault.Wrap(fault.Config, "image.missing", hint, err)
	}
	p.Size = stat.Size()
	return p, nil
}

// Running inspects the running binary, and the one for the other architecture if it lies beside it under the name that
// `make build-arm64` gives it.
func Running() ([]Program, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "image.executable", hint, err)
	}
	p, err := Inspect(path)
	if err != nil {
		return nil, err
	}
	programs := []Program{p}
	if other := path + "-arm64"; p.Arch == "amd64" && exists(other) {
		if p, err = Inspect(other); err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	return programs, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// write copies the binary to w.
func (p Program) write(w io.Writer) error {
	f, err := os.Open(p.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(w, f)
	return err
}
