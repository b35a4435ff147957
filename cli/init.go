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
	"github.com/kitamae/kitamae/secrets"
)

func (a *app) initCommand() *cobra.Command {
	var force, gcp, grants bool
	var role string
	c := &cobra.Command{
		Use:   "init URL",
		Short: "Look at a source and write kitamae.yml",
		Long: `Connects to the source, lists its tables and writes a commented config. A password in the URL is
used to connect and not written; the config takes it from the environment. Where the URL has none,
KITAMAE_PASSWORD is used if it is set.

With --grants it prints, and does not run, the SQL that makes the URL's user with the least rights a run needs. It connects to
nothing; write mariadb:// for MariaDB, which names some rights otherwise.

With --gcp it prints, and does not run, the commands that prepare Google Cloud for BigQuery: dataset, bucket,
the login without a key and the least grants. The dataset is the URL's, or that of the config.`,
		Example: `  kitamae init mysql://etl@db1.example.com/app
  kitamae init postgres://etl@localhost:5432/app
  kitamae init sqlite:app.db
  kitamae init --grants mysql://kitamae@db1.example.com/app
  kitamae init --gcp --aws-role arn:aws:iam::123456789012:role/kitamae > gcp.sh`,
		Args: func(cmd *cobra.Command, given []string) error {
			if gcp {
				return args(0, 1, "at most one URL")(cmd, given)
			}
			return args(1, 1, "the source's URL")(cmd, given)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if gcp {
				return a.printGCP(args, role)
			}
			if grants {
				return a.printGrants(args[0])
			}
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
	c.Flags().BoolVar(&grants, "grants", false, "print the SQL that makes a user with the least rights")
	c.Flags().BoolVar(&gcp, "gcp", false, "print the commands that prepare Google Cloud")
	c.Flags().StringVar(&role, "aws-role", "", "with --gcp: the ARN of the AWS role that logs in; left out, a service account does")
	return c
}

// printGrants prints the SQL for the URL's user.
func (a *app) printGrants(raw string) error {
	c, u, err := a.sourceAt(raw)
	if err != nil {
		return err
	}
	if c.Grants == nil {
		return fault.New(fault.Config, "init.no_grants", "nothing needs to be granted there", "%s has no users", c.Name)
	}
	sql, err := c.Grants(u)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Out, sql)
	return err
}

// sourceAt finds the source that a URL is for.
func (a *app) sourceAt(raw string) (connector.Connector, *url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text repeats the URL, password and all
			err = ue.Err
		}
		return connector.Connector{}, nil, fault.Wrap(fault.Config, "init.url", "write it as mysql://user@host/database, with special characters percent-encoded", fmt.Errorf("the URL: %w", err))
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
		return connector.Connector{}, nil, fault.New(fault.Config, "init.scheme", "known: "+strings.Join(known, ", "), "no source for %q URLs", u.Scheme)
	}
	return c, u, nil
}

// skeleton discovers what the URL points to and writes a config for it.
func (a *app) skeleton(ctx context.Context, raw string) (text []byte, tables int, err error) {
	c, u, err := a.sourceAt(raw)
	if err != nil {
		return nil, 0, err
	}
	spec, err := c.FromURL(u)
	if err != nil {
		return nil, 0, err
	}
	src, err := c.Source.Open(ctx, spec, connector.Env{Dir: filepath.Dir(a.file), Version: Version, Secrets: secrets.Stores(filepath.Dir(a.file), a.Getenv)})
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
