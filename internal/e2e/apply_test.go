package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestApplyToBigQuery holds that a plan for BigQuery says what it bills, that applying it does what it said, and that it is refused once source
// or dataset have moved. What apply does for the other destinations is in testdata/script/apply.txtar.
func TestApplyToBigQuery(t *testing.T) {
	endpoint := servertest.BigQuery(t)
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, 名前 varchar(20))", "INSERT INTO t VALUES (1, '北前船'), (2, NULL)")
	client, err := bq.NewClient(t.Context(), "acme-data", option.WithoutAuthentication(), option.WithEndpoint(endpoint+"/bigquery/v2/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	dataset := client.Dataset(db)
	if err := dataset.Create(t.Context(), &bq.DatasetMetadata{Location: "asia-northeast1"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dataset.DeleteWithContents(context.Background()) }) // the emulator forgets it when it stops
	p := newProject(t, s, db)
	p.write(t, `destination: {bigquery: {project: acme-data, dataset: `+db+`, endpoint: "`+endpoint+`"}}`, "limits: {cost_per_run: 0.01 USD}")
	kitamae := func(want string, args ...string) {
		t.Helper()
		out, err := p.command(t, args...).CombinedOutput()
		fails := strings.HasPrefix(want, "!")
		if want = strings.TrimPrefix(want, "!"); (err != nil) != fails || !strings.Contains(string(out), want) {
			t.Fatalf("kitamae %s: %v, want %q\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	rows := func() uint64 {
		t.Helper()
		md, err := dataset.Table("t").Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return md.NumRows
	}
	plan := filepath.Join(p.dir, "plan.json")
	kitamae("billed: 0", "plan", "-o", plan)
	kitamae("published, verified", "apply", plan)
	if got := rows(); got != 2 {
		t.Fatalf("%d rows after applying", got)
	}
	kitamae("!table t target exists: was false, is true", "apply", plan)

	kitamae("billed: 0", "plan", "-o", plan)
	s.Exec(t, db, "INSERT INTO t VALUES (3, 'x')")
	kitamae("published, verified", "apply", plan)
	if got := rows(); got != 3 {
		t.Fatalf("%d rows after applying the second plan", got)
	}

	kitamae("billed: 0", "plan", "-o", plan)
	s.Exec(t, db, "ALTER TABLE t ADD COLUMN 備考 text")
	kitamae("!table t scan columns 備考: is new", "apply", plan)
	if got := rows(); got != 3 {
		t.Errorf("%d rows after a plan that was refused", got)
	}
	kitamae("✓ destination: dataset", "doctor")
}
