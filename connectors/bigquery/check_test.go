package bigquery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"google.golang.org/api/storage/v1"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/googleauth"
	"github.com/kitamae/kitamae/internal/servertest"
)

// google is the little of Google that the checks ask, with answers of the test's own by path.
type google struct {
	t       *testing.T
	refuse  map[string]string // "METHOD path" → "code message"
	objects map[string]string
	// bucketAt is where the bucket is; where the dataset is, unless set
	bucketAt string
	defaults string // of the dataset, as `,"name":"value"`
	asked    []string
}

func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.SplitN(r.URL.Path, "/kitamae", 2)[0]
	call := r.Method + " " + path
	g.asked = append(g.asked, call)
	w.Header().Set("Content-Type", "application/json")
	if says, no := g.refuse[call]; no {
		var code int
		text := ""
		_, _ = fmt.Sscanf(says, "%d", &code)
		_, text, _ = strings.Cut(says, " ")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": text}})
		return
	}
	body, _ := io.ReadAll(r.Body)
	switch {
	case call == "GET /bigquery/v2/projects/acme-data/datasets/app":
		fmt.Fprintf(w, `{"datasetReference":{"projectId":"acme-data","datasetId":"app"},"location":"asia-northeast1"%s}`, g.defaults)
	case call == "POST /bigquery/v2/projects/acme-data/jobs":
		var job struct {
			Configuration struct{ DryRun bool }
			JobReference  struct{ Location string }
		}
		if err := json.Unmarshal(body, &job); err != nil || !job.Configuration.DryRun || job.JobReference.Location != "asia-northeast1" {
			g.t.Errorf("a job that is no dry run in the dataset's location: %s", body)
		}
		fmt.Fprint(w, `{"jobReference":{"projectId":"acme-data","jobId":"j","location":"asia-northeast1"},"configuration":{"dryRun":true,"query":{}},"status":{"state":"DONE"}}`)
	case call == "GET /storage/v1/b/acme-kitamae":
		fmt.Fprintf(w, `{"name":"acme-kitamae","location":%q}`, cmp.Or(g.bucketAt, "ASIA-NORTHEAST1"))
	case r.Method == http.MethodPost && strings.Contains(path, "/storage/v1/b/acme-kitamae/o"):
		parts := strings.Split(string(body), "\r\n\r\n")
		g.objects["stored"] = strings.SplitN(parts[len(parts)-1], "\r\n--", 2)[0]
		fmt.Fprint(w, `{"name":"x"}`)
	case r.Method == http.MethodGet:
		fmt.Fprint(w, g.objects["stored"])
	case r.Method == http.MethodDelete:
		delete(g.objects, "stored")
		w.WriteHeader(http.StatusNoContent)
	default:
		g.t.Errorf("asked %s", call)
	}
}

func TestCheck(t *testing.T) {
	const denied = "403 Access Denied"
	for _, tc := range []struct {
		name     string
		location string
		refuse   map[string]string
		want     []string // link and fault's code
	}{
		{"all holds", "", nil, []string{"credentials", "dataset", "jobs", "bucket"}},
		{"another location", "US", nil, []string{"credentials", "dataset bigquery.location", "jobs", "bucket"}},
		{"no dataset", "asia-northeast1", map[string]string{"GET /bigquery/v2/projects/acme-data/datasets/app": "404 Not found: Dataset acme-data:app"},
			[]string{"credentials", "dataset bigquery.missing", "jobs", "bucket"}},
		{"no jobs", "", map[string]string{"POST /bigquery/v2/projects/acme-data/jobs": denied}, []string{"credentials", "dataset", "jobs bigquery.denied", "bucket"}},
		{"no writing", "", map[string]string{"POST /upload/storage/v1/b/acme-kitamae/o": denied, "POST /storage/v1/b/acme-kitamae/o": denied, "POST /resumable/upload/storage/v1/b/acme-kitamae/o": denied},
			[]string{"credentials", "dataset", "jobs", "bucket bigquery.denied"}},
		{"no removing", "", map[string]string{"DELETE /storage/v1/b/acme-kitamae/o": denied}, []string{"credentials", "dataset", "jobs", "bucket bigquery.denied"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := &google{t: t, refuse: tc.refuse, objects: map[string]string{}}
			server := httptest.NewServer(g)
			defer server.Close()
			d := newDest(Spec{Project: "acme-data", Dataset: "app", Location: tc.location, Bucket: "acme-kitamae", Endpoint: server.URL}, connector.Env{})
			defer d.Close()
			var got []string
			for _, c := range d.Check(t.Context()) {
				line := c.Link
				if c.Fault != nil {
					line += " " + fault.From(c.Fault).Code
					if fault.From(c.Fault).Hint == "" {
						t.Errorf("%s: no hint", c.Fault)
					}
				}
				got = append(got, line)
			}
			if strings.Join(got, ", ") != strings.Join(tc.want, ", ") {
				t.Errorf("%q, want %q\nasked %q", got, tc.want, g.asked)
			}
			if _, left := g.objects["stored"]; left && tc.name != "no removing" {
				t.Error("an object was left behind")
			}
		})
	}
}

