package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/internal/bqfront"
	"github.com/kitamae/kitamae/internal/servertest"
)

// bigQueryProject is the project that the emulator's datasets are in.
const bigQueryProject = "kitamae-chaos"

// bigQuery is a dataset of its own, whose tables wait in a bucket at the address that servertest.GCS returned.
func bigQuery(address string) place {
	return place{
		name: "bigquery",
		config: func(t testing.TB) string {
			t.Helper()
			emulator, dataset := servertest.BigQuery(t), servertest.FreshName(t)
			front := bqfront.New(t, emulator, nil)
			front.Bucket(os.Getenv("STORAGE_EMULATOR_HOST"))
			client, err := bigQueryClient(context.Background(), emulator)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Dataset(dataset).Create(context.Background(), &bq.DatasetMetadata{Location: "US"}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := errors.Join(client.Dataset(dataset).DeleteWithContents(context.Background()), client.Close()); err != nil {
					t.Errorf("drop dataset: %v", err)
				}
			})
			return fmt.Sprintf(`destination: {bigquery: {project: %s, dataset: %s, bucket: "%s/%[2]s", endpoint: "%[4]s"}}`, bigQueryProject, dataset, address, front.URL)
		},
		read: readBigQuery,
	}
}

func bigQueryClient(ctx context.Context, endpoint string) (*bq.Client, error) {
	return bq.NewClient(ctx, bigQueryProject, option.WithEndpoint(endpoint+"/bigquery/v2/"), option.WithoutAuthentication())
}

var bigQuerySpec = regexp.MustCompile(`dataset: (\w+),.*endpoint: "([^"]+)"`)

// readBigQuery lists the tables' rows, each as one text.
func readBigQuery(ctx context.Context, _, config string, tables map[string][]column) (contents, error) {
	spec := bigQuerySpec.FindStringSubmatch(config)
	client, err := bigQueryClient(ctx, spec[2])
	if err != nil {
		return nil, err
	}
	defer client.Close()
	out := contents{}
	for table, columns := range tables {
		var lines []string
		for it := client.Dataset(spec[1]).Table(table).Read(ctx); ; {
			row := map[string]bq.Value{}
			err := it.Next(&row)
			if errors.Is(err, iterator.Done) {
				break
			}
			var answer *googleapi.Error
			if errors.As(err, &answer) && answer.Code == 404 && len(out) == 0 { // nothing is published yet
				return nil, fs.ErrNotExist
			}
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", table, err)
			}
			var parts []string
			for _, c := range columns {
				parts = append(parts, bigQueryText(row[c.Name]))
			}
			lines = append(lines, strings.Join(parts, "|"))
		}
		out[table] = checksum(lines)
	}
	return out, nil
}

// bigQueryText is a value as [rowText] says it.
func bigQueryText(v bq.Value) string {
	switch v := v.(type) {
	case nil:
		return "∅"
	case *big.Rat:
		return v.FloatString(4) // of a decimal(18,4), the only one there is
	case civil.DateTime:
		return fmt.Sprintf("%s %02d:%02d:%02d.%06d", v.Date, v.Time.Hour, v.Time.Minute, v.Time.Second, v.Time.Nanosecond/1000)
	}
	return fmt.Sprint(v)
}
