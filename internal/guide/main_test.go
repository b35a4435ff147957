package guide

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/internal/servertest"
)

// childVar asks the test binary to be the program, as in cmd/kitamae: a task is a process of its own.
const childVar = "KITAMAE_GUIDE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Stdio())
	stop()
	os.Exit(code)
}

// block is a fenced block of a guide.
type block struct {
	kind string // sh, yaml
	text string
}

// page is a guide, as a reader goes through it.
type page struct {
	blocks []block
	// rows are the commands that begin the rows of its tables.
	rows []string
	text string
}

func read(t *testing.T, name string) page {
	t.Helper()
	root, err := servertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{text: string(text)}
	inside := false
	for line := range strings.Lines(p.text) {
		kind, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		indented, code := strings.CutPrefix(line, "    ")
		row, isRow := strings.CutPrefix(line, "| `kitamae ")
		switch {
		case fence && !inside:
			p.blocks = append(p.blocks, block{kind: kind})
			inside = true
		case fence:
			inside = false
		case inside:
			p.blocks[len(p.blocks)-1].text += line
		case code:
			p.blocks = append(p.blocks, block{text: indented})
		case isRow:
			command, _, _ := strings.Cut(row, "`")
			p.rows = append(p.rows, "kitamae "+command)
		}
	}
	return p
}

// block is the nth block of a kind.
func (p page) block(t *testing.T, kind string, n int) string {
	t.Helper()
	for _, b := range p.blocks {
		if b.kind == kind {
			if n == 0 {
				return b.text
			}
			n--
		}
	}
	t.Fatalf("the guide has no such %s block any more", kind)
	return ""
}

// commands are the lines of a shell block, without their comments.
func commands(text string) (out []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// words splits a command as a shell does, as far as the guides go: single and double quotes.
func words(command string) (out []string) {
	var word strings.Builder
	quote, quoted := rune(0), false
	for _, c := range command {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, quoted = c, true
		case c == ' ':
			if quoted || word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
			quoted = false
		default:
			word.WriteRune(c)
		}
	}
	if quoted || word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}

var inline = regexp.MustCompile("`(kitamae [^`]+)`")

// TestCommandsExist: every command that the documentation names is one, with the flags it is given.
func TestCommandsExist(t *testing.T) {
	root, err := servertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(root, "docs", "guides", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	names = append(names, filepath.Join(root, "README.md"))
	checked := 0
	for _, name := range names {
		rel, _ := filepath.Rel(root, name)
		p := read(t, rel)
		var all []string
		for _, m := range inline.FindAllStringSubmatch(p.text, -1) {
			all = append(all, m[1])
		}
		for _, b := range p.blocks {
			for _, line := range commands(strings.ReplaceAll(b.text, "bin/kitamae", "kitamae")) {
				if strings.HasPrefix(line, "kitamae ") {
					all = append(all, line)
				}
			}
		}
		for _, command := range all {
			checked++
			if err := exists(command); err != nil {
				t.Errorf("%s: `%s`: %v", rel, command, err)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands were found", checked)
	}
	for _, bad := range []string{"kitamae deploi aws", "kitamae run --tabel x", "kitamae deploy azure"} {
		if exists(bad) == nil {
			t.Errorf("%s counts as a command", bad)
		}
	}
}

// exists parses a command's words and flags.
func exists(command string) error {
	args := words(command)[1:]
	for i, a := range args {
		if a == "|" || a == "&&" || strings.HasPrefix(a, ">") {
			args = args[:i]
			break
		}
	}
	root := cli.Root(cli.IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: os.LookupEnv})
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("there is no command %s", rest[0])
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if left := cmd.Flags().Args(); cmd.HasSubCommands() && len(left) > 0 {
		return fmt.Errorf("%s has no %s", cmd.CommandPath(), left[0])
	}
	return nil
}
