package run

import (
	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/kitamae/kitamae/conf"
)

// Budget divides limits.memory among those who use it. The shares were measured (docs/benchmarks.md):
// what the process needs beside them is some 95 MiB of code, mapped from the file, and what allocators hold on to.
type Budget struct {
	Total       int64 // bytes, limits.memory or its default
	Destination int64 // for the destination's engine
	GoHeap      int64 // soft limit of the Go heap
	Batch       int   // how large one batch may grow
	Value       int   // how large one value may be
}

const maxDefaultMemory = 1 << 30

// NewBudget divides limit; 0 means half of what the container or machine has, at most 1 GiB.
func NewBudget(limit conf.Bytes) Budget {
	total := int64(limit)
	if total == 0 {
		total = maxDefaultMemory
		if have, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)(); err == nil && have > 0 {
			total = min(total, int64(have/2))
		}
	}
	return Budget{
		Total:       total,
		Destination: total / 2,
		GoHeap:      total / 2,
		Batch:       int(min(max(total/64, 1<<20), 8<<20)),
		Value:       int(total / 16),
	}
}
