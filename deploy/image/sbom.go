package image

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// SBOM lists what the binary is made of, as CycloneDX: the modules its build recorded, Go itself, and the C compilers
// whose libraries are linked in. It carries neither a time nor a random serial number, so that the same binary has the same list.
func SBOM(p Program, version string) ([]byte, error) {
	main := p.Info.Main
	root := cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: "kitamae", Version: version, BOMRef: "kitamae",
		PackageURL: purl(main.Path, version),
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
	parts := []cdx.Component{{
		Type: cdx.ComponentTypeLibrary, Name: "std", Version: goVersion(p.Info), BOMRef: purl("std", goVersion(p.Info)), PackageURL: purl("std", goVersion(p.Info)),
	}}
	for _, m := range p.Info.Deps {
		parts = append(parts, module(m))
	}
	tools, err := toolchains(p.Path)
	if err != nil {
		return nil, err
	}
	parts = append(parts, tools...)
	var refs []string
	for _, c := range parts {
		refs = append(refs, c.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Component: &root,
		Properties: &[]cdx.Property{
			{Name: "kitamae:goos", Value: "linux"}, {Name: "kitamae:goarch", Value: p.Arch},
		},
	}
	bom.Components = &parts
	bom.Dependencies = &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &refs}}
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("the list of parts: %w", err)
	}
	return b.Bytes(), nil
}

func goVersion(info *buildinfo.BuildInfo) string {
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	return version
}

// module is one Go module; where it was replaced, what stood in for it.
func module(m *debug.Module) cdx.Component {
	if m.Replace != nil {
		m = m.Replace
	}
	return cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, BOMRef: purl(m.Path, m.Version), PackageURL: purl(m.Path, m.Version),
	}
}

func purl(path, version string) string { return "pkg:golang/" + path + "@" + version }

// toolchains are the C compilers that objects of the binary came from, as the linker gathered them: their run-time
// libraries are linked in. A static binary names no version of its C library.
func toolchains(path string) ([]cdx.Component, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	section := f.Section(".comment")
	if section == nil {
		return nil, nil
	}
	text, err := section.Data()
	if err != nil {
		return nil, err
	}
	var parts []cdx.Component
	for name := range strings.SplitSeq(strings.Trim(string(text), "\x00"), "\x00") {
		kind, version, ok := strings.Cut(name, ": ")
		if ok && kind == "GCC" {
			parts = append(parts, cdx.Component{
				Type: cdx.ComponentTypeLibrary, Name: "gcc-runtime", Version: version, BOMRef: "gcc " + version,
				Description: "run-time libraries of the C and C++ compiler",
			})
		}
	}
	return parts, nil
}
