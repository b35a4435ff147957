package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// cloudLog is where the log of tasks in a cloud is shown: their lines as people read them, or as they are with --log-format json.
func (a *app) cloudLog(zone *time.Location) io.Writer {
	if a.logFormat == "json" {
		return a.Out
	}
	return textLog{a.Out, zone}
}

// textLog makes text of the lines that a [jsonTeller] wrote, perhaps behind the number of a shard; others stay as they are. Each Write is one line.
type textLog struct {
	w    io.Writer
	zone *time.Location
}

func (l textLog) Write(line []byte) (int, error) {
	before, rest, found := strings.Cut(string(line), "{")
	var event map[string]any
	if !found || json.Unmarshal([]byte("{"+rest), &event) != nil || event["msg"] == nil {
		return l.w.Write(line)
	}
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(event["time"]))
	if err != nil {
		return l.w.Write(line)
	}
	said := before + at.In(l.zone).Format("15:04:05 ") + fmt.Sprint(event["msg"])
	if event["table"] != nil {
		said += fmt.Sprintf(" %v:", event["table"])
	}
	for _, key := range slices.Sorted(maps.Keys(event)) {
		switch value := event[key]; key {
		case "time", "level", "msg", "table":
		case "error", "why":
			said += fmt.Sprintf(" %v", value)
		default:
			if n, ok := value.(float64); ok {
				value = fmt.Sprintf("%.0f", n)
			}
			if value != "" {
				said += fmt.Sprintf(" %s %v", key, value)
			}
		}
	}
	if _, err := fmt.Fprintln(l.w, said); err != nil {
		return 0, err
	}
	return len(line), nil
}
