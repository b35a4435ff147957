package aws

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// Schedule is when runs start, in EventBridge Scheduler's words.
type Schedule struct {
	Expression string // cron(0 5 * * ? *)
	Zone       string
	FreshHours int     // hours after which a missing success is news
	PerMonth   float64 // runs
}

// ParseSchedule translates "0 5 * * *  Asia/Tokyo": five fields as cron has them, and a zone, which may be left out.
func ParseSchedule(text, zone string) (Schedule, error) {
	f := strings.Fields(text)
	if len(f) == 6 {
		zone, f = f[5], f[:5]
	}
	if len(f) != 5 {
		return Schedule{}, scheduleFault(text, "it has %d fields: minute, hour, day, month, weekday, and a zone", len(f))
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return Schedule{}, scheduleFault(text, "%q is not an IANA time zone", zone)
	}
	day, month := f[2], f[3]
	weekday, err := weekdays(f[4])
	if err != nil {
		return Schedule{}, scheduleFault(text, "%w", err)
	}
	switch {
	case day != "*" && weekday != "*":
		return Schedule{}, scheduleFault(text, "it names days and weekdays: the scheduler takes one of them")
	case weekday == "*":
		weekday = "?"
	default:
		day = "?"
	}
	return Schedule{
		Expression: fmt.Sprintf("cron(%s %s %s %s %s *)", f[0], f[1], day, month, weekday),
		Zone:       zone, FreshHours: freshHours(f), PerMonth: perMonth(f),
	}, nil
}

func scheduleFault(text, format string, args ...any) error {
	return fault.Wrap(fault.Config, "deploy.schedule", `write it as "0 5 * * *  Asia/Tokyo"`, fmt.Errorf("schedule %q: %w", text, fmt.Errorf(format, args...)))
}

// weekdays turns cron's numbers, where Sunday is 0 or 7, into names, which mean the same to both.
func weekdays(field string) (string, error) {
	names := []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}
	var out []string
	for part := range strings.SplitSeq(field, ",") {
		part, step, stepped := strings.Cut(part, "/")
		ends := strings.Split(part, "-")
		for i, end := range ends {
			if n, err := strconv.Atoi(end); err == nil {
				if n < 0 || n >= len(names) {
					return "", fmt.Errorf("weekday %d is not 0 to 7", n)
				}
				ends[i] = names[n]
			}
		}
		part = strings.Join(ends, "-")
		if stepped {
			part += "/" + step
		}
		out = append(out, part)
	}
	return strings.Join(out, ","), nil
}

// An alarm looks back seven days at most; a rare schedule is watched as far as that goes.
const longestWatch = 7 * 24

// freshHours is the longest wait between two runs, as far as the fields tell it, and two hours for the run itself.
func freshHours(f []string) int {
	switch {
	case f[2] != "*" || f[3] != "*" || f[4] != "*":
		return longestWatch
	case f[1] == "*" || strings.HasPrefix(f[1], "*/"):
		step := 1
		if n, err := strconv.Atoi(strings.TrimPrefix(f[1], "*/")); err == nil && n > 0 {
			step = n
		}
		return min(step+2, 26)
	}
	return 26
}

// perMonth counts the runs of a month from the fields' lists; ranges and steps count by what they hold.
func perMonth(f []string) float64 {
	days := 30.4
	if f[4] != "*" {
		days = 30.4 / 7 * values(f[4], 7)
	} else if f[2] != "*" {
		days = values(f[2], 31)
	}
	return values(f[0], 60) * values(f[1], 24) * days
}

// values is how many values a field holds out of most.
func values(field string, most float64) float64 {
	var n float64
	for part := range strings.SplitSeq(field, ",") {
		part, step, _ := strings.Cut(part, "/")
		held := 1.0
		if part == "*" {
			held = most
		} else if from, to, ok := strings.Cut(part, "-"); ok {
			a, _ := strconv.Atoi(from)
			b, _ := strconv.Atoi(to)
			held = float64(max(b-a, 0) + 1)
		}
		if s, err := strconv.ParseFloat(step, 64); err == nil && s > 0 {
			held = float64(int((held-1)/s)) + 1
		}
		n += held
	}
	return n
}
