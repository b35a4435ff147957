package bigquery

import (
	"time"

	"github.com/kitamae/kitamae/connector"
)

// SetDirect lets tables of more than n bytes go through the bucket.
func SetDirect(d connector.Destination, n int64) { d.(*dest).direct = n }

// SetNow tells the time.
func SetNow(d connector.Destination, now func() time.Time) { d.(*dest).now = now }

// Hurry waits for nothing between tries.
func Hurry(d connector.Destination) { d.(*dest).pause = func(int) time.Duration { return 0 } }
