package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/schedule"
)

func TestNext(t *testing.T) {
	for _, tc := range []struct{ name, schedule, after, want string }{
		{"daily in Tokyo", "0 5 * * *  Asia/Tokyo", "2026-11-29T00:00:00Z", "2026-11-29T20:00:00Z 2026-11-30T20:00:00Z"},
		{"the config's zone", "30 1 * * *", "2026-11-29T00:00:00Z", "2026-11-29T16:30:00Z"},
		{"a word", "@daily UTC", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"weekdays", "0 5 * * MON-FRI Asia/Tokyo", "2026-11-27T00:00:00Z", "2026-11-29T20:00:00Z"},
		{"a time that spring skips", "30 2 * * * America/New_York", "2026-03-07T12:00:00Z", "2026-03-09T06:30:00Z"},
		{"a time that autumn repeats", "30 1 * * * America/New_York", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z 2026-11-02T06:30:00Z"},
		{"half an hour repeated", "45 1 * * * Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-04T14:45:00Z 2026-04-05T15:15:00Z"},
		{"never", "0 0 30 2 *", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tokyo, err := time.LoadLocation("Asia/Tokyo")
			if err != nil {
				t.Fatal(err)
			}
			s, err := schedule.Parse(tc.schedule, tokyo)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tc.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range strings.Fields(tc.want) {
				at = s.Next(at)
				got = append(got, at.Format(time.RFC3339))
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("Next of %q after %s = %v, want %s", tc.schedule, tc.after, got, tc.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "0 5 * *", "0 5 * * * Tokyo", "0 5 * * * Asia/Tokyo x", "61 5 * * *", "@every 1h", "0 5 * * * Local"} {
		if _, err := schedule.Parse(text, time.UTC); err == nil {
			t.Errorf("Parse(%q) took it", text)
		}
	}
}

func TestLast(t *testing.T) {
	s, err := schedule.Parse("0 5 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 29, 5, 20, 0, 0, time.UTC)
	if got := s.Last(at, time.Hour); got.Format(time.RFC3339) != "2026-11-29T05:00:00Z" {
		t.Errorf("Last = %v", got)
	}
	if got := s.Last(at, 10*time.Minute); !got.IsZero() {
		t.Errorf("Last within ten minutes = %v, want none", got)
	}
}
