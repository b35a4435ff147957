package aws

import (
	"fmt"
	"strings"
)

// Size is a Fargate task's size: a pair that Fargate offers.
type Size struct {
	CPU    int // units of which 1024 are a vCPU
	Memory int // MiB
}

// sizes are the smallest pair for each amount of memory, smallest first.
var sizes = []Size{{256, 512}, {512, 1024}, {512, 2048}, {1024, 4096}, {1024, 8192}, {2048, 16384}, {4096, 30720}}

// SizeFor is the smallest task with room for a run that may use memory bytes, and as much again for what lies outside that count:
// the binary, page cache, a value that grows. 0 is half a vCPU and 1 GiB, which carries tables of any size.
func SizeFor(memory int64) Size {
	if memory == 0 {
		return Size{512, 1024}
	}
	for _, s := range sizes {
		if int64(s.Memory)<<20 >= 2*memory {
			return s
		}
	}
	return sizes[len(sizes)-1]
}

// price is a region's list prices in US dollars: an hour of a vCPU and of a GB on each architecture, an hour of a NAT gateway and a GB
// through it, a GB to the internet.
type price struct{ armCPU, armGB, x86CPU, x86GB, nat, natGB, egress float64 }

// prices are what is commonly known of them in November 2026, not checked against the lists; elsewhere the dearest row stands in.
var prices = map[string]price{
	"us-east-1":      {0.03238, 0.00356, 0.04048, 0.004445, 0.045, 0.045, 0.09},
	"us-west-2":      {0.03238, 0.00356, 0.04048, 0.004445, 0.045, 0.045, 0.09},
	"eu-west-1":      {0.03238, 0.00356, 0.04048, 0.004445, 0.048, 0.048, 0.09},
	"ap-northeast-1": {0.04045, 0.00442, 0.05056, 0.00553, 0.062, 0.062, 0.114},
}

const (
	publicAddressHour = 0.005
	freeEgress        = 100 // GB a month
	imageGB           = 0.1 // ECR, a GB a month
	logGB             = 0.76
	alarm             = 0.10 // a month, the first ten free
)

// Use is what a month's cost depends on.
type Use struct {
	Region        string
	Arm           bool
	Size          Size
	Network       Network
	Tasks         int // of a run, 0 for one
	RunsPerMonth  float64
	MinutesPerRun float64
	GBPerRun      float64 // sent to the warehouse, compressed
	Measured      string  // where minutes and GB come from
}

// Cost is one line of the estimate.
type Cost struct {
	What    string
	Dollars float64
}

// Estimate is a month's cost, line by line, without the free tiers but egress's.
func Estimate(u Use) []Cost {
	p, ok := prices[u.Region]
	if !ok {
		p = prices["ap-northeast-1"]
	}
	hours := u.RunsPerMonth * u.MinutesPerRun / 60 * float64(max(u.Tasks, 1))
	cpu, gb, arch := p.x86CPU, p.x86GB, "x86-64"
	if u.Arm {
		cpu, gb, arch = p.armCPU, p.armGB, "arm64"
	}
	out := []Cost{{
		fmt.Sprintf("Fargate %s, %g vCPU, %g GB, %.1f h", arch, float64(u.Size.CPU)/1024, float64(u.Size.Memory)/1024, hours),
		hours * (cpu*float64(u.Size.CPU)/1024 + gb*float64(u.Size.Memory)/1024),
	}}
	sent := u.GBPerRun * u.RunsPerMonth
	if u.Network.PublicAddress {
		out = append(out, Cost{"public address while a task runs", hours * publicAddressHour})
		out = append(out, Cost{"NAT gateway: none needed", 0})
	} else {
		out = append(out, Cost{fmt.Sprintf("NAT gateway that is there already (%.0f a month, not counted), %.1f GB through it", p.nat*730, sent), sent * p.natGB})
	}
	return append(out,
		Cost{fmt.Sprintf("egress to the warehouse, %.1f GB, the first %d free in an account", sent, freeEgress), max(sent-freeEgress, 0) * p.egress},
		Cost{"image in ECR, 3 versions", 3 * 0.035 * imageGB},
		Cost{"log, 1 MB a run", u.RunsPerMonth / 1000 * logGB},
		Cost{"two alarms", 2 * alarm},
		Cost{"schedule, state machine, queue, topic, secrets as SSM parameters", 0},
	)
}

// Table prints the estimate.
func Table(costs []Cost, u Use) string {
	var b strings.Builder
	var total float64
	for _, c := range costs {
		fmt.Fprintf(&b, "  %7.2f  %s\n", c.Dollars, c.What)
		total += c.Dollars
	}
	fmt.Fprintf(&b, "  %7.2f  USD a month, at %.0f runs of %.0f minutes and %.2f GB (%s)\n", total, u.RunsPerMonth, u.MinutesPerRun, u.GBPerRun, u.Measured)
	return b.String()
}