// TestCheckEndsWithoutCredentials holds that what nobody may ask is not asked.
func TestCheckEndsWithoutCredentials(t *testing.T) {
	d := newDest(Spec{Project: "acme-data", Dataset: "app", Auth: googleauth.Spec{Credentials: "no JSON"}}, connector.Env{})
	defer d.Close()
	checks := d.Check(t.Context())
	if len(checks) != 1 || !fault.HasCode(checks[0].Fault, "google.credentials") {
		t.Errorf("%+v", checks)
	}
}

// TestProveStopsWithoutItsDataset holds that nothing is tried, and nothing removed, where no scratch dataset could be made. What the proofs
// find only BigQuery itself can say.
func TestProveStopsWithoutItsDataset(t *testing.T) {
	g := &google{t: t, objects: map[string]string{}, refuse: map[string]string{
		"POST /bigquery/v2/projects/acme-data/datasets": "403 Access Denied: Project acme-data: User does not have bigquery.datasets.create permission",
	}}
	server := httptest.NewServer(g)
	defer server.Close()
	d := newDest(Spec{Project: "acme-data", Dataset: "app", Endpoint: server.URL}, connector.Env{})
	defer d.Close()
	checks := d.Prove(t.Context())
	if len(checks) != 1 || !fault.HasCode(checks[0].Fault, "bigquery.denied") || !strings.Contains(fault.From(checks[0].Fault).Hint, "roles/bigquery.user") {
		t.Errorf("%+v", checks)
	}
	if len(g.asked) != 2 {
		t.Errorf("asked %q", g.asked)
	}
}

// TestProveOnTheEmulator holds that the proofs go through where what they try is imitated, can fail where it is not, and leave nothing behind.
func TestProveOnTheEmulator(t *testing.T) {
	endpoint := servertest.BigQuery(t)
	d := newDest(Spec{Project: "acme-data", Dataset: "prove_" + strconv.FormatInt(time.Now().UnixNano(), 36), Endpoint: endpoint}, connector.Env{Dir: t.TempDir()})
	defer d.Close()
	client, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dataset := client.Dataset(d.spec.Dataset)
	if err := dataset.Create(t.Context(), &bq.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dataset.DeleteWithContents(context.Background()) })
	held := map[string]bool{}
	for _, c := range d.Prove(t.Context()) {
		held[c.Link] = c.Fault == nil
		if c.Fault != nil {
			t.Logf("%s: %v", c.Link, c.Fault)
		}
	}
	for _, link := range []string{"replace keeps descriptions", "replace keeps views", "replace keeps row policies", "replace with another type", "widening is free", "Japanese column names", "job ID twice", "failed job ID",
		"append with fewer columns", "conditional view", "empty job takes an ID", "layout is altered", "values come back", "scratch dataset"} {
		if !held[link] {
			t.Errorf("%s does not hold", link)
		}
	}
	for _, link := range []string{"byte limit", "another partitioning", "merge with bounds", "long decimals", "partition without rows", "partition tells its rows"} {
		if held[link] {
			t.Errorf("%s is nothing the emulator has, and yet it was seen to hold", link)
		}
	}
	for it := client.Datasets(t.Context()); ; {
		ds, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(ds.DatasetID, "kitamae_checks_") {
			t.Errorf("%s was left behind", ds.DatasetID)
		}
	}
}

