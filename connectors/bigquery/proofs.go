package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// The rows of a proof before and after its table is replaced.
const (
	before = `{"id":1,"v":"a"}` + "\n" + `{"id":2,"v":"b"}` + "\n"
	after  = `{"id":3,"v":"c"}` + "\n"
)

func rowsSchema() bq.Schema {
	return bq.Schema{
		{Name: "id", Type: bq.IntegerFieldType, Description: "the key"},
		{Name: "v", Type: bq.StringFieldType, Description: "a value"},
	}
}

// load loads NDJSON by a job and waits for it.
func (s *scratch) load(ctx context.Context, table, rows string, schema bq.Schema, how func(*bq.Loader)) error {
	src := bq.NewReaderSource(strings.NewReader(rows))
	src.SourceFormat, src.Schema = bq.JSON, schema
	l := s.dataset.Table(table).LoaderFrom(src)
	l.WriteDisposition, l.Location = bq.WriteEmpty, s.location
	if how != nil {
		how(l)
	}
	job, err := l.Run(ctx)
	if err != nil {
		return err
	}
	status, err := job.Wait(ctx)
	if err != nil {
		return err
	}
	return status.Err()
}

// replace loads as a run replaces a table.
func replace(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncateData }

// query runs one statement and returns its first row and what it was billed.
func (s *scratch) query(ctx context.Context, sql string) (row []bq.Value, billed int64, err error) {
	q := s.client.Query(sql)
	q.DefaultProjectID, q.DefaultDatasetID, q.DisableQueryCache, q.Location = s.dataset.ProjectID, s.dataset.DatasetID, true, s.location
	job, err := q.Run(ctx)
	if err != nil {
		return nil, 0, err
	}
	status, err := job.Wait(ctx)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		return nil, 0, err
	}
	if stats, ok := status.Statistics.Details.(*bq.QueryStatistics); ok {
		billed = stats.TotalBytesBilled
	}
	it, err := job.Read(ctx)
	if err != nil {
		return nil, billed, err
	}
	if err := it.Next(&row); err != nil && !errors.Is(err, iterator.Done) {
		return nil, billed, err
	}
	return row, billed, nil
}

// made creates a described table with two rows.
func (s *scratch) made(ctx context.Context, table string) error {
	err := s.dataset.Table(table).Create(ctx, &bq.TableMetadata{Schema: rowsSchema(), Description: "described", Labels: map[string]string{"kept": "yes"}})
	if err != nil {
		return err
	}
	return s.load(ctx, table, before, rowsSchema(), nil)
}

// described says what of a table's own was lost.
func (s *scratch) described(ctx context.Context, table string) error {
	meta, err := s.dataset.Table(table).Metadata(ctx)
	switch {
	case err != nil:
		return err
	case meta.NumRows != 1:
		return otherwise("%d rows after replacing two by one", meta.NumRows)
	case meta.Description != "described" || meta.Labels["kept"] != "yes":
		return otherwise("description %q and labels %v", meta.Description, meta.Labels)
	case meta.Schema[0].Description != "the key" || meta.Schema[1].Description != "a value":
		return otherwise("column descriptions %q, %q", meta.Schema[0].Description, meta.Schema[1].Description)
	}
	return nil
}

func (s *scratch) keepsDescriptions(ctx context.Context) (string, error) {
	if err := s.made(ctx, "replaced"); err != nil {
		return "", err
	}
	if err := s.load(ctx, "replaced", after, rowsSchema(), replace); err != nil {
		return "", err
	}
	return "of table and columns, and labels", s.described(ctx, "replaced")
}

func (s *scratch) addsColumns(ctx context.Context) (string, error) {
	if err := s.made(ctx, "widened"); err != nil {
		return "", err
	}
	schema := append(rowsSchema(), &bq.FieldSchema{Name: "more", Type: bq.DateFieldType})
	err := s.load(ctx, "widened", `{"id":3,"v":"c","more":"2026-01-02"}`+"\n", schema, func(l *bq.Loader) {
		replace(l)
		l.SchemaUpdateOptions = []string{"ALLOW_FIELD_ADDITION"}
	})
	if err != nil {
		return "", err
	}
	row, _, err := s.query(ctx, "SELECT CAST(more AS STRING) FROM widened")
	if err == nil && (len(row) != 1 || row[0] != "2026-01-02") {
		err = otherwise("the new column holds %v", row)
	}
	if err != nil {
		return "", err
	}
	return "in the job that replaces the rows", s.described(ctx, "widened")
}

func (s *scratch) keepsViews(ctx context.Context) (string, error) {
	if err := s.made(ctx, "viewed"); err != nil {
		return "", err
	}
	view := fmt.Sprintf("SELECT sum(id) AS n FROM `%s.%s.viewed`", s.dataset.ProjectID, s.dataset.DatasetID)
	if err := s.dataset.Table("seen").Create(ctx, &bq.TableMetadata{ViewQuery: view}); err != nil {
		return "", err
	}
	if err := s.load(ctx, "viewed", after, rowsSchema(), replace); err != nil {
		return "", err
	}
	row, _, err := s.query(ctx, "SELECT n FROM seen")
	if err == nil && (len(row) != 1 || row[0] != int64(3)) {
		err = otherwise("the view answers %v", row)
	}
	return "they answer from the new rows", err
}

