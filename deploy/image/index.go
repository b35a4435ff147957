package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kitamae/kitamae/fault"
)

// Image is one image for all architectures there is a program for.
type Image struct {
	Digest string // of the index, as in "sha256:…"
	Parts  []Part
	index  v1.ImageIndex
}

// Part is the image of one architecture.
type Part struct {
	Arch   string
	Digest string
	Bytes  int64 // what a pull moves: the compressed layers and the configuration
	SBOM   []byte
}

// New makes the image of programs, one for each architecture.
func New(programs []Program, version string) (*Image, error) {
	m := &Image{index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
	for _, p := range programs {
		img, err := Build(p, version)
		if err != nil {
			return nil, err
		}
		part, err := describe(img, p, version)
		if err != nil {
			return nil, err
		}
		for _, other := range m.Parts {
			if other.Arch == p.Arch {
				return nil, fault.New(fault.Config, "image.twice", "name one binary for each architecture", "two binaries are for %s", p.Arch)
			}
		}
		m.Parts = append(m.Parts, part)
		m.index = mutate.AppendManifests(m.index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.Arch}},
		})
	}
	digest, err := m.index.Digest()
	m.Digest = digest.String()
	return m, err
}

func describe(img v1.Image, p Program, version string) (Part, error) {
	part := Part{Arch: p.Arch}
	digest, err := img.Digest()
	if err != nil {
		return part, err
	}
	part.Digest = digest.String()
	manifest, err := img.Manifest()
	if err != nil {
		return part, err
	}
	part.Bytes = manifest.Config.Size
	for _, l := range manifest.Layers {
		part.Bytes += l.Size
	}
	part.SBOM, err = SBOM(p, version)
	return part, err
}

// Arch is the architecture to run the image on: arm64 where there is a choice, as it costs a fifth less.
func (m *Image) Arch() string {
	for _, p := range m.Parts {
		if p.Arch == "arm64" {
			return p.Arch
		}
	}
	return m.Parts[0].Arch
}

// Save writes the image as a folder in OCI's layout, in place of one that is there, with each SBOM beside it as
// <folder>-<arch>.cdx.json.
func (m *Image) Save(folder string) error {
	next := folder + ".next"
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	path, err := layout.Write(next, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(m.index); err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Rename(next, folder); err != nil {
		return err
	}
	for _, p := range m.Parts {
		if err := os.WriteFile(filepath.Clean(folder)+"-"+p.Arch+".cdx.json", p.SBOM, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Push uploads the image to ref, as in registry.example.com/kitamae:v1, and returns its address by digest. What is there
// already is not uploaded again.
func (m *Image) Push(ctx context.Context, ref string, keys authn.Keychain) (string, error) {
	var options []name.Option
	if strings.HasPrefix(ref, "127.0.0.1:") || strings.HasPrefix(ref, "localhost:") {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(ref, options...)
	if err != nil {
		return "", fault.Wrap(fault.Config, "image.reference", "write it as registry/name:tag", err)
	}
	err = remote.WriteIndex(tag, m.index, remote.WithContext(ctx), remote.WithAuthFromKeychain(keys))
	if err != nil {
		return "", fault.Wrap(fault.Destination, "image.push", "check the registry's name and that you may write to it", fmt.Errorf("push %s: %w", ref, err))
	}
	return tag.Context().Name() + "@" + m.Digest, nil
}
