package conform

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// testRegister holds a destination's register to its contract, seen by several processes.
func testRegister(t *testing.T, p *place) {
	if p.s.Connector.Register == nil {
		return
	}
	ctx := contextFor(t)
	r := p.register(ctx)
	p.wantRegistered(ctx, "a", "", "")
	v1 := p.registers(ctx, r, "a", "1", "")
	if _, err := r.Put(ctx, "a", []byte("2"), ""); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("putting over a value nobody looked at: %v, want a conflict", err)
	}
	p.wantRegistered(ctx, "a", "1", v1)
	p.wantRegistered(ctx, "b", "", "")
	if _, err := r.Put(ctx, "b", []byte("2"), v1); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("putting over a value that is not there: %v, want a conflict", err)
	}
	odd := `{"holder":"it's \"run\" 1 \u0000 ''' $$ \\n on 北前船"}` + strings.Repeat(" 🚢", 1000)
	v2 := p.registers(ctx, r, "a", odd, v1)
	again := p.registers(ctx, p.register(ctx), "a", odd, v2)
	if v1 == v2 || v2 == again {
		t.Errorf("versions come twice: %q, %q, %q", v1, v2, again)
	}
	if _, err := r.Put(ctx, "a", []byte("3"), v2); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("putting over an older version: %v, want a conflict", err)
	}
	p.wantRegistered(ctx, "a", odd, again)
	none := p.registers(ctx, r, "a", "", again)
	p.wantRegistered(ctx, "a", "", none)
	if _, err := r.Put(ctx, "a", []byte("4"), again); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("putting over a removed value: %v, want a conflict", err)
	}
	v5 := p.registers(ctx, r, "a", "5", none)
	p.wantRegistered(ctx, "a", "5", v5)

	const n = 4
	var writing sync.WaitGroup
	for range n {
		r := p.register(ctx)
		writing.Go(func() {
			for {
				value, version, err := r.Get(ctx, "n")
				if err == nil {
					_, err = r.Put(ctx, "n", append(bytes.Clone(value), 'x'), version)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, fault.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	if value, _, err := r.Get(ctx, "n"); err != nil || string(value) != strings.Repeat("x", n) {
		t.Errorf("%d writers left %q, %v", n, value, err)
	}
}

// register opens the register as another process would.
func (p *place) register(ctx context.Context) connector.Register {
	p.t.Helper()
	r, err := p.s.Connector.Register.Open(ctx, p.cfg.Spec, p.cfg.Env)
	if err != nil {
		p.t.Fatalf("open the register: %v", err)
	}
	p.t.Cleanup(func() {
		if err := r.Close(); err != nil {
			p.t.Errorf("close the register: %v", err)
		}
	})
	return r
}

func (p *place) registers(ctx context.Context, r connector.Register, key, value, version string) string {
	p.t.Helper()
	next, err := r.Put(ctx, key, []byte(value), version)
	if err != nil {
		p.t.Fatalf("put %s: %v", key, err)
	}
	return next
}

// wantRegistered asks another process.
func (p *place) wantRegistered(ctx context.Context, key, want, version string) {
	p.t.Helper()
	value, now, err := p.register(ctx).Get(ctx, key)
	if err != nil || string(value) != want || now != version {
		p.t.Errorf("get %s = %q, %q, %v; want %q, %q", key, value, now, err, want, version)
	}
}
