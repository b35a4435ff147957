package bigquery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	api "google.golang.org/api/bigquery/v2"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

const (
	// mostPartitions is how many partitions one job may touch.
	mostPartitions = 4000
	// mostInTable is how many a table may have.
	mostInTable = 10_000
)

// Partitions are numbered by their unit since 1970, in UTC. BigQuery has two more: for null, and for what lies before 1960 or
// after 2159.
const (
	nullPartition    = -1 << 62
	outsidePartition = -1 << 61
)

var (
	firstPartitioned = time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	afterPartitioned = time.Date(2160, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// numberer returns the number of each value's partition.
func numberer(col arrow.Array, unit string) (func(i int) int64, error) {
	var microsOf func(i int) int64
	switch a := col.(type) {
	case *array.Date32:
		microsOf = func(i int) int64 { return int64(a.Value(i)) * dayMicros }
	case *array.Timestamp:
		microsOf = func(i int) int64 { return int64(a.Value(i)) }
	default:
		return nil, fmt.Errorf("a column of %s has no partitions", col.DataType())
	}
	return func(i int) int64 {
		if col.IsNull(i) {
			return nullPartition
		}
		at := microsOf(i)
		if at < firstPartitioned || at >= afterPartitioned {
			return outsidePartition
		}
		switch unit {
		case "hour":
			return floorDiv(at, dayMicros/24)
		case "day":
			return floorDiv(at, dayMicros)
		}
		t := time.UnixMicro(at).UTC()
		if unit == "month" {
			return int64(t.Year()-1970)*12 + int64(t.Month()) - 1
		}
		return int64(t.Year() - 1970)
	}, nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// partitionID is how BigQuery calls a partition.
func partitionID(number int64, unit string) string {
	switch unit {
	case "hour":
		return time.Unix(number*3600, 0).UTC().Format("2006010215")
	case "day":
		return time.Unix(number*86_400, 0).UTC().Format("20060102")
	case "month":
		return time.Date(1970, time.Month(1+number), 1, 0, 0, 0, 0, time.UTC).Format("200601")
	}
	return time.Date(1970+int(number), 1, 1, 0, 0, 0, 0, time.UTC).Format("2006")
}

// partitions counts the staged rows by their partitions' numbers; nil for a table that is not divided by a column of time that comes.
func (d *dest) partitions(ctx context.Context, st *stage, shards []shard) (map[int64]int64, error) {
	l := st.Plan.Layout
	at := column(&st.Plan, l.Partition)
	if _, ok := unitTypes[l.Unit]; !ok || at < 0 {
		return nil, nil
	}
	counts := map[int64]int64{}
	for rec, err := range d.readShards(ctx, st.Plan.Schema(), shards, []int{at}) {
		if err != nil {
			return nil, err
		}
		number, err := numberer(rec.Column(0), l.Unit)
		if err != nil {
			return nil, err
		}
		for i := range int(rec.NumRows()) {
			counts[number(i)]++
		}
	}
	return counts, nil
}

// touching notes the partitions that rows fall in.
func touching(plan connector.TablePlan, rows batch.Stream, parts map[int64]bool) batch.Stream {
	at := column(&plan, plan.Layout.Partition)
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err == nil && at >= 0 {
				var number func(i int) int64
				if number, err = numberer(rec.Column(at), plan.Layout.Unit); err == nil {
					for i := range int(rec.NumRows()) {
						parts[number(i)] = true
					}
				}
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// tooMany refuses what a load job would fail for, once everything is uploaded.
func tooMany(plan connector.TablePlan, counts map[int64]int64) error {
	if len(counts) <= mostPartitions {
		return nil
	}
	numbers := slices.Sorted(maps.Keys(counts))
	return fault.New(fault.Config, "bigquery.too_many_partitions", "divide it by a longer unit, as in partition: "+plan.Layout.Partition+"/month; a table that is there has to be renamed or dropped first",
		"table %s: its rows fall in %d partitions by the %s, up to %s; one job may touch %d", plan.Name, len(counts), plan.Layout.Unit,
		partitionID(numbers[len(numbers)-1], plan.Layout.Unit), mostPartitions)
}

// crowded refuses rows that would give a table that keeps its rows more partitions than it may have. BigQuery says how many are there, though a little
// late; only where they might be too many is each of those that the rows fall in asked whether it is one of them.
func (d *dest) crowded(ctx context.Context, p *publication) error {
	plan := p.table.Plan
	if p.live == nil || plan.Mode == connector.Replace || len(p.parts) == 0 {
		return nil
	}
	service, err := d.plain(ctx)
	if err != nil {
		return err
	}
	var md *api.Table
	err = d.again(ctx, func() (err error) {
		md, err = service.Tables.Get(d.spec.Project, d.spec.Dataset, plan.Name).Fields("numPartitions").Context(ctx).Do()
		return err
	})
	if err != nil {
		return classify(err, "count the partitions of table "+plan.Name)
	}
	there, fresh := int(md.NumPartitions), 0
	if there+len(p.parts) <= mostInTable {
		return nil
	}
	for number := range p.parts {
		if number == nullPartition || number == outsidePartition {
			continue // BigQuery does not say whether it counts them
		}
		empty, err := d.empty(ctx, plan.Name+"$"+partitionID(number, plan.Layout.Unit))
		if err != nil {
			return err
		}
		if empty {
			fresh++
		}
		if there+fresh > mostInTable {
			return fault.New(fault.Config, "bigquery.too_many_partitions",
				"let old partitions go with expire_days, or divide the table by a longer unit, as in partition: "+plan.Layout.Partition+"/month, under another name",
				"table %s has %d partitions, and rows come for more that are not there: BigQuery lets a table have %d", plan.Name, there, mostInTable)
		}
	}
	return nil
}

// empty says whether a partition has no rows, by reading one, which is free.
func (d *dest) empty(ctx context.Context, into string) (bool, error) {
	it := d.ds.Table(into).Read(ctx)
	it.PageInfo().MaxSize = 1
	var row []bq.Value
	err := it.Next(&row)
	if errors.Is(err, iterator.Done) {
		return it.TotalRows == 0, nil
	}
	return false, classify(err, "read "+into)
}
