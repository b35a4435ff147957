package bigquery

import (
	"math/big"
	"strings"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

// leastBilled is what a query that reads anything is billed for at least, in bytes.
const leastBilled = 10 << 20

// tebibyte is the list price of a tebibyte read on demand. Loads, copies, changes of columns and dry runs are free. Tokyo and Osaka are
// dearer than the United States and Europe; what other places cost is near one of the two.
func tebibyte(location string) conf.Money {
	if l := strings.ToLower(location); l == "asia-northeast1" || l == "asia-northeast2" {
		return conf.USD * 15 / 2
	}
	return conf.USD * 25 / 4
}

// cost is what a query that reads so many bytes is billed, rounded up.
func cost(location string, bytes int64) connector.Cost {
	if bytes <= 0 {
		return connector.Cost{}
	}
	bytes = max(bytes, leastBilled)
	price := new(big.Int).Mul(big.NewInt(bytes), big.NewInt(int64(tebibyte(location))))
	price.Add(price, big.NewInt(1<<40-1)).Rsh(price, 40)
	return connector.Cost{Bytes: bytes, Price: conf.Money(price.Int64()), For: "a query"}
}

// bytesFor is how much can be read for so much money.
func bytesFor(location string, m conf.Money) int64 {
	bytes := new(big.Int).Lsh(big.NewInt(int64(m)), 40)
	bytes.Quo(bytes, big.NewInt(int64(tebibyte(location))))
	if !bytes.IsInt64() {
		return 1<<63 - 1
	}
	return max(bytes.Int64(), 1)
}
