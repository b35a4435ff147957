package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// begunKey holds the report of a run under way as it is at its begin. It is there until the run's record is in the ledger: whoever finds it, with the
// lease, finds a run that died.
const begunKey = "begun.json"

// begin writes down that the run reads from now on. A run found there died without a record: it gets one, in the ledger and in r.Died. Where
// it was this very run, which goes on, there is nothing to tell.
func (s *Session) begin(ctx context.Context, r *Report) error {
	st := s.req.State
	value, version, err := st.Get(ctx, begunKey)
	if err != nil {
		return err
	}
	var died Report
	if value != nil && json.Unmarshal(value, &died) == nil && died.ID != r.ID {
		_, recorded, err := st.Get(ctx, ledgerPrefix+died.ID+".json")
		if err == nil && recorded == "" { // else it died between its record and the end
			r.Died = s.settle(&died)
			err = keep(ctx, st, r.Died)
		}
		if err != nil {
			return err
		}
	}
	now := Report{
		ID: r.ID, Version: r.Version, Started: r.Started, Ended: r.Started, Config: r.Config, Source: r.Source, Destination: r.Destination,
		Only: r.Only, Status: StatusInterrupted,
	}
	if value, err = json.Marshal(now); err != nil {
		return fmt.Errorf("write down that the run begins: %w", err)
	}
	_, err = st.Put(ctx, begunKey, value, version)
	return err
}

// settle says how a run that died ended: as its commit did, if it came that far. When it ended nobody knows.
func (s *Session) settle(died *Report) *Report {
	if c := s.recovered; c != nil && c.Run.ID == died.ID {
		died.Status = StatusPublished
		for _, t := range c.Tables {
			e := t.Evidence
			died.Tables = append(died.Tables, TableReport{Source: e.Source, Table: t.Plan.Name, Status: StatusPublished, Evidence: &e, Seconds: e.ReadTo.Sub(e.ReadFrom).Seconds()})
		}
		return died
	}
	died.Error = failureOf(fault.New(fault.Interrupted, "run.died", "look at the machine's log, and at limits.memory",
		"the process ended without a word: it was killed, was out of memory, or its host was lost"))
	return died
}

// forgetBegun removes what begin wrote for the run, once the ledger has its record.
func forgetBegun(ctx context.Context, st state.Store, r *Report) error {
	value, version, err := st.Get(ctx, begunKey)
	if err != nil || value == nil {
		return err
	}
	var begun Report
	if json.Unmarshal(value, &begun) == nil && begun.ID != r.ID {
		return nil // r came to its end before it began
	}
	if _, err = st.Put(ctx, begunKey, nil, version); errors.Is(err, state.ErrConflict) {
		return nil // somebody took over, and told of it
	}
	return err
}

// published is an intent with the tables only that were published in the end.
func published(c connector.CommitRequest, outcomes []connector.Outcome) *connector.CommitRequest {
	var tables []connector.CommitTable
	for i, o := range outcomes {
		if o.Published {
			tables = append(tables, c.Tables[i])
		}
	}
	c.Tables = tables
	return &c
}
