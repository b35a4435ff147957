package state_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/state"
	"github.com/kitamae/kitamae/state/statetest"
)

// shortTTL keeps the tests of expiry short. Renewals come every third of it; a busy machine must leave a holder five sixths of it for one.
const shortTTL = 3 * time.Second

func openBucket(t *testing.T, address string) *state.Bucket {
	t.Helper()
	b, err := bucket.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	s := state.NewBucket(b)
	s.TTL = shortTTL
	return s
}

func eachStore(t *testing.T, f func(t *testing.T, address string)) {
	t.Run("s3", func(t *testing.T) { f(t, servertest.S3(t)+"/teams/日本") })
	t.Run("gcs", func(t *testing.T) { f(t, servertest.GCS(t)+"/teams/日本") })
}

func TestBucket(t *testing.T) {
	eachStore(t, func(t *testing.T, address string) {
		statetest.Run(t, func(t *testing.T) state.Store { return openBucket(t, address) })
	})
}

// TestLeaseExpires: a holder that died without a word is followed after the TTL, not before.
func TestLeaseExpires(t *testing.T) {
	eachStore(t, func(t *testing.T, address string) {
		cut := cutOff(t)
		dead := openBucket(t, address)
		if _, err := dead.Lease(t.Context(), "run 1"); err != nil {
			t.Fatal(err)
		}
		cut()
		began := time.Now()
		cleared(t)
		l, err := openBucket(t, address).Lease(t.Context(), "run 2")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		if took := time.Since(began); took < shortTTL {
			t.Errorf("taken over after %v, before the TTL of %v was over", took, shortTTL)
		}
	})
}

// TestPausedHolder: a holder that can't reach the store stops by itself before anybody may follow it, and one
// that comes back too late is told so at Check.
func TestPausedHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, address string) {
		cut := cutOff(t)
		s := openBucket(t, address)
		l, err := s.Lease(t.Context(), "run 1")
		if err != nil {
			t.Fatal(err)
		}
		guarded, stop := l.Guard(t.Context())
		defer stop()
		cut()
		cleared(t)
		next, err := openBucket(t, address).Lease(t.Context(), "run 2")
		if err != nil {
			t.Fatal(err)
		}
		defer next.Release()
		if guarded.Err() == nil {
			t.Error("two holders at one moment: the first one's context lives after the second has the lease")
		}
		if err := l.Check(t.Context()); !fault.HasCode(err, "run.lease_lost") {
			t.Errorf("Check by the first holder: %v, want run.lease_lost", err)
		}
		if err := next.Check(t.Context()); err != nil {
			t.Errorf("Check by the second holder: %v", err)
		}
		l.Release() // must not end the second one's
		if err := next.Check(t.Context()); err != nil {
			t.Errorf("after the first one's release: %v", err)
		}
	})
}

// TestLostAnswer: a client that repeats a conditional write whose answer was lost meets its own object, and must
// not take that for somebody else's.
func TestLostAnswer(t *testing.T) {
	eachStore(t, func(t *testing.T, address string) {
		proxied(t, func(r *http.Request, n int32) bool { return n == 1 && r.Method != http.MethodGet })
		s := openBucket(t, address)
		v, err := s.Put(t.Context(), "k", []byte("1"), "")
		if err != nil {
			t.Fatalf("Put whose first answer was lost: %v", err)
		}
		if _, err := s.Put(t.Context(), "k", []byte("2"), v); err != nil {
			t.Errorf("Put over it: %v", err)
		}
	})
}

func TestMissingBucket(t *testing.T) {
	s3 := servertest.S3(t)
	s, err := state.Open(t.Context(), strings.Replace(s3, "lake", "nowhere", 1)+"/x", "kitamae")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.List(t.Context(), ""); !fault.HasCode(err, "bucket.missing") {
		t.Errorf("List in a bucket that is not there: %v, want bucket.missing", err)
	}
}

var endpoints = []string{"AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"}

// direct remembers where the stores really are.
var direct = map[string]string{}

// proxied puts a proxy before the stores for what is opened from now on; lose says whether the n-th request's answer
// is lost on the way back.
func proxied(t *testing.T, lose func(r *http.Request, n int32) bool) {
	t.Helper()
	for _, name := range endpoints {
		to := os.Getenv(name)
		if to == "" {
			continue
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		var n atomic.Int32
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host
		}}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if lose(r, n.Add(1)) {
				proxy.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			proxy.ServeHTTP(w, r)
		}))
		server.Config.ErrorLog = nil
		t.Cleanup(server.Close)
		direct[name] = to
		t.Setenv(name, server.URL)
	}
}

// cutOff returns a function that cuts off what is opened until [cleared].
func cutOff(t *testing.T) (cut func()) {
	t.Helper()
	var off atomic.Bool
	proxied(t, func(*http.Request, int32) bool {
		if off.Load() {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	return func() { off.Store(true) }
}

// cleared leads what is opened from now on straight to the stores.
func cleared(t *testing.T) {
	t.Helper()
	for _, name := range endpoints {
		if os.Getenv(name) != "" {
			t.Setenv(name, direct[name])
		}
	}
}
