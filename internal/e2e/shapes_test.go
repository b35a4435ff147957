package e2e

import (
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

const (
	// shapeColumns is how many columns the wide table has; every server takes so many.
	shapeColumns = 1000
	// sixteenMB repeats it to a text of 16 MB.
	sixteenMB, times = "0123456789abcdef", 1_000_000
)

// TestShapes moves tables that few people have: without columns, with 1,000, with a value of 16 MB, without rows; first
// with the memory that the value needs, then with less, which holds back that one table and leaves what was there.
func TestShapes(t *testing.T) {
	for _, from := range append(origins(t), mysqlOrigin(t)) {
		shapes(t, from)
		for _, to := range append(goals(t), goal{"csv", "destination: {files: {dir: out, format: csv}}", shownCSV}) {
			if from.name == "MySQL" && to.name != "duckdb" { // a reader of its own, and no destination's matter
				continue
			}
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				p := from.place(t)
				r := p.drive(t, to.config, "verify: full", "limits: {memory: 512MiB}")
				shaped(t, p, to, false)
				if from.name == "postgres" {
					hollow(t, r)
				}
				from.exec(t, "INSERT INTO empty_table VALUES (7, 'first')")
				r, err := run.Drive(t.Context(), p.request(t, to.config, "limits: {memory: 64MiB}"))
				tooLarge(t, r, err)
				shaped(t, p, to, true)
				from.exec(t, "DELETE FROM empty_table")
			})
		}
	}
}

// mysqlOrigin is MySQL beside MariaDB.
func mysqlOrigin(t *testing.T) origin {
	t.Helper()
	servers := servertest.MySQLServers(t)
	at := slices.IndexFunc(servers, func(s servertest.Server) bool { return s.Name == "mysql" })
	if at < 0 {
		t.Fatal("there is no MySQL among the servers")
	}
	s := servers[at]
	db := servertest.FreshDatabase(t, s)
	return origin{
		name: "MySQL", exec: func(t *testing.T, statements ...string) { s.Exec(t, db, statements...) },
		place: func(t *testing.T) *project { return newProject(t, s, db) },
	}
}

// shapes makes the tables at the source.
func shapes(t *testing.T, from origin) {
	t.Helper()
	var columns, low, high []string
	for i := range shapeColumns - 1 {
		columns = append(columns, fmt.Sprintf("c%03d int", i))
		low, high = append(low, fmt.Sprint(i)), append(high, fmt.Sprint(-i))
	}
	text, key, large := "text", "int", fmt.Sprintf("repeat('%s', %d)", sixteenMB, times)
	switch from.name {
	case "mysql", "MySQL":
		text = "longtext"
	case "sqlite":
		key = "integer" // the rowid, which names a row
		large = fmt.Sprintf("replace(hex(zeroblob(%d)), '00', '%s')", times, sixteenMB)
	}
	from.exec(t,
		"CREATE TABLE wide (id int PRIMARY KEY, "+strings.Join(columns, ", ")+")",
		"INSERT INTO wide VALUES (1, "+strings.Join(low, ", ")+"), (2, "+strings.Join(high, ", ")+")",
		"CREATE TABLE letters (id "+key+" PRIMARY KEY, body "+text+")",
		"INSERT INTO letters VALUES (41, 'short'), (77, "+large+"), (78, 'after')",
		"CREATE TABLE empty_table (id int PRIMARY KEY, memo varchar(20))")
	if from.name == "postgres" {
		from.exec(t, "CREATE TABLE hollow ()", "INSERT INTO hollow DEFAULT VALUES", "CREATE TABLE void ()")
	}
}

// shaped fails unless the destination holds the tables; after says that the table without rows has got one.
func shaped(t *testing.T, p *project, to goal, after bool) {
	t.Helper()
	columns, rows := to.shown(t, p, "wide")
	if len(columns) != shapeColumns || columns[0] != "id" || columns[shapeColumns-1] != fmt.Sprintf("c%03d", shapeColumns-2) {
		t.Errorf("wide arrived with %d columns", len(columns))
	}
	low, high := []string{"1"}, []string{"2"}
	for i := range shapeColumns - 1 {
		low, high = append(low, fmt.Sprint(i)), append(high, fmt.Sprint(-i))
	}
	if want := []string{strings.Join(low, "|"), strings.Join(high, "|")}; !slices.Equal(rows, want) {
		t.Errorf("wide holds %d rows, and not those of the source: %.200q", len(rows), rows)
	}
	_, rows = to.shown(t, p, "letters")
	want := []string{"41|short", "77|" + strings.Repeat(sixteenMB, times), "78|after"}
	if !slices.Equal(brief(rows), brief(want)) {
		t.Errorf("letters holds %q, want %q", brief(rows), brief(want))
	}
	want = nil
	if after {
		want = []string{"7|first"}
	}
	columns, rows = to.shown(t, p, "empty_table")
	if !slices.Equal(columns, []string{"id", "memo"}) || !slices.Equal(rows, want) {
		t.Errorf("empty_table has the columns %q and the rows %q, want rows %q", columns, rows, want)
	}
}

// brief replaces long lines by their checksums.
func brief(lines []string) []string {
	out := slices.Clone(lines)
	for i, line := range out {
		if len(line) > 100 {
			out[i] = fmt.Sprintf("%.20s… %d bytes %x", line, len(line), sha256.Sum256([]byte(line)))
		}
	}
	return out
}

// hollow fails unless the report says of the tables without columns that, and why, they were left.
func hollow(t *testing.T, r *run.Report) {
	t.Helper()
	for _, name := range []string{"hollow", "void"} {
		said := slices.ContainsFunc(r.Notes, func(note string) bool {
			return strings.Contains(note, name) && strings.Contains(note, "no columns")
		})
		if !said {
			t.Errorf("nothing is said of table %s, which has no columns: %q", name, r.Notes)
		}
	}
}

// tooLarge fails unless the value, and it alone, was too large.
func tooLarge(t *testing.T, r *run.Report, err error) {
	t.Helper()
	if !fault.HasCode(err, "value.too_large") || fault.From(err).Hint == "" {
		t.Fatalf("a value of 16 MB under a limit of 4 MiB: %v", err)
	}
	for _, want := range []string{"letters", "body", "77"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the fault does not name %s: %v", want, err)
		}
	}
	for name, want := range map[string]run.Status{"letters": run.StatusHeldBack, "wide": run.StatusPublished, "empty_table": run.StatusPublished} {
		if line := tableReport(t, r, name); line.Status != want {
			t.Errorf("table %s is %s, want %s", name, line.Status, want)
		}
	}
}

// shownCSV reads by the standard library.
func shownCSV(t *testing.T, p *project, table string) (columns, rows []string) {
	t.Helper()
	for _, path := range p.files(t, "out", table) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := csv.NewReader(f)
		if columns, err = lines.Read(); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := lines.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, strings.Join(line, "|"))
		}
	}
	slices.Sort(rows)
	return columns, rows
}
