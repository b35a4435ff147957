// Package bqfront is an HTTP front before the BigQuery emulator, for tests. It makes good what the emulator lacks
// (docs/guides/bigquery.md lists it), lets load jobs read a bucket, and does the harm that networks and busy services do.
package bqfront

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Front stands before the emulator. Its URL is the endpoint to configure.
type Front struct {
	*httptest.Server
	t        testing.TB
	faults   func(*Call) string
	target   string // the emulator's address
	emulator *httputil.ReverseProxy
	objects  *objectStore // nil for a place without a bucket
	// Changes does harm to NDJSON on its way, nil for none.
	Changes func(data []byte) []byte
	// RowBytes is how large rows of partitions are said to be, MergeBytes what a MERGE would read.
	RowBytes, MergeBytes int64
	// Partitions is how many partitions tables are said to have, 0 for nothing said.
	Partitions int64

	altering sync.Mutex // one change of a table's metadata at a time

	mu       sync.Mutex
	calls    []Call
	sessions map[string]*session // uploads under way, by the emulator's ID of them
	// decorations are the partitions that jobs overwrite, by job.
	decorations map[string]string
}

// Call is one request. What stands for which request it is, N is how many of its kind there were, this one included.
type Call struct {
	What  string // insert, chunk, query, status, partition, object, objectchunk, remove, or "" for the rest
	Table string // of an insert or a chunk
	Final bool   // an upload's last chunk
	N     int
	Body  string // of a query
}

// What the faults of a Front may return beside "" for nothing and a status such as "503 backendError".
const (
	Lost  = "lost"  // it is done, the answer is not heard
	Cut   = "cut"   // the connection ends before anything is done
	Half  = "half"  // the connection ends when half of the body has arrived
	Twice = "twice" // it is done two times
)

// New starts a front of the emulator at an address, until the test ends. faults is asked about each request and says what harm is done to it,
// "" for none; nil does none.
func New(t testing.TB, emulator string, faults func(*Call) string) *Front {
	t.Helper()
	target, err := url.Parse(emulator)
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{t: t, target: emulator, faults: faults, emulator: httputil.NewSingleHostReverseProxy(target), sessions: map[string]*session{}, decorations: map[string]string{}}
	f.emulator.ModifyResponse = f.redecorated
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil { // the client was killed while it sent
			return
		}
		switch fault := f.note(r, body); fault {
		case "":
			f.serve(w, r, body)
		case Lost:
			f.serve(httptest.NewRecorder(), r, body)
			hangUp(t, w)
		case Cut:
			hangUp(t, w)
		case Half:
			f.serve(httptest.NewRecorder(), r, body[:len(body)/2])
			hangUp(t, w)
		case Twice:
			f.serve(httptest.NewRecorder(), r, body)
			f.serve(w, r, body)
		default:
			code, reason, _ := strings.Cut(fault, " ")
			n, err := strconv.Atoi(code)
			if err != nil {
				t.Errorf("no fault %q", fault)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(n)
			fmt.Fprintf(w, `{"error":{"code":%d,"message":"the front says so","errors":[{"reason":%q,"message":"the front says so"}]}}`, n, reason)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// with is r with another body.
func with(r *http.Request, body []byte) *http.Request {
	r2 := r.Clone(r.Context())
	r2.Body, r2.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r2.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return r2
}

func hangUp(t testing.TB, w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Errorf("hang up: %v", err)
		return
	}
	_ = conn.Close()
}

var (
	jobPath   = regexp.MustCompile(`/projects/[^/]+/jobs$`)
	statusOf  = regexp.MustCompile(`/projects/[^/]+/jobs/[^/]+$`)
	tablePath = regexp.MustCompile(`/datasets/[^/]+/tables/?([^/]*)$`)
	tableInIt = regexp.MustCompile(`"tableId":"([^"]+)"`)
)

// kind says which request it is.
func (f *Front) kind(r *http.Request, body []byte) (c Call) {
	session := r.URL.Query().Get("upload_id")
	table := func(body []byte) {
		if m := tableInIt.FindSubmatch(body); m != nil {
			c.Table = string(m[1])
		}
	}
	size := r.Header.Get("Content-Range")
	c.Final = size != "" && !strings.HasSuffix(size, "/*")
	switch post := r.Method == http.MethodPost; {
	case f.objects.has(r):
		c.What = f.objects.kind(r)
	case post && jobPath.MatchString(r.URL.Path) && session != "":
		c.What = "chunk"
		f.mu.Lock()
		defer f.mu.Unlock()
		if s := f.sessions[session]; s != nil {
			table(s.job)
		}
	case post && jobPath.MatchString(r.URL.Path) && (strings.Contains(r.URL.Path, "/upload/") || bytes.Contains(body, []byte(`"load":`))):
		c.What = "insert"
		table(body)
	case post && (jobPath.MatchString(r.URL.Path) || strings.HasSuffix(r.URL.Path, "/queries")):
		c.What, c.Body = "query", string(body)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/data") && partitionRead.MatchString(r.URL.Path):
		c.What = "partition"
	case r.Method == http.MethodGet && statusOf.MatchString(r.URL.Path):
		c.What = "status"
	case (post || r.Method == http.MethodPatch) && tablePath.MatchString(r.URL.Path): // a table is made or altered
		c.What, c.Table = "table", tablePath.FindStringSubmatch(r.URL.Path)[1]
		if c.Table == "" {
			table(body)
		}
	}
	return c
}

func (f *Front) note(r *http.Request, body []byte) string {
	c := f.kind(r, body)
	f.mu.Lock()
	defer f.mu.Unlock()
	c.N = 1
	for _, o := range f.calls {
		if o.What == c.What && o.Table == c.Table {
			c.N++
		}
	}
	f.calls = append(f.calls, c)
	if f.faults == nil {
		return ""
	}
	return f.faults(&c)
}

// Count is how many requests of a kind came, of one table or of all with "".
func (f *Front) Count(what, table string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c.What == what && (table == "" || c.Table == table) {
			n++
		}
	}
	return n
}
