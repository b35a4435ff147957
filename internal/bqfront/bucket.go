package bqfront

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// objectStore is the bucket's server behind the front.
type objectStore struct {
	proxy *httputil.ReverseProxy
	url   string
	dir   string
}

// Bucket puts the Cloud Storage server at an address behind the front too, whose objects load jobs can then read. It is called before the first request.
func (f *Front) Bucket(address string) {
	f.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.objects = &objectStore{url: address, dir: f.t.TempDir(), proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = u.Host
	}}}
}

func (o *objectStore) has(r *http.Request) bool {
	return o != nil && (strings.HasPrefix(r.URL.Path, "/storage/") || strings.HasPrefix(r.URL.Path, "/upload/storage/") || strings.HasPrefix(r.URL.Path, "/upload/resumable/"))
}

func (o *objectStore) kind(r *http.Request) string {
	switch {
	case r.Method == http.MethodDelete:
		return "remove"
	case r.URL.Query().Get("upload_id") != "" || strings.HasPrefix(r.URL.Path, "/upload/resumable/"):
		return "objectchunk"
	case strings.HasPrefix(r.URL.Path, "/upload/"):
		return "object"
	}
	return ""
}

// ServeHTTP hands a request on; an upload's further requests come through the front as well.
func (o *objectStore) ServeHTTP(w http.ResponseWriter, r *http.Request, body []byte, front string) {
	rec := httptest.NewRecorder()
	o.proxy.ServeHTTP(rec, with(r, body))
	if l := rec.Header().Get("Location"); l != "" {
		rec.Header().Set("Location", strings.Replace(l, o.url, front, 1))
	}
	copied(w, rec, rec.Body.Bytes())
}

// fetched is a load job over the bucket's objects as one over files with the same content: the emulator reaches no bucket, but it reads
// files, and it is the emulator that reads them, all in one job.
func (o *objectStore) fetched(t testing.TB, body []byte) []byte {
	var job map[string]any
	if err := json.Unmarshal(body, &job); err != nil {
		t.Error(err)
		return body
	}
	load := job["configuration"].(map[string]any)["load"].(map[string]any)
	var files []any
	for _, uri := range load["sourceUris"].([]any) {
		bucket, name, _ := strings.Cut(strings.TrimPrefix(uri.(string), "gs://"), "/")
		path := filepath.Join(o.dir, strings.ReplaceAll(name, "/", "_"))
		resp, err := http.Get(o.url + "/storage/v1/b/" + bucket + "/o/" + url.PathEscape(name) + "?alt=media")
		if err != nil {
			t.Error(err)
			return body
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Errorf("the job names %s: %v", uri, err)
		}
		if err != nil || resp.StatusCode != http.StatusOK { // as for BigQuery, it is the job that fails, unless its ID is there already
			return body
		}
		data = spelled(t, body, unzipped(t, data))
		path = strings.TrimSuffix(path, ".gz")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Error(err)
		}
		files = append(files, "file://"+path)
	}
	load["sourceUris"] = files
	changed, err := json.Marshal(job)
	if err != nil {
		t.Error(err)
	}
	return changed
}
