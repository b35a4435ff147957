package bigquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/fault"
)

// stateView is where cursors stand, one for the dataset: a view whose text holds them as JSON. A view, since it can be changed under the
// condition that nobody else has (its ETag), has room (a description has 16,384 characters, a label 63), costs nothing to read, and people can
// SELECT from it. Two changes a run are enough for all of its tables: BigQuery takes five changes of one table in ten seconds.
const stateView = metaPrefix + "state"

// mostState bounds the view's text; BigQuery's limit is 256 Ki characters.
const mostState = 250_000

// standing is where one table stands. The protocol that changes it is at [dest.intend].
type standing struct {
	Table string `json:"table"`
	// Reached is the cursor of the rows that are there, Run who published the latest of them.
	Reached string `json:"reached,omitempty"`
	Run     string `json:"run,omitempty"`
	// Made is when the table was made, in milliseconds since 1970: of one that somebody dropped and made again nothing is known.
	Made int64 `json:"made,omitempty"`
	// Jobs is how many jobs were named for the table: no name is used twice.
	Jobs int `json:"jobs"`
	// Next is a commit under way.
	Next *intent `json:"next,omitempty"`
}

// intent is a commit that is about to change a table by one job.
type intent struct {
	Run     string `json:"run"`
	Reached string `json:"reached,omitempty"`
	// Content sums up the rows.
	Content string    `json:"content"`
	Job     string    `json:"job"` // its ID without the attempt
	At      time.Time `json:"at"`
}

// standings is the state of a dataset and the version it was read in, "" while there is none.
type standings struct {
	Tables []*standing
	etag   string
}

func (s *standings) of(table string) *standing {
	for _, t := range s.Tables {
		if t.Table == table {
			return t
		}
	}
	return nil
}

func (s *standings) forget(table string) {
	s.Tables = slices.DeleteFunc(s.Tables, func(t *standing) bool { return t.Table == table })
}

const (
	listBegin = "JSON_QUERY_ARRAY(r'''"
	listEnd   = "''')"
)

// inView is a list as it stands in a view's text. JSON in it has no apostrophes, so that it never ends the literal.
func inView(list any) (string, error) {
	data, err := json.Marshal(list)
	return listBegin + strings.ReplaceAll(string(data), "'", `\u0027`) + listEnd, err
}

// fromView reads what [inView] wrote.
func fromView(query string, list any) error {
	_, rest, begun := strings.Cut(query, listBegin)
	at := strings.LastIndex(rest, listEnd)
	if !begun || at < 0 {
		return errors.New("no state is in it")
	}
	return json.Unmarshal([]byte(rest[:at]), list)
}

// query is the view's text.
func (s *standings) query() (string, error) {
	text, err := inView(s.Tables)
	if err != nil {
		return "", err
	}
	if len(text) > mostState {
		return "", fault.New(fault.Config, "bigquery.state_size", "spread tables with cursors over several datasets", "the cursors of dataset %d tables take %d bytes", len(s.Tables), len(text))
	}
	return "-- kitamae's own: where the cursor of each table stands. It is written by each run; changed by hand, rows would be lost or come twice.\n" +
		"SELECT JSON_VALUE(t, '$.table') AS `table`, JSON_VALUE(t, '$.reached') AS reached, JSON_VALUE(t, '$.run') AS run, JSON_VALUE(t, '$.next.run') AS publishing\n" +
		"FROM UNNEST(" + text + ") AS t", nil
}

// state reads where the dataset's tables stand.
func (d *dest) state(ctx context.Context) (*standings, error) {
	var md *bq.TableMetadata
	err := d.again(ctx, func() (err error) { md, err = d.table(ctx, stateView); return err })
	if err != nil || md == nil {
		return &standings{}, err
	}
	var tables []*standing
	if err := fromView(md.ViewQuery, &tables); err != nil {
		return nil, fault.Wrap(fault.Destination, "bigquery.state", "put the view's text back as it was (time travel has none: ask your audit log), or drop it and publish its tables anew with mode: replace",
			fmt.Errorf("the cursors in view %s can't be read: %w", stateView, err))
	}
	return &standings{Tables: tables, etag: md.ETag}, nil
}

// planned is the state for plans: of many tables, one after the other. A commit reads it anew.
func (d *dest) planned(ctx context.Context) (*standings, error) {
	d.mu.Lock()
	s := d.standings
	d.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := d.state(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.standings = s
	return s, nil
}

// change reads the state, lets edit change it and writes it back, again if somebody else did meanwhile. edit returns false for nothing to write.
func (d *dest) change(ctx context.Context, edit func(s *standings) (bool, error)) (*standings, error) {
	d.mu.Lock()
	d.standings = nil
	d.mu.Unlock()
	for n := 1; ; n++ {
		s, err := d.state(ctx)
		if err != nil {
			return nil, err
		}
		write, err := edit(s)
		if err != nil || !write {
			return s, err
		}
		err = d.write(ctx, s)
		code := status(err)
		// An answer that was lost is one more reason to look: what was written is then found there.
		if code != http.StatusPreconditionFailed && code != http.StatusConflict && !passes(err) || n == mostTries {
			return s, classify(err, "write the cursors into view "+stateView)
		}
		if err := d.wait(ctx, n); err != nil {
			return nil, err
		}
	}
}

func (d *dest) write(ctx context.Context, s *standings) error {
	query, err := s.query()
	if err != nil {
		return err
	}
	if s.etag == "" {
		return d.ds.Table(stateView).Create(ctx, &bq.TableMetadata{ViewQuery: query, Description: "Where the cursors of kitamae's tables stand. Its text is kitamae's own."})
	}
	_, err = d.ds.Table(stateView).Update(ctx, bq.TableMetadataToUpdate{ViewQuery: query, UseLegacySQL: false}, s.etag)
	return err
}
