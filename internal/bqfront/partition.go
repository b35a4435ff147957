package bqfront

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// The emulator knows no table$partition. The front makes a load that overwrites one into a DELETE of its rows and a load that appends, and
// tells whoever asks for the job what it was asked for.

var (
	decorated = regexp.MustCompile(`"datasetId":"([^"]+)","projectId":"([^"]+)","tableId":"([^"$]+)\$(\w+)"`)
	jobIDInIt = regexp.MustCompile(`"jobId":"([^"]+)"`)
)

// undecorated empties the partition that a load overwrites and returns the load that fills it.
func (f *Front) undecorated(body []byte) []byte {
	m := decorated.FindSubmatch(body)
	if m == nil {
		return body
	}
	dataset, project, table, partition := string(m[1]), string(m[2]), string(m[3]), string(m[4])
	plain := func() []byte {
		body := bytes.Replace(body, []byte(`"tableId":"`+table+"$"+partition+`"`), []byte(`"tableId":"`+table+`"`), 1)
		return bytes.Replace(body, []byte(`"writeDisposition":"WRITE_TRUNCATE"`), []byte(`"writeDisposition":"WRITE_APPEND"`), 1)
	}
	id := jobIDInIt.FindSubmatch(body)
	if id == nil {
		f.t.Errorf("a load into %s$%s has no job ID", table, partition)
		return body
	}
	f.mu.Lock()
	_, known := f.decorations[string(id[1])]
	f.decorations[string(id[1])] = table + "$" + partition
	f.mu.Unlock()
	if !known { // another front may have seen it
		known = ask(http.MethodGet, fmt.Sprintf("%s/bigquery/v2/projects/%s/jobs/%s", f.target, project, id[1]), nil, nil) == nil
	}
	if known { // the emulator will refuse it
		return plain()
	}
	var md struct {
		TimePartitioning struct{ Field string }
	}
	if err := ask(http.MethodGet, fmt.Sprintf("%s/bigquery/v2/projects/%s/datasets/%s/tables/%s", f.target, project, dataset, table), nil, &md); err != nil {
		f.t.Errorf("ask how table %s is divided: %v", table, err)
	}
	sql := fmt.Sprintf("DELETE FROM `%s.%s.%s` WHERE FORMAT_TIMESTAMP('%s', TIMESTAMP(`%s`)) = '%s'", project, dataset, table, shapeOf(partition), md.TimePartitioning.Field, partition)
	if err := ask(http.MethodPost, fmt.Sprintf("%s/bigquery/v2/projects/%s/queries", f.target, project), map[string]any{"query": sql, "useLegacySql": false}, nil); err != nil {
		f.t.Errorf("empty a partition: %v", err)
	}
	return plain()
}

var partitionRead = regexp.MustCompile(`^(.*/projects/([^/]+)/datasets/([^/]+)/tables/)([^/$]+)\$(\w+)(/data)?$`)

// emptyPartition answers reads of a partition by how many rows it has; the rows themselves nobody asks for.
func (f *Front) emptyPartition(w http.ResponseWriter, r *http.Request) bool {
	m := partitionRead.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method != http.MethodGet {
		return false
	}
	if m[6] == "" {
		r2 := with(r, nil)
		r2.URL.Path, r2.URL.RawPath = m[1]+m[4], ""
		f.emulator.ServeHTTP(w, r2)
		return true
	}
	var answer struct {
		Rows []struct{ F []struct{ V string } }
	}
	sql := fmt.Sprintf("SELECT count(*) FROM `%s.%s.%s` WHERE FORMAT_TIMESTAMP('%s', TIMESTAMP(`at`)) = '%s'", m[2], m[3], m[4], shapeOf(m[5]), m[5])
	if err := ask(http.MethodPost, fmt.Sprintf("%s/bigquery/v2/projects/%s/queries", f.target, m[2]), map[string]any{"query": sql, "useLegacySql": false}, &answer); err != nil || len(answer.Rows) == 0 {
		f.t.Errorf("count a partition: %v", err)
		return true
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"totalRows":"%s"}`, answer.Rows[0].F[0].V)
	return true
}

// shapeOf is how a partition of such a name is formatted.
func shapeOf(partition string) string {
	return "%Y%m%d%H"[:map[int]int{4: 2, 6: 4, 8: 6, 10: 8}[len(partition)]]
}

// redecorated is an answer about a job that overwrote a partition as BigQuery gives it.
func (f *Front) redecorated(r *http.Response) error {
	if !strings.Contains(r.Request.URL.Path, "/jobs") || r.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if id := jobIDInIt.FindSubmatch(body); id != nil {
		f.mu.Lock()
		table := f.decorations[string(id[1])]
		f.mu.Unlock()
		if plain, _, ok := strings.Cut(table, "$"); ok {
			body = bytes.ReplaceAll(body, []byte(`"tableId":"`+plain+`"`), []byte(`"tableId":"`+table+`"`))
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}

func ask(method, url string, body, answer any) error {
	var send io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, url, send)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, url, data)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(data, answer)
}
