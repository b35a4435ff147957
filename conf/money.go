package conf

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Money is an amount of US dollars in millionths, written as "1 USD" or "0.05 USD".
type Money int64

// USD is one dollar.
const USD Money = 1_000_000

// ParseMoney reads an amount such as "1.50 USD".
func ParseMoney(s string) (Money, error) {
	bad := fmt.Errorf("%q is not an amount such as 1 USD", s)
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "USD")
	number = strings.TrimSpace(number)
	if !ok || strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, bad
	}
	r.Mul(r, new(big.Rat).SetInt64(int64(USD)))
	if !r.IsInt() || r.Cmp(new(big.Rat).SetInt64(math.MaxInt64)) > 0 {
		return 0, bad
	}
	return Money(r.Num().Int64()), nil
}

// String is what ParseMoney reads: at least cents, and more digits only where there are some.
func (m Money) String() string {
	whole, part := m/USD, m%USD
	digits := fmt.Sprintf("%06d", part)
	digits = digits[:2] + strings.TrimRight(digits[2:], "0")
	return fmt.Sprintf("%d.%s USD", whole, digits)
}

// MarshalJSON writes what ParseMoney reads.
func (m Money) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Money) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	v, err := ParseMoney(text)
	*m = v
	return err
}
