package conf

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or data, written as 256MiB, 1GiB, 500MB or a plain number of bytes.
type Bytes int64

var units = []struct {
	suffix string
	size   int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseBytes reads an amount such as "256MiB".
func ParseBytes(s string) (Bytes, error) {
	num, size := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(num, u.suffix); ok {
			num, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(num, 64)
	v *= float64(size)
	if err != nil || strings.Trim(num, "0123456789.") != "" || v >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not an amount such as 256MiB", s)
	}
	return Bytes(v), nil
}

func (b Bytes) String() string {
	for _, u := range []int{2, 1, 0} {
		if size := units[u].size; int64(b) >= size && int64(b)%size == 0 {
			return strconv.FormatInt(int64(b)/size, 10) + units[u].suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalJSON writes what ParseBytes reads.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	v, err := ParseBytes(text)
	*b = v
	return err
}
