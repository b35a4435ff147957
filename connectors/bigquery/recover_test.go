package bigquery_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/fault"
)

// killedBeforeLoad leaves 20 people and the commit of 20 more, by a process that died before its load. refuses has BigQuery turn loads
// down while it is set.
func killedBeforeLoad(t *testing.T, mode connector.Mode) (p *place, req connector.CommitRequest, refuses *atomic.Bool) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	var armed atomic.Bool
	refuses = &atomic.Bool{}
	p = newPlace(t, func(c *call) string {
		switch {
		case c.What != "insert" || c.Table != "people" && !strings.HasPrefix(c.Table, "_kitamae_delta_"):
		case armed.Load():
			kill()
			return cut
		case refuses.Load():
			return "400 invalid"
		}
		return ""
	})
	first := p.open(t)
	mustCommit(t, first, following(t, first, "20261129T010000Z-first", mode, 20))
	second := p.open(t)
	req = following(t, second, "20261129T020000Z-second", mode, 40)
	armed.Store(true)
	if out, err := second.Commit(ctx, req); err == nil {
		t.Fatalf("nothing was killed: %+v", out)
	}
	armed.Store(false)
	return p, req, refuses
}

// TestRefusedForGood: a load that BigQuery refuses also when a later process asks for it leaves the table as it was, and is not asked for
// again: the run after brings its rows.
func TestRefusedForGood(t *testing.T) {
	for _, mode := range []connector.Mode{connector.Append, connector.Merge} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			p, req, refuses := killedBeforeLoad(t, mode)
			refuses.Store(true)
			third := p.open(t)
			if found, err := third.Recover(t.Context(), req); err != nil || found != connector.CommitAgain {
				t.Fatalf("recover = %q, %v; the spool is there", found, err)
			}
			if out, err := third.Commit(t.Context(), req); err != nil || out[0].Published || !strings.Contains(out[0].Why, "the front says so") {
				t.Fatalf("commit = %+v, %v; want a table that is left as it was, and why", out, err)
			}
			p.wantOnce(t, 20)
			refuses.Store(false)
			mustCommit(t, third, following(t, third, "20261129T030000Z-third", mode, 60))
			p.wantOnce(t, 60)
		})
	}
}

// TestIntentTooOld: a commit that nobody finished while its job could be asked for is given up. Its table can't be added to, as nobody knows
// whether it has the rows, but it can be published anew.
func TestIntentTooOld(t *testing.T) {
	p, req, _ := killedBeforeLoad(t, connector.Append)
	late := p.open(t)
	bigquery.SetNow(late, func() time.Time { return time.Now().AddDate(0, 6, 0) })
	if found, err := late.Recover(t.Context(), req); err != nil || found != connector.ReadAgain {
		t.Errorf("recover = %q, %v", found, err)
	}
	schema, _ := people(t, 0, 0)
	ask := connector.PlanRequest{Name: "people", Schema: schema, Key: []string{"id"}, Mode: connector.Append, Cursor: "id"}
	if _, err := late.PlanTable(t.Context(), ask); !fault.HasCode(err, "bigquery.intent_old") {
		t.Errorf("plan of more rows: %v", err)
	}
	mustCommit(t, late, following(t, late, "20270529T030000Z-late", connector.Replace, 50))
	p.wantOnce(t, 50)
	mustCommit(t, late, following(t, late, "20270529T040000Z-later", connector.Append, 60))
	p.wantOnce(t, 60)
}
