package cli

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/deploy/image"
)

func (a *app) imageCommand() *cobra.Command {
	var out, push string
	var binaries []string
	c := &cobra.Command{
		Use:   "image",
		Short: "Make a container image of this binary, without a container engine",
		Long: `Puts the binary, certificate authorities and nothing else into a container image: no shell, no
root. The same binary gives the same digest. Beside the image lies a list of all parts (CycloneDX), which the
image carries as well. kitamae-arm64 beside the binary joins the image as its second architecture.`,
		Example: `  kitamae image --out image                              # a folder in OCI's layout
  kitamae image --push registry.example.com/kitamae:v1   # as docker login set it up
  kitamae image --out image --binary bin/kitamae --binary bin/kitamae-arm64`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" && push == "" {
				return &usageError{fmt.Errorf("name a folder with --out or a registry with --push")}
			}
			m, err := makeImage(binaries)
			if err != nil {
				return err
			}
			for _, p := range m.Parts {
				fmt.Fprintf(a.Out, "%s: %s compressed\n", p.Arch, bytes(p.Bytes))
			}
			if out != "" {
				if err := m.Save(out); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "%s: %s\n", out, m.Digest)
			}
			if push != "" {
				at, err := m.Push(cmd.Context(), push, authn.DefaultKeychain)
				if err != nil {
					return err
				}
				fmt.Fprintln(a.Out, at)
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "write the image into this folder, in OCI's layout")
	c.Flags().StringVar(&push, "push", "", "upload it as registry/name:tag")
	c.Flags().StringArrayVar(&binaries, "binary", nil, "a static Linux binary to take instead of this one; once for each architecture")
	return c
}

// makeImage makes the image of the named binaries, or of the running one.
func makeImage(binaries []string) (*image.Image, error) {
	var programs []image.Program
	for _, path := range binaries {
		p, err := image.Inspect(path)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	if len(binaries) == 0 {
		var err error
		if programs, err = image.Running(); err != nil {
			return nil, err
		}
	}
	return image.New(programs, Version)
}