// TestBucketElsewhere holds that a bucket whose objects load jobs can't read is found out by the checks and before a run reads anything.
func TestBucketElsewhere(t *testing.T) {
	g := &google{t: t, objects: map[string]string{}, bucketAt: "US"}
	server := httptest.NewServer(g)
	defer server.Close()
	d := newDest(Spec{Project: "acme-data", Dataset: "app", Bucket: "acme-kitamae/warehouse", Endpoint: server.URL}, connector.Env{})
	defer d.Close()
	const want = "bigquery.bucket_location"
	checks := d.Check(t.Context())
	if last := checks[len(checks)-1]; last.Link != "bucket" || !fault.HasCode(last.Fault, want) || len(g.objects) > 0 {
		t.Errorf("%+v", last)
	}
	if _, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "x"}); !fault.HasCode(err, want) {
		t.Errorf("plan: %v, want %s", err, want)
	}
	g.bucketAt = "ASIA1"
	if err := d.bucketFits(t.Context()); err != nil {
		t.Error(err)
	}
	g.bucketAt = "US" // looked at once a run
	if err := d.bucketFits(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestBucketOfNoView holds that a run goes on where the account may use a bucket and not look at it.
func TestBucketOfNoView(t *testing.T) {
	g := &google{t: t, objects: map[string]string{}, refuse: map[string]string{"GET /storage/v1/b/acme-kitamae": "403 no storage.buckets.get"}}
	server := httptest.NewServer(g)
	defer server.Close()
	d := newDest(Spec{Project: "acme-data", Dataset: "app", Bucket: "acme-kitamae", Endpoint: server.URL}, connector.Env{})
	defer d.Close()
	if err := d.bucketFits(t.Context()); err != nil {
		t.Error(err)
	}
	checks := d.Check(t.Context())
	if last := checks[len(checks)-1]; !fault.HasCode(last.Fault, "bigquery.denied") || !strings.Contains(fault.From(last.Fault).Hint, "legacyBucketReader") {
		t.Errorf("%+v", last)
	}
}

func TestReaches(t *testing.T) {
	for _, tc := range []struct {
		dataset string
		bucket  storage.Bucket
		want    bool
	}{
		{"US", storage.Bucket{Location: "ASIA-NORTHEAST1"}, true},
		{"EU", storage.Bucket{Location: "EUROPE-WEST3"}, true},
		{"EU", storage.Bucket{Location: "EU"}, true},
		{"EU", storage.Bucket{Location: "EUR4"}, true},
		{"EU", storage.Bucket{Location: "US"}, false},
		{"asia-northeast1", storage.Bucket{Location: "ASIA-NORTHEAST1"}, true},
		{"asia-northeast1", storage.Bucket{Location: "ASIA1"}, true},
		{"asia-northeast1", storage.Bucket{Location: "ASIA"}, false},
		{"asia-northeast1", storage.Bucket{Location: "ASIA-NORTHEAST2"}, false},
		{"us-central1", storage.Bucket{Location: "US"}, false},
		{"us-central1", storage.Bucket{Location: "US", CustomPlacementConfig: &storage.BucketCustomPlacementConfig{DataLocations: []string{"US-CENTRAL1", "US-WEST1"}}}, true},
	} {
		if got := reaches(tc.dataset, &tc.bucket); got != tc.want {
			t.Errorf("a dataset in %s reads from a bucket in %s: %v", tc.dataset, tc.bucket.Location, got)
		}
	}
}

// TestBucketAddress holds what may stand for a bucket.
func TestBucketAddress(t *testing.T) {
	for address, want := range map[string]string{
		"acme": "acme|", "gs://acme": "acme|", "gs://acme/": "acme|", "gs://acme/a/b/": "acme|a/b/", "acme/日本": "acme|日本/",
		"s3://acme": "", "gs://acme/*": "", "gs://a b": "",
	} {
		d, err := openDest(t.Context(), Spec{Project: "p", Dataset: "d", Bucket: address}, connector.Env{})
		got := ""
		if err == nil {
			bucket, prefix := d.(*dest).spec.folder()
			got = bucket + "|" + prefix
		} else if !fault.HasCode(err, "bigquery.bucket") {
			t.Errorf("%s: %v", address, err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
}
