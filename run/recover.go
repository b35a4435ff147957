package run

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// recover finishes, or gives up, the commit an earlier process did not live to finish. It
// returns a line for the report.
func (s *Session) recover(ctx context.Context) (string, error) {
	value, version, err := s.req.State.Get(ctx, intentKey)
	if err != nil || value == nil {
		return "", err
	}
	s.intent = version
	var req connector.CommitRequest
	if err := json.Unmarshal(value, &req); err != nil {
		return "", fault.Wrap(fault.Internal, "state.intent", "remove "+intentKey+" from the state folder and run again", err)
	}
	var found connector.Recovery
	err = s.persist(ctx, func() (err error) {
		found, err = s.dst.Recover(ctx, req)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("recover run %s: %w", req.Run.ID, err)
	}
	var line string
	switch found {
	case connector.Done:
		s.recovered = &req
		line = fmt.Sprintf("run %s was cut off after publishing; its tables stand", req.Run.ID)
	case connector.CommitAgain:
		line, err = s.commitAgain(ctx, req)
	case connector.ReadAgain:
		line, err = fmt.Sprintf("run %s was cut off before publishing; its tables are read again", req.Run.ID), s.drop(ctx, req)
	}
	if err != nil {
		return "", err
	}
	if err := forgetProgress(ctx, s.req.State); err != nil { // it told of the same run
		return "", err
	}
	return line, s.forgetIntent(ctx)
}

// commitAgain publishes what another run staged. A commit that fails for good is given up: it would fail in each run to come. What it has
// published stays, and this run reads all of it again.
func (s *Session) commitAgain(ctx context.Context, req connector.CommitRequest) (string, error) {
	var outcomes []connector.Outcome
	err := s.persist(ctx, func() (err error) {
		outcomes, err = s.dst.Commit(ctx, req)
		return err
	})
	if err != nil && (ctx.Err() != nil || fault.Retryable(err)) {
		return "", fmt.Errorf("commit run %s again: %w", req.Run.ID, err)
	}
	if err != nil {
		line := fmt.Sprintf("run %s was cut off before publishing, and what it staged can't be published (%v); its tables are read again", req.Run.ID, err)
		if err := s.drop(ctx, req); err != nil {
			return "", err
		}
		// asked again, now that the rows are gone, a destination whose commits go on without their process ends them
		_, err := s.dst.Recover(ctx, req)
		return line, err
	}
	s.recovered = published(req, outcomes)
	line := fmt.Sprintf("run %s was cut off before publishing; its tables are published now", req.Run.ID)
	for i, o := range outcomes {
		for _, note := range o.Notes {
			line += fmt.Sprintf("; %s: %s", req.Tables[i].Plan.Name, note)
		}
		if !o.Published {
			line += fmt.Sprintf("; not %s: %s", req.Tables[i].Plan.Name, o.Why)
		}
	}
	return line, nil
}

// drop removes what another run staged.
func (s *Session) drop(ctx context.Context, req connector.CommitRequest) error {
	for _, t := range req.Tables {
		if err := s.dst.Abort(ctx, t.Stage); err != nil {
			return fmt.Errorf("clean up run %s: %w", req.Run.ID, err)
		}
	}
	return nil
}
