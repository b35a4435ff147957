package telemetry_test

import (
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	colmetric "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite"

	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/telemetry"
)

// receiver takes OTLP over HTTP as a collector does, and decodes it by OpenTelemetry's own types.
type receiver struct {
	mu      sync.Mutex
	refuse  int // the status it answers with, 0 for none
	keys    []string
	about   map[string]string // the resource of what came last
	spans   []*traces.Span
	metrics map[string]*metrics.Metric
}

func newReceiver(t *testing.T) (*receiver, string) {
	t.Helper()
	r := &receiver{metrics: map[string]*metrics.Metric{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(w, req); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return r, server.URL
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) error {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if got := req.Header.Get("Content-Type"); got != "application/x-protobuf" || req.Method != http.MethodPost {
		return fmt.Errorf("%s of %s", req.Method, got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, req.Header.Get("X-Key"))
	w.Header().Set("Content-Type", "application/x-protobuf")
	if r.refuse != 0 {
		w.WriteHeader(r.refuse)
		return nil
	}
	switch req.URL.Path {
	case "/base/v1/traces":
		var m coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(text, &m); err != nil {
			return err
		}
		for _, rs := range m.ResourceSpans {
			r.about = attributes(rs.Resource.Attributes)
			for _, ss := range rs.ScopeSpans {
				r.spans = append(r.spans, ss.Spans...)
			}
		}
	case "/base/v1/metrics":
		var m colmetric.ExportMetricsServiceRequest
		if err := proto.Unmarshal(text, &m); err != nil {
			return err
		}
		for _, rm := range m.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, one := range sm.Metrics {
					r.metrics[one.Name] = one
				}
			}
		}
	default:
		return fmt.Errorf("asked for %s", req.URL.Path)
	}
	return nil
}

func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		v := kv.Value.GetStringValue()
		if _, number := kv.Value.Value.(*common.AnyValue_IntValue); number {
			v = fmt.Sprint(kv.Value.GetIntValue())
		}
		out[kv.Key] = v
	}
	return out
}

// tree are the spans as lines, each below its parent's: names, tables and what they came to.
func (r *receiver) tree() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := map[string]*traces.Span{}
	for _, s := range r.spans {
		by[string(s.SpanId)] = s
	}
	var lines []string
	for _, s := range r.spans {
		var path []string
		for at := s; at != nil; at = by[string(at.ParentSpanId)] {
			path = append([]string{strings.TrimSpace(at.Name + " " + attributes(at.Attributes)["kitamae.table"])}, path...)
		}
		a := attributes(s.Attributes)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s rows %s %s", strings.Join(path, " > "), a["kitamae.rows"], a["kitamae.status"], a["error.type"])))
	}
	slices.Sort(lines)
	return lines
}

// sum are a counter's points, by their attributes.
func (r *receiver) sum(name string) map[string]int64 {
	out := map[string]int64{}
	for _, p := range r.metrics[name].GetSum().GetDataPoints() {
		a := attributes(p.Attributes)
		out[strings.TrimSpace(a["kitamae.table"]+" "+a["error.type"])] = p.GetAsInt()
	}
	return out
}

// counted are how often a histogram was recorded, by its attributes.
func (r *receiver) counted(t *testing.T, name string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for _, p := range r.metrics[name].GetHistogram().GetDataPoints() {
		a := attributes(p.Attributes)
		out[strings.TrimSpace(a["kitamae.table"]+" "+a["kitamae.status"])] = p.Count
		if p.GetSum() <= 0 || p.GetSum() > 600 {
			t.Errorf("%s of %v: %v seconds", name, a, p.GetSum())
		}
	}
	return out
}

// project is a folder with a SQLite database and a config; it returns a function that runs it.
func project(t *testing.T, config string, env map[string]string) func() (code int, said string) {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`create table users(id integer primary key); insert into users values (1), (2); create table odd(v any); insert into odd values (1);
		create view large as select zeroblob(20000000) as b`); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kitamae.yml")
	if err := os.WriteFile(file, []byte("source: {sqlite: {path: app.db}}\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range env { // the SDK reads the process's own
		t.Setenv(name, value)
	}
	return func() (int, string) {
		var said strings.Builder
		code := cli.Run(t.Context(), []string{"run", "-f", file}, cli.IO{Out: io.Discard, Err: &said, Getenv: os.LookupEnv})
		return code, said.String()
	}
}

