package serve_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/notify"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/serve"
	"github.com/kitamae/kitamae/state"
)

// TestTell follows a config through its days.
func TestTell(t *testing.T) {
	var got []notify.Message
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		got = append(got, m)
	}))
	defer server.Close()
	st := state.New(t.TempDir())
	j := &job.Job{File: "kitamae.yml", Timezone: "Asia/Tokyo", Notify: notify.Spec{Webhook: notify.Webhook{URL: conf.Secret(server.URL)}, Language: "en"}}
	day := func(n int) time.Time { return time.Date(2026, 11, n, 5, 0, 0, 0, time.UTC) }
	for _, tc := range []struct {
		day     int
		status  run.Status
		err     error
		success bool
		want    notify.Event // "" for nothing
		fresh   int
		only    []string
		id      string // "" for the day's
	}{
		{1, run.StatusPublished, nil, false, "", 0, nil, ""},
		{2, run.StatusFailed, errors.New("no line"), false, notify.Failure, 1, nil, ""},
		{3, run.StatusFailed, errors.New("no line"), false, notify.Failure, 1, nil, ""},
		{4, run.StatusPublished, nil, true, notify.Success, 1, []string{"users"}, ""}, // the other tables are as old as before
		{5, run.StatusPublished, nil, false, notify.Recovery, 5, nil, ""},
		{6, run.StatusPublished, nil, true, notify.Success, 6, nil, ""},
		{7, run.StatusPublished, &run.Already{}, true, "", 0, nil, ""},
		{8, run.StatusFailed, errors.New("no line"), false, notify.Failure, 7, nil, "20261101T000000Z-1"}, // made up for late
		{9, run.StatusPublished, nil, false, notify.Recovery, 9, nil, "20261101T000000Z-2"},
	} {
		got = nil
		r := &run.Report{ID: day(tc.day).Format("20060102T150405Z") + "-1", Started: day(tc.day), Ended: day(tc.day).Add(time.Minute), Status: tc.status, Only: tc.only}
		if tc.id != "" {
			r.ID = tc.id
		}
		value, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Put(t.Context(), "runs/"+r.ID+".json", value, ""); err != nil {
			t.Fatal(err)
		}
		j.Notify.Success = tc.success
		if err := serve.Tell(t.Context(), run.Request{Job: j, State: st, Only: tc.only}, r, tc.err); err != nil {
			t.Fatal(err)
		}
		switch {
		case tc.want == "" && len(got) > 0:
			t.Errorf("day %d: told %s", tc.day, got[0].Event)
		case tc.want != "" && (len(got) != 1 || got[0].Event != tc.want || !got[0].Fresh.Equal(day(tc.fresh))):
			t.Errorf("day %d: told %+v, want %s with the data of day %d", tc.day, got, tc.want, tc.fresh)
		}
	}
}
