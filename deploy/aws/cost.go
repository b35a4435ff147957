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

// price is a list price in US dollars.
type price struct {
	dollars float64
	seen    bool // it was looked up, as the comment beside it says; else it is an estimate, and the plan says so
}

// prices are a region's: an hour of a vCPU and of a GB of memory on x86-64, an hour of a NAT gateway and a GB through it, a GB to the
// internet, a GB of log.
type prices struct{ cpu, gb, nat, natGB, egress, log price }

func seen(dollars float64) price  { return price{dollars, true} }
func about(dollars float64) price { return price{dollars, false} }

// regions are the prices where they are known. Elsewhere the dearest, Tokyo's, stand in as estimates.
//
// Fargate in us-east-1: price list, seen 2026-11-23 and again 2026-11-29 (vantage.sh/blog/fargate-pricing). The NAT gateway in Tokyo: price list, seen
// 2026-11-23. Logs: seen 2026-11-29 (c3x.dev/blog/cloudwatch-logs-cost-optimization, awsi.click: cloudwatch-logs-cost-structure).
var regions = map[string]prices{
	"us-east-1":      {seen(0.04048), seen(0.004445), about(0.045), about(0.045), about(0.09), seen(0.50)},
	"us-west-2":      {about(0.04048), about(0.004445), about(0.045), about(0.045), about(0.09), about(0.50)},
	"eu-west-1":      {about(0.04048), about(0.004445), about(0.048), about(0.048), about(0.09), about(0.57)},
	"ap-northeast-1": {about(0.05056), about(0.00553), seen(0.062), about(0.062), about(0.114), seen(0.76)},
}

// What costs the same, or nearly so, in all regions.
var (
	armShare      = seen(0.8)           // of the x86-64 price: "about 20 % less", seen 2026-11-23
	publicAddress = about(0.005)        // an hour
	stored        = about(0.10)         // ECR, a GB a month
	alarm         = about(0.10)         // a month; the first ten of an account are free
	secret        = about(0.40)         // Secrets Manager, a month
	diskHour      = about(0.000111)     // an hour of a GB of disk beyond the 20 that are free; in us-east-1 seen 2026-11-29 (vantage.sh/blog/fargate-pricing)
	transition    = about(0.025 / 1000) // Step Functions; the first 4,000 a month are free
)

const (
	freeDisk      = 20    // GB
	freeEgress    = 100   // GB a month, of an account
	imagesKept    = 30    // as the repository's rule says
	imageSize     = 0.035 // GB, compressed
	logSize       = 0.001 // GB a run
	transitions   = 6     // of a run that goes well
	monthHours    = 730
	alarmsOfStack = 2
)

// Use is what a month's cost depends on.
type Use struct {
	Region        string
	Arm           bool
	Size          Size
	Network       Network
	Tasks         int // of a run, 0 for one
	Secrets       int // in Secrets Manager
	Disk          int // GiB of a task, 0 for Fargate's own
	RunsPerMonth  float64
	MinutesPerRun float64
	GBPerRun      float64 // sent to the warehouse, compressed
	Measured      string  // where minutes and GB come from
}

// Cost is one line of the estimate.
type Cost struct {
	What    string
	How     string // the sum, for a reader to do again
	Dollars float64
	Guess   bool // one of its prices was not looked up
}

// cost is a line: an amount of something that has a price.
func cost(what, how string, amount float64, p price) Cost {
	return Cost{what, how, amount * p.dollars, !p.seen}
}

