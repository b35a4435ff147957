package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// Already says that nothing was done, and rightly so: a run for the same occasion has published everything, or is under way.
type Already struct {
	Run      string // its ID
	UnderWay bool
	// Fault is how a run in shards ended, nil where everything was published: there is no second one for the same time.
	Fault error
}

// Unwrap shows the fault, whose exit code is the run's.
func (a *Already) Unwrap() error { return a.Fault }

func (a *Already) Error() string {
	switch {
	case a.UnderWay:
		return "a run for the same time is under way"
	case a.Fault != nil:
		return a.Fault.Error()
	}
	return "the run for this time is done already: " + a.Run
}

// Occasion is the name of what a scheduled run is for: its scheduled time, or any text of the scheduler's. All runs for one
// occasion have it as the beginning of their IDs, a number follows.
func Occasion(name string) string {
	if t, err := time.Parse(time.RFC3339, name); err == nil {
		return t.UTC().Format(stampFormat)
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
}

// ShardedID is the ID of the run in shards for an occasion: there is one.
func ShardedID(occasion string) string { return Occasion(occasion) + "-1" }

// underWay makes a busy lease an [Already] when its holder runs for the same occasion.
func underWay(err error, occasion string) error {
	if occasion != "" && fault.HasCode(err, "run.busy") && strings.Contains(err.Error(), "run "+occasion+"-") {
		return &Already{UnderWay: true}
	}
	return err
}

// attempt is the ID of the next run for the occasion, or an [Already] if one before published everything. It is called with
// the lease. A run that died without a record left its ID to the next one, which meets its own stages there.
func attempt(ctx context.Context, req Request) (id string, err error) {
	st, occasion := req.State, req.Occasion
	keys, err := st.List(ctx, ledgerPrefix+occasion+"-")
	if err != nil {
		return "", err
	}
	for _, key := range keys {
		value, _, err := st.Get(ctx, key)
		if err != nil {
			return "", err
		}
		var before Report
		if err := json.Unmarshal(value, &before); err == nil && before.Status == StatusPublished && slices.Equal(before.Only, req.Only) {
			return "", &Already{Run: before.ID}
		}
	}
	return fmt.Sprintf("%s-%d", occasion, len(keys)+1), nil
}
