package state_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/connectors/postgres"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/state"
)

// registerTTL is shortTTL for the destinations' registers: the imitation of BigQuery takes its time on a busy machine.
func registerTTL(address string) time.Duration {
	if strings.HasPrefix(address, "bigquery ") {
		return 9 * time.Second
	}
	return 3 * time.Second
}

const project = "kitamae-test"

// eachRegister gives f the address of a place of its own in each destination that has a register, as openRegister knows it.
func eachRegister(t *testing.T, f func(t *testing.T, address string)) {
	onPostgres(t, f)
	t.Run("bigquery", func(t *testing.T) {
		t.Parallel()
		endpoint := oneWriter(t, servertest.BigQuery(t))
		client, err := bq.NewClient(t.Context(), project, option.WithEndpoint(endpoint+"/bigquery/v2/"), option.WithoutAuthentication())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		dataset := client.Dataset(servertest.FreshName(t))
		if err := dataset.Create(t.Context(), &bq.DatasetMetadata{Location: "US"}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dataset.DeleteWithContents(context.Background()) }) // the emulator forgets it when it stops
		f(t, "bigquery "+endpoint+" "+dataset.DatasetID)
	})
}

// onPostgres is for what takes a register that is quick on any machine.
func onPostgres(t *testing.T, f func(t *testing.T, address string)) {
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, "postgres "+servertest.FreshDatabase(t, servertest.Postgres(t)))
	})
}

// oneWriter stands before the emulator and lets one change through at a time: it looks at an ETag and writes in two steps, BigQuery in one.
func oneWriter(t *testing.T, endpoint string) string {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(to)
	behind.ErrorLog = log.New(io.Discard, "", 0) // of requests that a test gave up
	var writing sync.Mutex
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			writing.Lock()
			defer writing.Unlock()
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

func isRegister(address string) bool { return strings.Contains(address, " ") }

func openRegister(ctx context.Context, address string) (connector.Register, error) {
	kind, place, _ := strings.Cut(address, " ")
	if kind == "bigquery" {
		endpoint, dataset, _ := strings.Cut(place, " ")
		return bigquery.Connector.Register.Open(ctx, &bigquery.Spec{Project: project, Dataset: dataset, Endpoint: endpoint}, connector.Env{})
	}
	s, err := servertest.Find(kind)
	if err != nil {
		return nil, err
	}
	spec := postgres.Connector.Register.NewSpec().(*postgres.DestSpec)
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), place
	return postgres.Connector.Register.Open(ctx, spec, connector.Env{})
}

// leaseBeyond takes the lease in the register at the address beside the lock in dir, which stands for a machine.
func leaseBeyond(ctx context.Context, dir, address, holder string, ttl time.Duration, through func(state.Register) state.Register) (*state.Lease, error) {
	l, err := state.New(dir).Lease(ctx, holder)
	if err != nil {
		return nil, err
	}
	r, err := openRegister(ctx, address)
	if err != nil {
		return nil, err
	}
	both, err := l.Beyond(ctx, through(r), "kitamae: test", holder, ttl)
	if err != nil {
		l.Release()
	}
	return both, err
}

func straight(r state.Register) state.Register { return r }

// leaseAt is the lease at any address, taken from a machine of its own.
func leaseAt(ctx context.Context, address, holder string) (*state.Lease, error) {
	if isRegister(address) {
		dir, err := os.MkdirTemp("", "kitamae-lease")
		if err != nil {
			return nil, err
		}
		return leaseBeyond(ctx, dir, address, holder, registerTTL(address), straight)
	}
	s, err := state.Open(ctx, address, "kitamae")
	if err != nil {
		return nil, err
	}
	if b, ok := s.(*state.Bucket); ok {
		b.TTL = shortTTL
	}
	return s.Lease(ctx, holder)
}

// gate is a register that can't be reached while it is shut.
type gate struct {
	state.Register
	shut *atomic.Bool
}

func (g gate) Get(ctx context.Context, key string) ([]byte, string, error) {
	if g.shut.Load() {
		return nil, "", errors.New("no route")
	}
	return g.Register.Get(ctx, key)
}

func (g gate) Put(ctx context.Context, key string, value []byte, version string) (string, error) {
	if g.shut.Load() {
		return "", errors.New("no route")
	}
	return g.Register.Put(ctx, key, value, version)
}

