package image

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// User is whom the image runs as: a number, as it has no list of users that names would be looked up in.
	User = "65532:65532"
	uid  = 65532
	// Home is the working folder, the user's own.
	Home = "/data"
	// Entrypoint is where the binary lies.
	Entrypoint = "/kitamae"
	// SBOMPath is where the image keeps the list of what the binary is made of.
	SBOMPath = "usr/share/doc/kitamae/sbom.cdx.json"
)

// Build makes the image of one program: a layer of certificates and folders, which seldom changes, and one of the
// binary and its list of parts. The same binary gives the same digest, whenever and wherever it is built.
func Build(p Program, version string) (v1.Image, error) {
	sbom, err := SBOM(p, version)
	if err != nil {
		return nil, err
	}
	base, err := layer(baseFiles)
	if err != nil {
		return nil, fmt.Errorf("the image's base: %w", err)
	}
	program, err := layer(func(t *writer) error {
		t.file(SBOMPath, 0o644, sbom)
		t.header(tar.Header{Name: Entrypoint[1:], Typeflag: tar.TypeReg, Mode: 0o755, Size: p.Size})
		return t.copy(p.write)
	})
	if err != nil {
		return nil, fmt.Errorf("the image of %s: %w", p.Path, err)
	}
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	img, err = mutate.AppendLayers(img, base, program)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Architecture, file.OS, file.Created = p.Arch, "linux", v1.Time{Time: time.Unix(0, 0).UTC()}
	file.Config = v1.Config{
		User: User, WorkingDir: Home, Entrypoint: []string{Entrypoint}, Env: []string{"HOME=" + Home, "PATH=/"},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "kitamae",
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, file)
}

// baseFiles are what programs look for outside themselves: authorities, a name for the user, a place to write.
func baseFiles(t *writer) error {
	t.folder("tmp", 0o1777, 0)
	t.folder(Home[1:], 0o755, uid)
	t.file("etc/passwd", 0o644, []byte("kitamae:x:65532:65532::"+Home+":/\n"))
	t.file("etc/group", 0o644, []byte("kitamae:x:65532:\n"))
	t.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities())
	return t.err
}

// authorities are Mozilla's, as Go's developers publish them: they change with go.mod, not with the machine. The few that
// are trusted under conditions only are left out, as a file of certificates has no way to say so.
func authorities() []byte {
	var b bytes.Buffer
	for r := range bundle.Roots() {
		if r.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate}) // a Buffer takes everything
		}
	}
	return b.Bytes()
}

// layer compresses what fill writes. One thread, so that the bytes are the same everywhere.
func layer(fill func(*writer) error) (v1.Layer, error) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	t := &writer{tar: tar.NewWriter(z)}
	if err := fill(t); err != nil {
		return nil, err
	}
	if err := t.tar.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayerZStd))
}

// writer makes a tar whose bytes depend on nothing but names and contents. It keeps its first error.
type writer struct {
	tar *tar.Writer
	err error
}

func (w *writer) header(h tar.Header) {
	h.ModTime, h.Format = time.Unix(0, 0), tar.FormatUSTAR
	if w.err == nil {
		w.err = w.tar.WriteHeader(&h)
	}
}

func (w *writer) folder(name string, mode int64, owner int) {
	w.header(tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode, Uid: owner, Gid: owner})
}

func (w *writer) file(name string, mode int64, text []byte) {
	w.header(tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(text))})
	if w.err == nil {
		_, w.err = w.tar.Write(text)
	}
}

func (w *writer) copy(from func(io.Writer) error) error {
	if w.err == nil {
		w.err = from(w.tar)
	}
	return w.err
}
