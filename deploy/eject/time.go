package eject

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// calendar is five fields of cron as systemd's OnCalendar.
func calendar(cron, zone string) string {
	f := strings.Fields(cron)
	days := []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	weekday := ""
	if f[4] != "*" {
		var out []string
		for part := range strings.SplitSeq(f[4], ",") {
			ends := strings.Split(part, "-")
			for i, end := range ends {
				if n, err := strconv.Atoi(end); err == nil && n < len(days) {
					ends[i] = days[n]
				}
			}
			out = append(out, strings.Join(ends, ".."))
		}
		weekday = strings.Join(out, ",") + " "
	}
	at := func(field, first string) string {
		field = strings.ReplaceAll(field, "-", "..")
		if rest, ok := strings.CutPrefix(field, "*/"); ok {
			return first + "/" + rest
		}
		return field
	}
	return fmt.Sprintf("%s*-%s-%s %s:%s:00 %s", weekday, at(f[3], "1"), at(f[2], "1"), at(f[1], "0"), at(f[0], "0"), zone)
}

// utc moves a daily time into UTC, the only zone GitHub's schedules know.
func utc(cron, zone string, now time.Time) (string, error) {
	f := strings.Fields(cron)
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return "", err
	}
	if zone == "UTC" {
		return cron, nil
	}
	minute, err1 := strconv.Atoi(f[0])
	hour, err2 := strconv.Atoi(f[1])
	if err1 != nil || err2 != nil || f[2] != "*" || f[3] != "*" || f[4] != "*" {
		return "", fault.New(fault.Config, "eject.schedule", "write the schedule in UTC", "GitHub's schedules are in UTC, and %q in %s can't be moved there", cron, zone)
	}
	t := time.Date(now.Year(), now.Month(), now.Day(), hour, minute, 0, 0, loc).UTC()
	return fmt.Sprintf("%d %d * * *", t.Minute(), t.Hour()), nil
}
