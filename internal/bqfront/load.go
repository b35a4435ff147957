package bqfront

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// session is a resumable upload under way. The emulator knows such uploads but neither Go's way of asking (POST, no 308) nor that a
// chunk may come again: the front puts them together and hands them on whole.
type session struct {
	job  []byte
	data []byte
}

// serve hands a request on, changed where the emulator would answer otherwise than Google.
func (f *Front) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	if f.partition(w, r) || f.partitions(w, r) || f.dryMerge(w, body) {
		return
	}
	body = f.undecorated(body)
	if r.Method != http.MethodGet && tablePath.MatchString(r.URL.Path) { // the emulator looks at an ETag and writes in two steps, Google in one
		f.altering.Lock()
		defer f.altering.Unlock()
	}
	upload := strings.Contains(r.URL.Path, "/upload/bigquery/")
	switch id := r.URL.Query().Get("upload_id"); {
	case f.objects.has(r):
		f.objects.ServeHTTP(w, r, body, f.URL)
	case upload && id != "":
		f.chunk(w, r, id, body)
	case upload && r.URL.Query().Get("uploadType") == "resumable":
		rec := httptest.NewRecorder()
		f.emulator.ServeHTTP(rec, with(r, taught(body)))
		if u, err := url.Parse(rec.Header().Get("Location")); err == nil {
			f.mu.Lock()
			f.sessions[u.Query().Get("upload_id")] = &session{job: body}
			f.mu.Unlock()
		}
		copied(w, rec, rec.Body.Bytes())
	case upload:
		accepted(w, func(w http.ResponseWriter) { f.emulator.ServeHTTP(w, with(r, f.unzippedPart(r, taught(body)))) })
	case r.Method == http.MethodPost && jobPath.MatchString(r.URL.Path) && bytes.Contains(body, []byte(`"sourceUris":`)):
		body = f.objects.fetched(f.t, taught(body))
		accepted(w, func(w http.ResponseWriter) { f.emulator.ServeHTTP(w, with(r, body)) })
	default:
		f.emulator.ServeHTTP(w, with(r, taught(body)))
	}
}

// dryMerge says what a MERGE would read, which the emulator does not know.
func (f *Front) dryMerge(w http.ResponseWriter, body []byte) bool {
	if f.MergeBytes == 0 || !bytes.Contains(body, []byte(`"dryRun":true`)) {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jobReference":{"projectId":"kitamae-test","jobId":"dry","location":"US"},"status":{"state":"DONE"},"configuration":{"dryRun":true,"query":{}},"statistics":{"totalBytesProcessed":"%d","query":{"statementType":"MERGE"}}}`, f.MergeBytes)
	return true
}

// chunk takes a part of an upload. Parts that are there already are taken once, as Google does.
func (f *Front) chunk(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	f.mu.Lock()
	s := f.sessions[id]
	f.mu.Unlock()
	var from, to, whole int64
	said := r.Header.Get("Content-Range")
	_, final := fmt.Sscanf(said, "bytes %d-%d/%d", &from, &to, &whole)
	if final != nil {
		if _, err := fmt.Sscanf(said, "bytes %d-%d/*", &from, &to); err != nil {
			f.t.Errorf("a chunk of %q", said)
		}
	}
	if s != nil {
		if int64(len(s.data)) < from {
			f.t.Errorf("a chunk from %d on after %d bytes", from, len(s.data))
			from = int64(len(s.data))
		}
		s.data = append(s.data[:from], body...)
	}
	if s != nil && (final != nil || int64(len(s.data)) < whole) {
		w.Header().Set("X-Http-Status-Code-Override", "308") // what Go's client asks for in place of 308
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(s.data)-1))
		return
	}
	var data []byte
	if s != nil {
		data = spelled(f.t, s.job, unzipped(f.t, s.data))
	}
	put := with(r, data)
	put.Method = http.MethodPut
	put.Header.Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
	accepted(w, func(w http.ResponseWriter) { f.emulator.ServeHTTP(w, put) })
}

func copied(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body) // a client that has gone does not matter
}

// accepted answers as BigQuery does, where a job is never done by the time it is accepted.
func accepted(w http.ResponseWriter, answer func(w http.ResponseWriter)) {
	rec := httptest.NewRecorder()
	answer(rec)
	copied(w, rec, bytes.ReplaceAll(rec.Body.Bytes(), []byte(`"state":"DONE"`), []byte(`"state":"RUNNING"`)))
}

// taught changes requests that the emulator answers otherwise than BigQuery. Its truncating loads take the job's schema as it is, so
// that an added field needs no option; its BIGNUMERIC has 38 digits, and BYTES it takes for base64 also in Parquet, so that text stands
// for both.
func taught(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte(`"schemaUpdateOptions":["ALLOW_FIELD_ADDITION"],`), nil)
	body = bytes.ReplaceAll(body, []byte(`"type":"BIGNUMERIC"`), []byte(`"type":"STRING"`))
	if !bytes.Contains(body, []byte(`"sourceFormat":"PARQUET"`)) {
		return body
	}
	return bytes.ReplaceAll(body, []byte(`"type":"BYTES"`), []byte(`"type":"STRING"`))
}

// unzipped is data without gzip, which BigQuery knows by the content and the emulator by the file's name only.
func unzipped(t testing.TB, data []byte) []byte {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Error(err)
		return data
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Error(err)
	}
	return plain
}

// spelled is NDJSON whose JSON columns hold strings as BigQuery reads them: as JSON. The emulator takes a string for the text of another value.
func spelled(t testing.TB, job, data []byte) []byte {
	var asked struct {
		Configuration struct {
			Load struct {
				SourceFormat string
				Schema       struct{ Fields []struct{ Name, Type string } }
			}
		}
	}
	if err := json.Unmarshal(job, &asked); err != nil {
		t.Error(err)
	}
	var columns []string
	for _, f := range asked.Configuration.Load.Schema.Fields {
		if f.Type == "JSON" {
			columns = append(columns, f.Name)
		}
	}
	if asked.Configuration.Load.SourceFormat != "NEWLINE_DELIMITED_JSON" || len(columns) == 0 {
		return data
	}
	var out bytes.Buffer
	for line := range bytes.Lines(data) {
		row := map[string]json.RawMessage{}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Errorf("a line that is no JSON: %v: %.200s", err, line)
			continue
		}
		for _, name := range columns {
			if bytes.HasPrefix(row[name], []byte{'"'}) {
				row[name], _ = json.Marshal(string(row[name]))
			}
		}
		again, err := json.Marshal(row)
		if err != nil {
			t.Error(err)
		}
		out.Write(append(again, '\n'))
	}
	return out.Bytes()
}

// unzippedPart is a multipart upload whose file is not zipped, and [spelled].
func (f *Front) unzippedPart(r *http.Request, body []byte) []byte {
	t := f.t
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Error(err)
		return body
	}
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	if err := w.SetBoundary(params["boundary"]); err != nil {
		t.Error(err)
	}
	var job []byte
	for in := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		part, err := in.NextRawPart()
		if err != nil { // a body that was cut in half ends anyhow
			break
		}
		data, _ := io.ReadAll(part)
		if job == nil {
			job = data
		} else {
			data = unzipped(t, data)
			if f.Changes != nil {
				data = f.Changes(data)
			}
			data = spelled(t, job, data)
		}
		p, err := w.CreatePart(part.Header)
		if err != nil {
			t.Error(err)
			break
		}
		_, _ = p.Write(data)
	}
	_ = w.Close()
	return out.Bytes()
}
