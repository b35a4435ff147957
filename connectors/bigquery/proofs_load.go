package bigquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/storage/v1"

	"github.com/kitamae/kitamae/codec"
)

// zipped is text as gzip.
func zipped(text string) (*bytes.Buffer, error) {
	var b bytes.Buffer
	w, err := codec.Gzip.Writer(&b)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	return &b, err
}

// loadZipped loads NDJSON as runs do: zipped, in one column v beside a number n.
func (s *scratch) loadZipped(ctx context.Context, table string, typ bq.FieldType, values ...string) error {
	var rows strings.Builder
	for n, v := range values {
		fmt.Fprintf(&rows, `{"n":"%d","v":%s}`+"\n", n, v)
	}
	body, err := zipped(rows.String())
	if err != nil {
		return err
	}
	return s.load(ctx, table, body.String(), bq.Schema{{Name: "n", Type: bq.IntegerFieldType}, {Name: "v", Type: typ}}, nil)
}

// ask compares the one text that a query answers.
func (s *scratch) ask(ctx context.Context, sql, want string) error {
	row, _, err := s.query(ctx, sql)
	if err == nil && (len(row) != 1 || row[0] != want) {
		err = otherwise("%s answers %v, not %s", sql, row, want)
	}
	return err
}

func (s *scratch) holdsJSON(ctx context.Context) (string, error) {
	values := []string{`{"b":[1,2.5,null,"x"],"a":{"日本":true}}`, `"text"`, `18446744073709551615`, `-9223372036854775808`, `0.30000000000000004`, `1e300`, `"null"`, `null`}
	if err := s.loadZipped(ctx, "documents", bq.JSONFieldType, values...); err != nil {
		return "", err
	}
	return "numbers with all their digits, texts as texts, null as NULL", s.ask(ctx,
		"SELECT string_agg(IFNULL(TO_JSON_STRING(v), '-'), ' ' ORDER BY n) FROM documents",
		`{"a":{"日本":true},"b":[1,2.5,null,"x"]} "text" 18446744073709551615 -9223372036854775808 0.30000000000000004 1e+300 "null" NULL`)
}

func (s *scratch) holdsGeography(ctx context.Context) (string, error) {
	values := []string{`"POINT(139.6917 35.689487)"`, `"LINESTRING(1 2, -3.5 4.25)"`, `"POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))"`}
	if err := s.loadZipped(ctx, "places", bq.GeographyFieldType, values...); err != nil {
		return "", err
	}
	return "points with all their digits, a polygon's inside where it was", s.ask(ctx,
		"SELECT CONCAT(string_agg(ST_ASTEXT(v), ' ' ORDER BY n LIMIT 2), ' ', CAST(LOGICAL_OR(ST_CONTAINS(v, ST_GEOGPOINT(1, 1)) AND ST_AREA(v) < 1e12) AS STRING)) FROM places",
		"POINT(139.6917 35.689487) LINESTRING(1 2, -3.5 4.25) true")
}

func (s *scratch) holdsFloats(ctx context.Context) (string, error) {
	if err := s.loadZipped(ctx, "floats", bq.FloatFieldType, `"NaN"`, `"Infinity"`, `"-Infinity"`, `0.1`, `5e-324`); err != nil {
		return "", err
	}
	return "also those that are no numbers", s.ask(ctx, "SELECT string_agg(CAST(v AS STRING), ' ' ORDER BY n) FROM floats", "NaN inf -inf 0.1 5e-324")
}

func (s *scratch) holdsLongDecimals(ctx context.Context) (string, error) {
	long := strings.Repeat("9", 38) + "." + strings.Repeat("9", 38)
	if err := s.loadZipped(ctx, "decimals", bq.BigNumericFieldType, `"`+long+`"`, `"-`+long+`"`); err != nil {
		return "", err
	}
	return "BIGNUMERIC takes 76 digits from text", s.ask(ctx, "SELECT string_agg(CAST(v AS STRING), ' ' ORDER BY n) FROM decimals", long+" -"+long)
}

func (s *scratch) relaxesFree(ctx context.Context) (string, error) {
	schema := rowsSchema()
	schema[1].Required = true
	if err := s.load(ctx, "relaxed", before, schema, nil); err != nil {
		return "", err
	}
	_, billed, err := s.query(ctx, "ALTER TABLE relaxed ALTER COLUMN v DROP NOT NULL")
	if err == nil && billed != 0 {
		err = otherwise("it billed %d bytes", billed)
	}
	if err == nil {
		err = s.load(ctx, "relaxed", `{"id":3}`+"\n", rowsSchema(), replace)
	}
	return "and the next load may leave the column out", err
}

// throughBucket loads two objects of the configured bucket by one job.
func (d *dest) throughBucket(s *scratch, ctx context.Context) (string, error) {
	service, err := d.storage(ctx)
	if err != nil {
		return "", err
	}
	bucket, prefix := d.spec.folder()
	folder := prefix + stageFolder + s.dataset.DatasetID + "/"
	var uris []string
	for i, rows := range []string{before, after} {
		body, err := zipped(rows)
		if err != nil {
			return "", err
		}
		name := fmt.Sprintf("%s%d%s", folder, i, ndjsonExt)
		if _, err := service.Objects.Insert(bucket, &storage.Object{Name: name}).Media(body).Context(ctx).Do(); err != nil {
			return "", err
		}
		uris = append(uris, "gs://"+bucket+"/"+name)
	}
	src := bq.NewGCSReference(uris...)
	src.SourceFormat, src.Schema = bq.JSON, rowsSchema()
	l := s.dataset.Table("staged").LoaderFrom(src)
	l.Location = s.location
	job, err := l.Run(ctx)
	if err == nil {
		var status *bq.JobStatus
		if status, err = job.Wait(ctx); err == nil {
			err = status.Err()
		}
	}
	if err == nil {
		err = s.ask(ctx, "SELECT string_agg(v, '' ORDER BY id) FROM staged", "abc")
	}
	return "gs://" + bucket + ": two objects by one job", errors.Join(err, d.removeObjects(context.WithoutCancel(ctx), folder, everything))
}
