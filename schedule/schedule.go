// Package schedule reads when a config wants its runs to start. Starting them is others' matter.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// fields are cron's five, or one word such as @daily.
const fields = cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor

// Schedule is a series of moments.
type Schedule struct {
	cron cron.Schedule
	zone *time.Location
}

// Parse reads five cron fields, or a word such as @daily, and an IANA zone behind them; without one the zone is
// fallback's.
func Parse(text string, fallback *time.Location) (*Schedule, error) {
	words := strings.Fields(text)
	n := 5
	if len(words) > 0 && strings.HasPrefix(words[0], "@") {
		n = 1
	}
	if len(words) != n && len(words) != n+1 || n == 1 && words[0] == "@every" {
		return nil, fmt.Errorf("%q is not five fields (minute, hour, day, month, weekday) and a zone, as in 0 5 * * * Asia/Tokyo", text)
	}
	s := &Schedule{zone: fallback}
	var err error
	if len(words) > n {
		if s.zone, err = time.LoadLocation(words[n]); err != nil || words[n] == "Local" {
			return nil, fmt.Errorf("%q is not an IANA time zone such as Asia/Tokyo", words[n])
		}
	}
	if s.cron, err = cron.NewParser(fields).Parse(strings.Join(words[:n], " ")); err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// Zone is the one that the times are in.
func (s *Schedule) Zone() *time.Location { return s.zone }

// Next is the first moment after t, in UTC; the zero time when there is none within five years.
//
// A time of day that the clock skips in spring does not happen that day, as with EventBridge Scheduler; one that it
// repeats in autumn happens once.
func (s *Schedule) Next(t time.Time) time.Time {
	for {
		next := s.cron.Next(t.In(s.zone))
		if next.IsZero() {
			return next
		}
		if !again(next) {
			return next.UTC()
		}
		t = next
	}
}

// again says whether the wall clock has shown this time before: the hour repeated in autumn. Zones move by an hour at most
// everywhere but on Lord Howe Island, by half of one.
func again(t time.Time) bool {
	for _, back := range []time.Duration{30 * time.Minute, time.Hour} {
		before := t.Add(-back)
		if before.Format("2006-01-02 15:04:05") == t.Format("2006-01-02 15:04:05") {
			return true
		}
	}
	return false
}

// Last is the latest moment up to t and not longer ago than within, or the zero time.
func (s *Schedule) Last(t time.Time, within time.Duration) time.Time {
	var last time.Time
	for next := s.Next(t.Add(-within)); !next.IsZero() && !next.After(t); next = s.Next(next) {
		last = next
	}
	return last
}
