package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
)

func daySchema() bq.Schema {
	return bq.Schema{{Name: "day", Type: bq.DateFieldType}, {Name: "id", Type: bq.IntegerFieldType}}
}

const twoDays = `{"day":"2026-01-01","id":1}` + "\n" + `{"day":"2026-01-02","id":2}` + "\n"

// days makes a table divided by the day, with two rows.
func (s *scratch) days(ctx context.Context, table string) error {
	err := s.dataset.Table(table).Create(ctx, &bq.TableMetadata{Schema: daySchema(), TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "day"}})
	if err != nil {
		return err
	}
	return s.load(ctx, table, twoDays, daySchema(), nil)
}

func (s *scratch) readsEmptyPartition(ctx context.Context) (string, error) {
	if err := s.days(ctx, "read"); err != nil {
		return "", err
	}
	for partition, want := range map[string]int{"20260102": 1, "20260103": 0} {
		it := s.dataset.Table("read$" + partition).Read(ctx)
		it.PageInfo().MaxSize = 1
		var row []bq.Value
		err := it.Next(&row)
		if err != nil && !errors.Is(err, iterator.Done) {
			return "", err
		}
		if err == nil != (want > 0) || it.TotalRows != uint64(want) {
			return "", otherwise("partition %s has %d rows, want %d", partition, it.TotalRows, want)
		}
	}
	return "and one of another has its own only", nil
}

func (s *scratch) appendsFewer(ctx context.Context) (string, error) {
	if err := s.made(ctx, "fewer"); err != nil {
		return "", err
	}
	if err := s.load(ctx, "fewer", `{"id":3}`+"\n", rowsSchema()[:1], func(l *bq.Loader) { l.WriteDisposition = bq.WriteAppend }); err != nil {
		return "", err
	}
	row, _, err := s.query(ctx, "SELECT count(*), countif(v IS NULL) FROM fewer")
	if err == nil && (len(row) != 2 || row[0] != int64(3) || row[1] != int64(1)) {
		err = otherwise("rows and nulls are %v", row)
	}
	return "the others are null", err
}

func (s *scratch) changesViewOnce(ctx context.Context) (string, error) {
	view := s.dataset.Table("conditional")
	if err := view.Create(ctx, &bq.TableMetadata{ViewQuery: "SELECT 1 AS n"}); err != nil {
		return "", err
	}
	md, err := view.Metadata(ctx)
	if err != nil {
		return "", err
	}
	change := func(n int, etag string) (*bq.TableMetadata, error) {
		return view.Update(ctx, bq.TableMetadataToUpdate{ViewQuery: fmt.Sprintf("SELECT %d AS n", n), UseLegacySQL: false, ExpirationTime: time.Now().Add(leaseExpires)}, etag)
	}
	second, err := change(2, md.ETag)
	if err != nil {
		return "", err
	}
	if _, err := change(3, md.ETag); status(err) != http.StatusPreconditionFailed {
		return "", otherwise("a second change under the first ETag came to %v, not to a 412", err)
	}
	if _, err := change(3, second.ETag); err != nil {
		return "", otherwise("a change under the ETag that the one before told came to %v", err)
	}
	return "the second one is refused", nil
}

func (s *scratch) takesID(ctx context.Context) (string, error) {
	id := s.dataset.DatasetID + "_taken"
	q := s.client.Query("SELECT 1")
	q.JobID, q.Location = id, s.location
	if _, err := q.Run(ctx); err != nil {
		return "", err
	}
	return "the load is refused", duplicate(s.load(ctx, "taken", after, rowsSchema(), func(l *bq.Loader) { l.JobID = id }))
}

func (s *scratch) altersLayout(ctx context.Context) (string, error) {
	if err := s.days(ctx, "laid"); err != nil {
		return "", err
	}
	table := s.dataset.Table("laid")
	if _, err := table.Update(ctx, bq.TableMetadataToUpdate{RequirePartitionFilter: true}, ""); err != nil {
		return "", err
	}
	md, err := table.Metadata(ctx)
	if err != nil {
		return "", err
	}
	tp := *md.TimePartitioning
	tp.Expiration = 40_000 * 24 * time.Hour
	if _, err := table.Update(ctx, bq.TableMetadataToUpdate{Clustering: &bq.Clustering{Fields: []string{"id"}}, TimePartitioning: &tp}, ""); err != nil {
		return "", err
	}
	md, err = table.Metadata(ctx)
	if err == nil && (md.TimePartitioning.Expiration != tp.Expiration || md.Clustering == nil || !md.RequirePartitionFilter) {
		err = otherwise("partitioning %+v, clustering %+v, filter required: %v", md.TimePartitioning, md.Clustering, md.RequirePartitionFilter)
	}
	return "and the rows are there", err
}

func (s *scratch) keepsPartitioning(ctx context.Context) (string, error) {
	if err := s.days(ctx, "divided"); err != nil {
		return "", err
	}
	err := s.load(ctx, "divided", twoDays, daySchema(), func(l *bq.Loader) {
		l.WriteDisposition, l.TimePartitioning = bq.WriteTruncate, &bq.TimePartitioning{Type: bq.MonthPartitioningType, Field: "day"}
	})
	if err == nil {
		return "", otherwise("a load divided the table by the month")
	}
	return "is refused", nil
}

func (s *scratch) mergesWithin(ctx context.Context) (string, error) {
	if err := s.days(ctx, "merged"); err != nil {
		return "", err
	}
	if _, err := s.dataset.Table("merged").Update(ctx, bq.TableMetadataToUpdate{RequirePartitionFilter: true}, ""); err != nil {
		return "", err
	}
	if err := s.load(ctx, "delta", `{"day":"2026-01-02","id":2}`+"\n", daySchema(), nil); err != nil {
		return "", err
	}
	read := map[string]int64{}
	for name, filter := range map[string]string{
		"bounds":    "T.day BETWEEN DATE '2026-01-02' AND DATE '2026-01-02'",
		"no bounds": "(T.day >= DATE '1960-01-01' OR T.day < DATE '1960-01-01' OR T.day IS NULL)",
	} {
		q := s.client.Query("MERGE merged AS T USING delta AS S ON T.day = S.day AND T.id = S.id AND " + filter +
			" WHEN MATCHED THEN UPDATE SET id = S.id WHEN NOT MATCHED THEN INSERT (day, id) VALUES (S.day, S.id)")
		q.DefaultProjectID, q.DefaultDatasetID, q.Location, q.DryRun = s.dataset.ProjectID, s.dataset.DatasetID, s.location, true
		job, err := q.Run(ctx)
		if err != nil {
			return "", fmt.Errorf("with %s: %w", name, err)
		}
		read[name] = job.LastStatus().Statistics.TotalBytesProcessed
	}
	if read["bounds"] >= read["no bounds"] {
		return "", otherwise("a MERGE with bounds reads %d bytes, one without %d", read["bounds"], read["no bounds"])
	}
	return fmt.Sprintf("%d bytes with bounds, %d without", read["bounds"], read["no bounds"]), nil
}
