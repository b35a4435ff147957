package bigquery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/bqfront"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestLateTwin pauses a process in its commit until another one has ended the run, or given it up, and a later run was published. What it
// does when it wakes up changes nothing.
func TestLateTwin(t *testing.T) {
	address := servertest.GCS(t)
	for _, tc := range []struct {
		mode   connector.Mode
		asleep string // at which request: "" before the first one
		lost   bool   // the rows, so that the run is given up
	}{
		{connector.Replace, "", false},
		{connector.Replace, "insert", false},
		{connector.Replace, "table", false},
		{connector.Replace, "", true},
		{connector.Overwrite, "insert", false},
		{connector.Overwrite, "", true},
		{connector.Append, "", false},
		{connector.Merge, "", true},
	} {
		t.Run(fmt.Sprintf("%s, asleep at %q, lost %v", tc.mode, tc.asleep, tc.lost), func(t *testing.T) {
			t.Parallel()
			lateTwin(t, address, tc.mode, tc.asleep, tc.lost)
		})
	}
}

func lateTwin(t *testing.T, address string, mode connector.Mode, asleepAt string, rowsLost bool) {
	p := newPlace(t, nil)
	p.throughBucket(t, address)
	req := connector.PlanRequest{Mode: mode}
	if mode == connector.Overwrite {
		req.Layout = connector.Layout{Partition: "at", Unit: "day"}
	}
	publish := func(run string, rows span) {
		t.Helper()
		mustCommit(t, p.machine(t).open(t), p.machine(t).shares(t, run, req, true, rows))
	}
	publish("20261129T010000Z-before", span{0, 20, 1, true})

	asleep, wake := make(chan struct{}), make(chan struct{})
	slow := p.machine(t)
	slow.front = bqfront.New(t, servertest.BigQuery(t), func(c *call) string {
		if asleepAt != "" && c.What == asleepAt && strings.HasPrefix(c.Table, "people") && c.N == 1 {
			close(asleep)
			<-wake
		}
		return ""
	})
	slow.throughBucket(t, address)
	slow.spec.Endpoint = slow.front.URL
	from := map[connector.Mode]int{connector.Append: 20, connector.Merge: 10}[mode]
	old := slow.shares(t, "20261129T020000Z-late", req, !rowsLost, span{from, 40, 1, false})
	dest := slow.open(t)
	ended := make(chan string)
	commit := func() {
		out, err := dest.Commit(t.Context(), old)
		ended <- fmt.Sprintf("%+v, %v", out, err)
	}
	if asleepAt != "" {
		go commit()
		<-asleep
	}

	other := p.machine(t).open(t)
	found, err := other.Recover(t.Context(), old)
	switch {
	case err != nil || (found == connector.ReadAgain) != rowsLost:
		t.Fatalf("recovered as %q, %v", found, err)
	case found != connector.ReadAgain:
		mustCommit(t, other, old)
		if mode == connector.Append || mode == connector.Merge {
			from = 40
		}
	}
	if mode == connector.Merge {
		from -= 5
	}
	publish("20261129T030000Z-after", span{from, 50, 1, true})
	p.wantOnce(t, 50)

	if asleepAt != "" {
		close(wake)
	} else {
		go commit()
	}
	said := <-ended
	p.wantOnce(t, 50)
	md := p.metadata(t, "people")
	if md.Labels["kitamae_run"] != "20261129t030000z-after" || len(md.Schema) != 3 {
		t.Errorf("the table is run %s's, of %d columns", md.Labels["kitamae_run"], len(md.Schema))
	}
	if rowsLost && !strings.Contains(said, "another run has") {
		t.Errorf("who woke up says %s", said)
	}
	req.Name, req.Key = "people", []string{"id"}
	req.Schema, _ = span{extra: true}.rows(t)
	if plan, err := p.machine(t).open(t).PlanTable(t.Context(), req); err != nil || (mode == connector.Append || mode == connector.Merge) && plan.Reached != "50" {
		t.Errorf("the cursor stands at %q, %v", plan.Reached, err)
	}
}