// TestRun follows a run from the command line to the receiver: by the config and by OpenTelemetry's variables.
func TestRun(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for name, tc := range map[string]struct {
		config string
		env    func(address string) map[string]string
	}{
		"by the config": {"telemetry: {endpoint: %s/base/, headers: {X-Key: 'secret:env:OTLP_KEY'}}", func(string) map[string]string {
			return map[string]string{"OTLP_KEY": "k3y", "OTEL_RESOURCE_ATTRIBUTES": "team=data"}
		}},
		"by the variables": {"", func(address string) map[string]string {
			return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": address + "/base", "OTEL_EXPORTER_OTLP_HEADERS": "X-Key=k3y",
				"OTEL_RESOURCE_ATTRIBUTES": "team=data", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, address := newReceiver(t)
			env := tc.env(address)
			env["TRACEPARENT"] = "00-" + trace + "-b7ad6b7169203331-01"
			if tc.config != "" {
				tc.config = fmt.Sprintf(tc.config, address)
			}
			if code, said := project(t, tc.config, env)(); code != 0 {
				t.Fatalf("exit code %d\n%s", code, said)
			}
			want := []string{
				"run > commit: 0 rows", "run > table odd > partition odd: 1 rows", "run > table odd > verify odd: 1 rows", "run > table odd: 1 rows verified",
				"run > table users > partition users: 2 rows", "run > table users > verify users: 2 rows", "run > table users: 2 rows verified", "run: 3 rows published",
			}
			if got := r.tree(); !slices.Equal(got, want) {
				t.Errorf("spans:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, s := range r.spans {
				if fmt.Sprintf("%x", s.TraceId) != trace || s.EndTimeUnixNano < s.StartTimeUnixNano {
					t.Errorf("%s: trace %x from %d to %d", s.Name, s.TraceId, s.StartTimeUnixNano, s.EndTimeUnixNano)
				}
			}
			if r.about["service.name"] != "kitamae" || r.about["team"] != "data" || slices.ContainsFunc(r.keys, func(k string) bool { return k != "k3y" }) {
				t.Errorf("resource %v, keys %v", r.about, r.keys)
			}
			if got := fmt.Sprint(r.sum("kitamae.rows"), r.counted(t, "kitamae.table.duration"), r.counted(t, "kitamae.run.duration"), r.sum("kitamae.failures")); got !=
				"map[odd:1 users:2] map[odd verified:1 users verified:1] map[published:1] map[]" {
				t.Errorf("measured %s", got)
			}
			if r.sum("kitamae.bytes")["users"] <= 0 {
				t.Errorf("bytes %v", r.sum("kitamae.bytes"))
			}
		})
	}
}

// TestFailedRun: what failed says so, in the spans and in the counter.
func TestFailedRun(t *testing.T) {
	r, address := newReceiver(t)
	run := project(t, "limits: {memory: 64MiB}\ntables: {\"*\": {}, large: {}}", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": address + "/base"})
	if code, said := run(); code == 0 {
		t.Fatalf("the run went well:\n%s", said)
	}
	tree := strings.Join(r.tree(), "\n")
	for _, want := range []string{"run > table odd: 1 rows verified", "run > table large: 0 rows held back value.too_large", "run: 3 rows partial value.too_large"} {
		if !strings.Contains(tree, want) {
			t.Errorf("no %q in\n%s", want, tree)
		}
	}
	failures := r.sum("kitamae.failures")
	if len(failures) != 2 {
		t.Errorf("failures %v, want one of the run and one of large", failures)
	}
}

// TestUnreachable: a receiver that is not there or refuses changes nothing about the run, and is told.
func TestUnreachable(t *testing.T) {
	r, address := newReceiver(t)
	r.refuse = http.StatusForbidden
	for name, endpoint := range map[string]string{"refuses": address, "is not there": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			code, said := project(t, "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint + "/base", "OTEL_EXPORTER_OTLP_TIMEOUT": "500"})()
			if code != 0 || !strings.Contains(said, "telemetry.send") {
				t.Errorf("exit code %d, said\n%s", code, said)
			}
		})
	}
}

// TestNobodyAsked: without an address nothing is opened; what can't be spoken is said.
func TestNobodyAsked(t *testing.T) {
	env := func(vars map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	}
	for _, vars := range []map[string]string{
		{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
	} {
		if c, err := telemetry.Open(context.Background(), job.Telemetry{}, env(vars), "kitamae.yml", "", "test"); c != nil || err != nil {
			t.Errorf("with %v: %v, %v; want none", vars, c, err)
		}
	}
	spec := job.Telemetry{Endpoint: "http://x", Headers: map[string]conf.Secret{"k": "v"}}
	if _, err := telemetry.Open(context.Background(), spec, env(map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}), "kitamae.yml", "", "test"); !fault.HasCode(err, "telemetry.protocol") {
		t.Errorf("gRPC: %v, want telemetry.protocol", err)
	}
}
