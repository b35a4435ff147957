package bigquery

import (
	"context"
	"time"

	"github.com/kitamae/kitamae/connector"
)

// SetDirect lets tables of more than n bytes go through the bucket.
func SetDirect(d connector.Destination, n int64) { d.(*dest).direct = n }

// SetNow tells the time.
func SetNow(d connector.Destination, now func() time.Time) { d.(*dest).now = now }

// Hurry waits for nothing between tries.
func Hurry(d connector.Destination) { d.(*dest).pause = func(int) time.Duration { return 0 } }

// SetTravel lets n bytes be read back in place of a MERGE, and says whether this process runs inside Google's network.
func SetTravel(d connector.Destination, n int64, onGoogle bool) {
	d.(*dest).travel, d.(*dest).onGoogle = n, func(context.Context) bool { return onGoogle }
}
