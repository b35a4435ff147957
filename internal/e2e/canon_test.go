package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/duckdb/duckdb-go/v2"
)

// normal rewrites a value's text where one value has several texts: floats and lists.
func normal(form string, v value) (value, error) {
	if v.null {
		return v, nil
	}
	var err error
	elem, isList := strings.CutPrefix(form, "list ")
	switch {
	case isList:
		var list []any
		d := json.NewDecoder(strings.NewReader(v.text))
		d.UseNumber()
		if err = d.Decode(&list); err != nil {
			return v, fmt.Errorf("list %s: %w", v.text, err)
		}
		return canonList(elem, list)
	case form == "float32":
		v.text, err = floatText(v.text, 32)
	case form == "float64":
		v.text, err = floatText(v.text, 64)
	}
	return v, err
}

func floatText(s string, bits int) (string, error) {
	f, err := strconv.ParseFloat(s, bits)
	return strconv.FormatFloat(f, 'g', -1, bits), err
}

// canon is the canonical text of what a stock reader returned.
func canon(form string, v any) (value, error) {
	if v == nil {
		return value{null: true}, nil
	}
	if elem, isList := strings.CutPrefix(form, "list "); isList {
		list, ok := v.([]any)
		if !ok {
			return value{}, fmt.Errorf("%T is no list", v)
		}
		return canonList(elem, list)
	}
	text := ""
	switch v := v.(type) {
	case []byte:
		if form != "bytes" {
			text = string(v)
			break
		}
		text = `\x` + hex.EncodeToString(v)
	case time.Time:
		text = timeText(form, v)
	case duckdb.Interval:
		text = intervalText(form, int64(v.Months), int64(v.Days), v.Micros)
	case duckdb.Decimal: // its String drops zeros at the end
		text = decimal128.FromBigInt(v.Value).ToString(int32(v.Scale))
	case float32:
		text = strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	default: // strings, integers, json.Number, big numbers, booleans and duckdb.UUID
		text = fmt.Sprint(v)
	}
	return normal(form, value{text: text})
}

// canonList is a JSON array of the elements' canonical texts.
func canonList(form string, list []any) (value, error) {
	out := make([]*string, len(list))
	for i, e := range list {
		v, err := canon(form, e)
		if err != nil {
			return v, err
		}
		if !v.null {
			out[i] = &v.text
		}
	}
	text, err := json.Marshal(out)
	return value{text: string(text)}, err
}

// timeText formats by the standard library, but for years beyond four digits, which it writes with a sign or not at all.
func timeText(form string, t time.Time) string {
	t = t.UTC()
	year := fmt.Sprintf("%04d", t.Year())
	if t.Year() < 0 {
		year = fmt.Sprintf("-%04d", -t.Year())
	}
	date := fmt.Sprintf("%s-%02d-%02d", year, t.Month(), t.Day())
	switch form {
	case "date":
		return date
	case "datetime":
		return date + t.Format("T15:04:05.999999")
	case "instant":
		return date + t.Format("T15:04:05.999999") + "Z"
	}
	return t.Format("15:04:05.999999")
}

// intervalText writes an interval as ISO 8601, or where the form is duration as hours, minutes, seconds.
func intervalText(form string, months, days, micros int64) string {
	if form == "duration" {
		return clockText(micros + (months*30+days)*24*3_600_000_000)
	}
	text := "P"
	part := func(n int64, unit string) {
		if n != 0 {
			text += strconv.FormatInt(n, 10) + unit
		}
	}
	part(months/12, "Y")
	part(months%12, "M")
	part(days, "D")
	if micros != 0 {
		text += "T"
		part(micros/3_600_000_000, "H")
		part(micros/60_000_000%60, "M")
		if rest := micros % 60_000_000; rest != 0 {
			text += strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(float64(rest)/1e6, 'f', 6, 64), "0"), ".") + "S"
		}
	}
	if text == "P" {
		return "PT0S"
	}
	return text
}

// clockText is [-]HH:MM:SS.f.
func clockText(micros int64) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	const second = 1_000_000
	text := fmt.Sprintf("%s%02d:%02d:%02d", sign, micros/(3600*second), micros/(60*second)%60, micros/second%60)
	if micros%second != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%06d", micros%second), "0")
	}
	return text
}