// TestRegisterRefuses: the second of two machines is told who runs, and has its turn after that one.
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	eachRegister(t, func(t *testing.T, address string) {
		first, err := leaseBeyond(t.Context(), t.TempDir(), address, "run 1, process 7 on ship", registerTTL(address), straight)
		if err != nil {
			t.Fatal(err)
		}
		other := t.TempDir()
		if _, err := leaseBeyond(t.Context(), other, address, "run 2", registerTTL(address), straight); !fault.HasCode(err, "run.busy") || !strings.Contains(err.Error(), "run 1, process 7 on ship") {
			t.Errorf("a second lease: %v; want run.busy that names the holder", err)
		}
		if err := first.Check(t.Context()); err != nil {
			t.Errorf("Check by the holder: %v", err)
		}
		first.Release()
		first.Release()
		second, err := leaseBeyond(t.Context(), other, address, "run 2", registerTTL(address), straight)
		if err != nil {
			t.Fatalf("after the release: %v", err)
		}
		second.Release()
	})
}

// TestRegisterOutOfReach: a holder that can't reach the register goes on as long as nobody has taken over, and has lost the lease when
// somebody has.
func TestRegisterOutOfReach(t *testing.T) {
	t.Parallel()
	onPostgres(t, func(t *testing.T, address string) {
		ttl := registerTTL(address)
		var shut atomic.Bool
		first, err := leaseBeyond(t.Context(), t.TempDir(), address, "run 1", ttl, func(r state.Register) state.Register { return gate{r, &shut} })
		if err != nil {
			t.Fatal(err)
		}
		defer first.Release()
		guarded, stop := first.Guard(t.Context())
		defer stop()
		shut.Store(true)
		if err := first.Check(t.Context()); err == nil || fault.HasCode(err, "run.lease_lost") {
			t.Errorf("Check out of reach: %v, want what stands in the way", err)
		}
		select {
		case <-guarded.Done():
			t.Fatalf("the work ends although nobody has taken over: %v", context.Cause(guarded))
		case <-time.After(ttl):
		}
		shut.Store(false)
		if err := first.Check(t.Context()); err != nil {
			t.Fatalf("back, and nobody was there: %v", err)
		}

		shut.Store(true)
		second, err := leaseBeyond(t.Context(), t.TempDir(), address, "run 2", ttl, straight)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Release()
		shut.Store(false)
		if err := first.Check(t.Context()); !fault.HasCode(err, "run.lease_lost") || !strings.Contains(err.Error(), "run 2") {
			t.Errorf("Check by the one that was away: %v, want run.lease_lost that names who took over", err)
		}
		<-guarded.Done()
		if !fault.HasCode(context.Cause(guarded), "run.lease_lost") {
			t.Errorf("its work ended for %v", context.Cause(guarded))
		}
		first.Release() // must not end the second one's
		if err := second.Check(t.Context()); err != nil {
			t.Errorf("Check by the second after the first one's release: %v", err)
		}
	})
}

// TestRegisterSameFolder: a run that died is followed at once where its state is, as nobody else can have had the lock of the folder; not from
// elsewhere, nor from a copy of the folder.
func TestRegisterSameFolder(t *testing.T) {
	t.Parallel()
	eachRegister(t, func(t *testing.T, address string) {
		home, far := t.TempDir(), t.TempDir()
		var dead atomic.Bool
		lock, err := state.New(home).Lease(t.Context(), "run 1")
		if err != nil {
			t.Fatal(err)
		}
		r, err := openRegister(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		first, err := lock.Beyond(t.Context(), gate{r, &dead}, "kitamae: test", "run 1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		dead.Store(true)
		lock.Release() // as the system does for a process that ended
		defer first.Release()
		if err := os.CopyFS(far+"/copy", os.DirFS(home)); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{far, far + "/copy"} {
			impatient, stop := context.WithTimeout(t.Context(), 2*time.Second)
			if _, err := leaseBeyond(impatient, dir, address, "run 2", time.Hour, straight); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("from %s: %v, want to wait until the lease has expired", dir, err)
			}
			stop()
		}
		second, err := leaseBeyond(t.Context(), home, address, "run 3", time.Hour, straight)
		if err != nil {
			t.Fatalf("from the same folder: %v", err)
		}
		second.Release()
	})
}

// TestRegisterUnreachable: what can't be reached when the lease is wanted is the destination's fault, and takes no lock along.
func TestRegisterUnreachable(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	spec := &bigquery.Spec{Project: project, Dataset: servertest.FreshName(t), Endpoint: servertest.BigQuery(t)}
	r, err := bigquery.Connector.Register.Open(t.Context(), spec, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := state.New(home).Lease(t.Context(), "run 1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Beyond(t.Context(), r, "k", "run 1", time.Minute); !fault.HasCode(err, "bigquery.no_dataset") {
		t.Errorf("in a dataset that is not there: %v, want bigquery.no_dataset", err)
	}
	if err := lock.Check(t.Context()); err != nil {
		t.Errorf("the lock is gone with it: %v", err)
	}
	lock.Release()
}