func (s *scratch) keepsPolicies(ctx context.Context) (string, error) {
	if err := s.made(ctx, "guarded"); err != nil {
		return "", err
	}
	if _, _, err := s.query(ctx, "CREATE ROW ACCESS POLICY nobody ON guarded GRANT TO ('domain:example.com') FILTER USING (id < 0)"); err != nil {
		return "", err
	}
	if err := s.load(ctx, "guarded", after, rowsSchema(), replace); err != nil {
		return "", err
	}
	row, _, err := s.query(ctx, "SELECT count(*) FROM guarded")
	if err == nil && (len(row) != 1 || row[0] != int64(0)) {
		err = otherwise("the policy let %v rows be seen", row)
	}
	return "whom they kept out they keep out", err
}

func (s *scratch) writesAnew(ctx context.Context) (string, error) {
	if err := s.made(ctx, "rewritten"); err != nil {
		return "", err
	}
	schema := rowsSchema()
	schema[1].Type = bq.DateFieldType
	if err := s.load(ctx, "rewritten", `{"id":3,"v":"2026-01-02"}`+"\n", schema, func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate }); err != nil {
		return "", err
	}
	meta, err := s.dataset.Table("rewritten").Metadata(ctx)
	switch {
	case err != nil:
		return "", err
	case meta.NumRows != 1 || meta.Schema[1].Type != bq.DateFieldType:
		return "", otherwise("%d rows, and v is %s", meta.NumRows, meta.Schema[1].Type)
	case meta.Schema[0].Description != "the key" || meta.Schema[1].Description != "a value":
		return "", otherwise("column descriptions %q, %q", meta.Schema[0].Description, meta.Schema[1].Description)
	}
	return "text became DATE, with the descriptions that the job brings", nil
}

func (s *scratch) overwritesPartition(ctx context.Context) (string, error) {
	schema := bq.Schema{{Name: "day", Type: bq.DateFieldType}, {Name: "id", Type: bq.IntegerFieldType}}
	err := s.dataset.Table("days").Create(ctx, &bq.TableMetadata{Schema: schema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "day"}})
	if err != nil {
		return "", err
	}
	if err := s.load(ctx, "days", `{"day":"2026-01-01","id":1}`+"\n"+`{"day":"2026-01-02","id":2}`+"\n", schema, nil); err != nil {
		return "", err
	}
	if err := s.load(ctx, "days$20260102", `{"day":"2026-01-02","id":20}`+"\n", schema, func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate }); err != nil {
		return "", err
	}
	row, _, err := s.query(ctx, "SELECT string_agg(CAST(id AS STRING) ORDER BY id) FROM days")
	if err == nil && (len(row) != 1 || row[0] != "1,20") {
		err = otherwise("the table holds %v", row)
	}
	return "touches its own partition only", err
}

func (s *scratch) widensFree(ctx context.Context) (string, error) {
	if err := s.made(ctx, "altered"); err != nil {
		return "", err
	}
	_, billed, err := s.query(ctx, "ALTER TABLE altered ALTER COLUMN id SET DATA TYPE NUMERIC")
	if err == nil && billed != 0 {
		err = otherwise("it billed %d bytes", billed)
	}
	return "INT64 became NUMERIC and nothing was billed", err
}

func (s *scratch) namesColumns(ctx context.Context) (string, error) {
	schema := bq.Schema{{Name: "氏名", Type: bq.StringFieldType}, {Name: "備考 #1", Type: bq.StringFieldType}}
	if err := s.load(ctx, "named", `{"氏名":"山田","備考 #1":"x"}`+"\n", schema, nil); err != nil {
		return "", err
	}
	row, _, err := s.query(ctx, "SELECT `氏名` FROM named")
	if err == nil && (len(row) != 1 || row[0] != "山田") {
		err = otherwise("the column holds %v", row)
	}
	return "are kept as they are, with spaces and signs", err
}

func (s *scratch) refusesJobTwice(ctx context.Context) (string, error) {
	with := func(l *bq.Loader) { l.JobID = s.dataset.DatasetID + "_twice" }
	if err := s.load(ctx, "once", after, rowsSchema(), with); err != nil {
		return "", err
	}
	err := s.load(ctx, "once", after, rowsSchema(), func(l *bq.Loader) { with(l); l.WriteDisposition = bq.WriteAppend })
	return "is refused, and loads nothing twice", duplicate(err)
}

func (s *scratch) refusesFailedJob(ctx context.Context) (string, error) {
	with := func(l *bq.Loader) { l.JobID = s.dataset.DatasetID + "_failed" }
	if err := s.load(ctx, "failed", `{"id":"no number"}`+"\n", rowsSchema(), with); err == nil {
		return "", otherwise("text was loaded into an INT64 column")
	}
	err := s.load(ctx, "failed", after, rowsSchema(), with)
	return "is not taken again", duplicate(err)
}

// duplicate is nil where err says that a job of that ID is there.
func duplicate(err error) error {
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Code == http.StatusConflict {
		return nil
	}
	return otherwise("the second job of one ID came to %v, not to a 409", err)
}

func (s *scratch) limitsBytes(ctx context.Context) (string, error) {
	if err := s.made(ctx, "limited"); err != nil {
		return "", err
	}
	q := s.client.Query("SELECT sum(id) FROM limited")
	q.DefaultProjectID, q.DefaultDatasetID, q.DisableQueryCache, q.Location = s.dataset.ProjectID, s.dataset.DatasetID, true, s.location
	q.MaxBytesBilled = 1
	job, err := q.Run(ctx)
	if err == nil {
		var status *bq.JobStatus
		if status, err = job.Wait(ctx); err == nil {
			err = status.Err()
		}
	}
	if err == nil {
		return "", otherwise("a query beyond maximumBytesBilled ran")
	}
	if !slices.ContainsFunc([]string{"bytesBilledLimitExceeded", "limit for bytes billed"}, func(s string) bool { return strings.Contains(err.Error(), s) }) {
		return "", err
	}
	return "a query beyond maximumBytesBilled does not run", nil
}
