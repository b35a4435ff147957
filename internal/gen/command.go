package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandPage is the reference of the command line.
func commandPage(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString(head("Commands"))
	command(&b, root)
	return b.Bytes()
}

func command(b *bytes.Buffer, c *cobra.Command) {
	if c.HasParent() {
		fmt.Fprintf(b, "\n## %s\n\n", c.CommandPath())
	}
	if text := strings.TrimSpace(c.Long); text != "" {
		b.WriteString(text + "\n")
	} else {
		b.WriteString(c.Short + ".\n")
	}
	fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
	flags(b, c.LocalFlags())
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.TrimRight(c.Example, "\n"))
	}
	if c.HasParent() {
		return
	}
	b.WriteString("\n| command | does |\n|---|---|\n")
	for _, sub := range visible(c) {
		fmt.Fprintf(b, "| [`%s`](#%s) | %s |\n", sub.CommandPath(), strings.ReplaceAll(sub.CommandPath(), " ", "-"), escapeCell(sub.Short))
	}
	for _, sub := range visible(c) {
		command(b, sub)
	}
}

func visible(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			out = append(out, sub)
		}
	}
	return out
}

// flags is a table of the flags, without help's, which every command has.
func flags(b *bytes.Buffer, set *pflag.FlagSet) {
	first := true
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		if first {
			b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
			first = false
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			def = "`" + f.DefValue + "`"
		}
		_, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, escapeCell(def), escapeCell(usage))
	})
}
