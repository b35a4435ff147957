package run

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// checkWithin bounds all checks of one end.
const checkWithin = 2 * time.Minute

// Link is one check, and of what: "source", "destination", "state" or "disk".
type Link struct {
	Of string
	connector.Check
}

// Doctor tries everything that a run of the job rests on, one thing after the other, whatever fails before. It moves nothing. Its
// error is that of a context that ended meanwhile: what is found from then on is not told.
func Doctor(ctx context.Context, req Request, found func(Link)) error {
	tell := func(l Link) {
		if ctx.Err() == nil {
			found(l)
		}
	}
	needed := doctorSource(ctx, req, tell)
	doctorDestination(ctx, req, tell)
	tell(Link{"state", checkState(ctx, req)})
	for _, c := range checkDisk(req, needed) {
		tell(Link{"disk", c})
	}
	return ctx.Err()
}

// doctorSource returns about how many bytes a run would move, -1 when that is not known.
func doctorSource(ctx context.Context, req Request, found func(Link)) int64 {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	in := req.Job.Source
	c, ok := req.Registry[in.Use]
	if !ok || c.Source == nil {
		found(Link{"source", connector.Check{Link: in.Use, Fault: noEnd("source", in.Use)}})
		return -1
	}
	src, err := c.Source.Open(ctx, in.Spec, req.env(0, req.observe))
	if err != nil {
		found(Link{"source", connector.Check{Link: "login", Fault: err}})
		return -1
	}
	defer src.Close() //nolint:errcheck // nothing was read
	if checker, ok := src.(connector.Checker); ok {
		for _, c := range checker.Check(ctx) {
			found(Link{"source", c})
		}
	}
	tables, err := src.Discover(ctx)
	check := connector.Check{Link: "tables", Fault: err}
	bytes := int64(0)
	if err == nil {
		selected, err := req.Job.Resolve(tables)
		check.Fault = err
		check.Found = fmt.Sprintf("%d of %d tables are to be moved", len(selected), len(tables))
		for _, s := range selected {
			bytes += max(s.Table.Bytes, 0)
		}
	}
	found(Link{"source", check})
	return bytes
}

func doctorDestination(ctx context.Context, req Request, found func(Link)) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	dst, err := OpenDestination(ctx, req)
	if err != nil {
		found(Link{"destination", connector.Check{Link: "login", Fault: err}})
		return
	}
	defer dst.Close() //nolint:errcheck // nothing was written
	if checker, ok := dst.(connector.Checker); ok {
		for _, c := range checker.Check(ctx) {
			found(Link{"destination", c})
		}
		return
	}
	found(Link{"destination", connector.Check{Link: "login", Found: req.Job.Destination.Place}})
}

// Prove asks the destination for what only the real system can show. One that has nothing of the kind is a mistake of the caller.
func Prove(ctx context.Context, req Request, found func(Link)) error {
	dst, err := OpenDestination(ctx, req)
	if err != nil {
		return err
	}
	defer dst.Close() //nolint:errcheck // nothing of it stays
	prover, ok := dst.(connector.Prover)
	if !ok {
		return fault.New(fault.Config, "doctor.no_checks", "leave the flag out", "%s has no such checks", req.Job.Destination.Use)
	}
	for _, c := range prover.Prove(ctx) {
		found(Link{"destination", c})
	}
	return nil
}

// doctorKey is the value that checkState writes and removes.
const doctorKey = "doctor"

// checkState takes the lease, as a run would, and puts, reads and removes a value.
func checkState(ctx context.Context, req Request) connector.Check {
	c := connector.Check{Link: "store", Found: "written, read and removed; nobody holds the lease"}
	lease, err := req.State.Lease(ctx, "kitamae doctor")
	if err != nil {
		c.Fault, c.Advice = err, fault.HasCode(err, "run.busy")
		return c
	}
	defer lease.Release()
	_, version, err := req.State.Get(ctx, doctorKey)
	if err == nil {
		version, err = req.State.Put(ctx, doctorKey, []byte("kitamae doctor wrote this; it can go"), version)
	}
	if err == nil {
		_, version, err = req.State.Get(ctx, doctorKey)
	}
	if err == nil {
		_, err = req.State.Put(ctx, doctorKey, nil, version)
	}
	c.Fault = fault.Wrap(fault.Config, "state.store", "let the user who runs kitamae write where the state is kept", err)
	return c
}

// checkDisk compares what is free, beside the config and where temporary files go, with what a run may have to keep there for a while.
func checkDisk(req Request, needed int64) []connector.Check {
	var checks []connector.Check
	for _, place := range []struct{ link, dir string }{{"beside the config", req.Job.Dir}, {"for temporary files", os.TempDir()}} {
		var s unix.Statfs_t
		if err := unix.Statfs(place.dir, &s); err != nil {
			checks = append(checks, connector.Check{Link: place.link, Fault: fault.Wrap(fault.Config, "disk.space", "check that the folder is there", fmt.Errorf("%s: %w", place.dir, err))})
			continue
		}
		free := int64(s.Bavail) * s.Bsize
		c := connector.Check{Link: place.link, Found: humanize.IBytes(uint64(free)) + " free"}
		if needed > 0 {
			c.Found += ", about " + humanize.IBytes(uint64(needed)) + " to move"
		}
		if needed > free {
			c.Advice = true
			c.Fault = fault.New(fault.Config, "disk.space", "free some, or point TMPDIR at a larger disk", "%s has %s; the tables have about %s, compressed less",
				place.dir, humanize.IBytes(uint64(free)), humanize.IBytes(uint64(needed)))
		}
		checks = append(checks, c)
	}
	return checks
}
