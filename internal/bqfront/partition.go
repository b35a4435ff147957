package bqfront

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
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

// partitionPage is how many rows the front answers at once.
const partitionPage = 4

// partition answers who asks for a partition's rows, a few at a time, or for how many there are.
func (f *Front) partition(w http.ResponseWriter, r *http.Request) bool {
	m := partitionRead.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method != http.MethodGet {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	var md map[string]any
	if err := ask(http.MethodGet, f.target+m[1]+m[4], nil, &md); err != nil {
		f.t.Errorf("ask for table %s: %v", m[4], err)
		return true
	}
	field, _ := md["timePartitioning"].(map[string]any)["field"].(string)
	var answer struct{ Rows []json.RawMessage }
	sql := fmt.Sprintf("SELECT * FROM `%s.%s.%s` WHERE FORMAT_TIMESTAMP('%s', TIMESTAMP(`%s`)) = '%s'", m[2], m[3], m[4], shapeOf(m[5]), field, m[5])
	query := map[string]any{"query": sql, "useLegacySql": false, "formatOptions": map[string]any{"useInt64Timestamp": true}}
	if err := ask(http.MethodPost, fmt.Sprintf("%s/bigquery/v2/projects/%s/queries", f.target, m[2]), query, &answer); err != nil {
		f.t.Errorf("read a partition: %v", err)
		return true
	}
	if m[6] == "" {
		md["numRows"], md["numBytes"] = fmt.Sprint(len(answer.Rows)), fmt.Sprint(int64(len(answer.Rows))*f.RowBytes)
		_ = json.NewEncoder(w).Encode(md) // a client that has gone does not matter
		return true
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken")) // none: from the first
	page := map[string]any{"totalRows": fmt.Sprint(len(answer.Rows))}
	to := min(from+partitionPage, len(answer.Rows))
	page["rows"] = answer.Rows[from:to]
	if to < len(answer.Rows) {
		page["pageToken"] = strconv.Itoa(to)
	}
	_ = json.NewEncoder(w).Encode(page) // likewise
	return true
}

// partitions answers who asks how many partitions a table has.
func (f *Front) partitions(w http.ResponseWriter, r *http.Request) bool {
	if f.Partitions == 0 || r.URL.Query().Get("fields") != "numPartitions" {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"numPartitions":"%d"}`, f.Partitions)
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
