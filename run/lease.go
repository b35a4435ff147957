package run

import (
	"context"
	"fmt"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// leaseBeyond takes, beside the lock of a state folder, the lease at the destination, where that one keeps leases: a folder is seen by one machine
// only, the destination by all. A state in a bucket is seen by all itself, and is enough. Where there is nothing to take, or it can't be had,
// lease is returned as it is.
func leaseBeyond(ctx context.Context, req Request, lease *state.Lease, r *Report) (*state.Lease, error) {
	out := req.Job.Destination
	end := req.Registry[out.Use].Register
	if _, folder := req.State.(*state.Dir); !folder || end == nil {
		return lease, nil
	}
	ttl := req.LeaseTTL
	if ttl == 0 {
		ttl = state.RegisterTTL
	}
	both := lease
	err := (&Session{req: req}).persist(ctx, func() error {
		register, err := end.Open(ctx, out.Spec, req.env(0, req.observe))
		if err != nil {
			return fmt.Errorf("open destination %s: %w", out.Use, err)
		}
		taken, err := lease.Beyond(ctx, register, leaseKey(req), holder(r), ttl)
		switch {
		case err == nil:
			both = taken
		case !fault.HasCode(err, "run.busy"):
			err = fmt.Errorf("destination %s: %w", out.Use, err)
		}
		return err
	})
	return both, err
}

// leaseKey names the lease at the destination by the config's name and its source. The destination itself is one dataset or schema, which several
// configs may well load into at the same time, each its own tables. What tells them apart must be the same for two copies of one config, and so
// is not its path or its text: a machine may have its own limits or an older version. The name alone, by which a shared state tells
// configs apart, is not enough, as most are called kitamae.yml, and two teams' nightly runs would refuse each other.
func leaseKey(req Request) string {
	in := req.Job.Source
	return fmt.Sprintf("%s: %s %s", req.Job.Name(), in.Use, in.Place)
}
