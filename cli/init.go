package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job/native"
)

func (a *app) initCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "init URL",
		Short: "Look at a source and write kitamae.yml",
		Long: `Connects to the source, lists its tables and writes a commented config. A password in the URL is
used to connect and not written; the config takes it from the environment. Where the URL has none,
KITAMAE_PASSWORD is used if it is set.`,
		Example: `  kitamae init mysql://etl@db1.example.com/app
  kitamae init postgres://etl@localhost:5432/app
  kitamae init sqlite:app.db`,
		Args: args(1, 1, "the source's URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(a.file); !force && !errors.Is(err, fs.ErrNotExist) {
				return fault.New(fault.Config, "init.exists", "name another file with -f, or replace it with --force", "%s is there already", a.file)
			}
			text, tables, err := a.skeleton(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := os.WriteFile(a.file, text, 0o644); err != nil {
				return fault.Wrap(fault.Config, "init.write", "look at the folder's permissions", err)
			}
			if !a.quiet {
				fmt.Fprintf(a.Out, "wrote %s: %s\n", a.file, count(int64(tables), "table"))
				fmt.Fprintln(a.Out, "next: read it, then `kitamae plan`, then `kitamae run`")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace an existing file")
	return c
}

// skeleton discovers what the URL points to and writes a config for it.
func (a *app) skeleton(ctx context.Context, raw string) (text []byte, tables int, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text repeats the URL, password and all
			err = ue.Err
		}
		return nil, 0, fault.Wrap(fault.Config, "init.url", "write it as mysql://user@host/database, with special characters percent-encoded", fmt.Errorf("the URL: %w", err))
	}
	if _, ok := u.User.Password(); !ok && u.User != nil {
		if p, ok := a.Getenv("KITAMAE_PASSWORD"); ok {
			u.User = url.UserPassword(u.User.Username(), p)
		}
	}
	registry := all.Registry()
	c, ok := registry.ByScheme(u.Scheme)
	if !ok || c.Source == nil || c.FromURL == nil {
		var known []string
		for _, name := range registry.Sources() {
			known = append(known, registry[name].Schemes...)
		}
		return nil, 0, fault.New(fault.Config, "init.scheme", "known: "+strings.Join(known, ", "), "no source for %q URLs", u.Scheme)
	}
	spec, err := c.FromURL(u)
	if err != nil {
		return nil, 0, err
	}
	src, err := c.Source.Open(ctx, spec, connector.Env{Dir: filepath.Dir(a.file), Version: Version})
	if err != nil {
		return nil, 0, err
	}
	defer closing(src, &err)
	found, err := src.Discover(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("discover: %w", err)
	}
	text, err = native.Skeleton(native.Draft{Connector: c, Spec: spec, Tables: found})
	return text, len(found), err
}

func (a *app) connectorsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "connectors",
		Short: "List what kitamae reads from and writes to",
		Args:  args(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			r := all.Registry()
			var rows [][]string
			for _, name := range r.Sources() {
				rows = append(rows, []string{"source", name, r[name].Summary})
			}
			for _, name := range r.Destinations() {
				rows = append(rows, []string{"destination", name, r[name].Summary})
			}
			grid(a.Out, []string{"end", "name", "what"}, rows)
			return nil
		},
	}
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of kitamae.yml, for editors",
		Example: `  kitamae schema > kitamae.schema.json
  # then, as the first line of kitamae.yml:
  # yaml-language-server: $schema=kitamae.schema.json`,
		Args: args(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(native.Schema(all.Registry()))
			return err
		},
	}
}