// Estimate is a month's cost, line by line, without the free tiers but egress's.
func Estimate(u Use) []Cost {
	p, known := regions[u.Region]
	if !known {
		p = regions["ap-northeast-1"]
		for _, one := range []*price{&p.cpu, &p.gb, &p.nat, &p.natGB, &p.egress, &p.log} {
			one.seen = false
		}
	}
	tasks := float64(max(u.Tasks, 1))
	hours := u.RunsPerMonth * u.MinutesPerRun / 60 * tasks
	arch := "x86-64"
	if u.Arm {
		arch, p.cpu.dollars, p.gb.dollars = "arm64", p.cpu.dollars*armShare.dollars, p.gb.dollars*armShare.dollars
	}
	spent := fmt.Sprintf("%.1f runs x %g min", u.RunsPerMonth, u.MinutesPerRun)
	if tasks > 1 {
		spent += fmt.Sprintf(" x %g shards", tasks)
	}
	cpu, memory := float64(u.Size.CPU)/1024, float64(u.Size.Memory)/1024
	out := []Cost{
		cost(fmt.Sprintf("Fargate %s, %g vCPU", arch, cpu), fmt.Sprintf("%s = %.2f h, x %g x %.5f", spent, hours, cpu, p.cpu.dollars), hours*cpu, p.cpu),
		cost(fmt.Sprintf("Fargate %s, %g GB", arch, memory), fmt.Sprintf("%.2f h x %g x %.5f", hours, memory, p.gb.dollars), hours*memory, p.gb),
	}
	if more := float64(u.Disk - freeDisk); more > 0 {
		out = append(out, cost("Fargate disk", fmt.Sprintf("%.2f h x %g GB beyond %d x %.6f", hours, more, freeDisk, diskHour.dollars), hours*more, diskHour))
	}
	sent := u.GBPerRun * u.RunsPerMonth
	if u.Network.PublicAddress {
		out = append(out, cost("public address", fmt.Sprintf("%.2f h x %g; no NAT gateway is needed", hours, publicAddress.dollars), hours, publicAddress))
	} else {
		out = append(out, cost("through the NAT gateway", fmt.Sprintf("%.1f GB x %g; it is there already, at %.0f a month, which is not counted", sent, p.natGB.dollars, p.nat.dollars*monthHours), sent, p.natGB))
	}
	out = append(out,
		cost("egress to the warehouse", fmt.Sprintf("%.1f runs x %g GB = %.1f GB, less %d free in an account, x %g", u.RunsPerMonth, u.GBPerRun, sent, freeEgress, p.egress.dollars),
			max(sent-freeEgress, 0), p.egress),
		cost("images in ECR", fmt.Sprintf("%d x %g GB x %g, once so many were deployed", imagesKept, imageSize, stored.dollars), imagesKept*imageSize, stored),
		cost("log", fmt.Sprintf("%.1f runs x %g GB x %g", u.RunsPerMonth, tasks*logSize, p.log.dollars), u.RunsPerMonth*tasks*logSize, p.log),
		cost("alarms", fmt.Sprintf("%d x %.2f; the first ten of an account are free", alarmsOfStack, alarm.dollars), alarmsOfStack, alarm),
		cost("state machine", fmt.Sprintf("%.1f runs x %d steps x %.6f; the first 4,000 a month are free", u.RunsPerMonth, transitions, transition.dollars), u.RunsPerMonth*transitions, transition),
	)
	if u.Secrets > 0 {
		out = append(out, cost("Secrets Manager", fmt.Sprintf("%d x %.2f; parameters of SSM are free", u.Secrets, secret.dollars), float64(u.Secrets), secret))
	}
	return out
}

// Table prints the estimate: each line with its sum, and what all of them assume.
func Table(costs []Cost, u Use) string {
	var b strings.Builder
	var total float64
	wide := 0
	for _, c := range costs {
		total += c.Dollars
		wide = max(wide, len(c.What))
	}
	for _, c := range costs {
		mark := " "
		if c.Guess {
			mark = "~"
		}
		fmt.Fprintf(&b, "  %s%6.2f  %-*s  %s\n", mark, c.Dollars, wide, c.What, c.How)
	}
	fmt.Fprintf(&b, "   %6.2f  USD a month, at %.1f runs of %g minutes and %g GB each (%s). Schedule, queue, topic: nothing.\n", total, u.RunsPerMonth, u.MinutesPerRun, u.GBPerRun, u.Measured)
	b.WriteString("  ~ by a price that was not looked up; the others were in November 2026. The bill is what counts.\n")
	return b.String()
}
