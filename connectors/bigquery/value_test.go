package bigquery_test

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/apache/arrow-go/v18/arrow"
)

// textOf is a value as BigQuery's client returns it in the canonical text form, by code of its own. typ is the planned Arrow type.
func textOf(t *testing.T, v bq.Value, typ arrow.DataType) string {
	t.Helper()
	switch v := v.(type) {
	case string:
		if d, ok := typ.(arrow.DecimalType); ok { // BIGNUMERIC, which the front keeps as text
			r, ok := new(big.Rat).SetString(v)
			if !ok {
				t.Fatalf("%q is no number", v)
			}
			return r.FloatString(int(d.GetScale()))
		}
		if typ.ID() == arrow.BINARY { // BYTES, which the front keeps as DuckDB's text of a blob
			return `\x` + blobHex(v)
		}
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return floatText(v)
	case []byte:
		return `\x` + hex.EncodeToString(v)
	case *big.Rat:
		return v.FloatString(int(typ.(arrow.DecimalType).GetScale()))
	case civil.Date:
		return v.String()
	case civil.Time:
		return clock(v)
	case civil.DateTime:
		return v.Date.String() + "T" + clock(v.Time)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999999Z")
	}
	t.Fatalf("no text of a %T", v)
	return ""
}

func clock(c civil.Time) string {
	s := fmt.Sprintf("%02d:%02d:%02d", c.Hour, c.Minute, c.Second)
	if c.Nanosecond > 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%06d", c.Nanosecond/1000), "0")
	}
	return s
}

func floatText(v float64) string {
	switch {
	case v != v:
		return "NaN"
	case v > 1.7976931348623157e308:
		return "Infinity"
	case v < -1.7976931348623157e308:
		return "-Infinity"
	}
	abs := v
	if abs < 0 {
		abs = -abs
	}
	format := byte('f')
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(v, format, -1, 64)
}

// blobHex turns DuckDB's text of a blob, where bytes that don't print are \xHH, into hex digits.
func blobHex(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			b.WriteString(strings.ToLower(s[i+2 : i+4]))
			i += 3
			continue
		}
		fmt.Fprintf(&b, "%02x", s[i])
	}
	return b.String()
}
