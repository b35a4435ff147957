package bigquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// How a table's rows lie: divided by a column of time, kept together by up to four columns, gone after some days. A new table is made so by its
// first load. Of a table that is there BigQuery changes clustering and expiry, for free and in place, but never what its rows are divided
// by; doing it all the same would mean to drop the table with its policies, grants and history, so that the plan refuses. What the
// config does not mention is left as people made it.

// maxCluster is BigQuery's limit of clustering columns.
const maxCluster = 4

var unitTypes = map[string]bq.TimePartitioningType{
	"hour": bq.HourPartitioningType, "day": bq.DayPartitioningType, "month": bq.MonthPartitioningType, "year": bq.YearPartitioningType,
}

// otherPartitioning stands for a unit in the layout of a table that is not divided by a column of time: people made it, kitamae can't.
const otherPartitioning = "other"

// clusterable are the types that rows can be kept together by.
var clusterable = []string{"INT64", "STRING", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "NUMERIC", "BIGNUMERIC", "GEOGRAPHY"}

func plannedColumn(p *connector.TablePlan, from string) (connector.ColumnPlan, bool) {
	i := slices.IndexFunc(p.Columns, func(c connector.ColumnPlan) bool { return c.From == from })
	if i < 0 {
		return connector.ColumnPlan{}, false
	}
	return p.Columns[i], true
}

// column finds a planned column by its name there, -1 for none.
func column(p *connector.TablePlan, name string) int {
	return slices.IndexFunc(p.Columns, func(c connector.ColumnPlan) bool { return strings.EqualFold(c.Name, name) })
}

// arrange sets the plan's layout: what is wanted, as far as the live table, nil for none, allows.
func arrange(p *connector.TablePlan, want connector.Layout, live *bq.TableMetadata) error {
	l := connector.Layout{}
	if want.Partition != "" {
		c, ok := plannedColumn(p, want.Partition)
		if byTime := c.Native == "DATETIME" || c.Native == "TIMESTAMP"; !ok || !byTime && (c.Native != "DATE" || want.Unit == "hour") {
			return fault.New(fault.Config, "bigquery.partition", "divide it by a date, datetime or timestamp column, as it arrives in BigQuery",
				"table %s: %s is %s, and can't be divided by the %s", p.Name, want.Partition, c.Native, want.Unit)
		}
		l.Partition, l.Unit, l.ExpireDays = c.Name, want.Unit, want.ExpireDays
	}
	if len(want.Cluster) > maxCluster {
		return fault.New(fault.Config, "bigquery.cluster", fmt.Sprintf("name %d columns at most", maxCluster), "table %s: %d columns to cluster by", p.Name, len(want.Cluster))
	}
	for _, name := range want.Cluster {
		c, ok := plannedColumn(p, name)
		if !ok || !slices.Contains(clusterable, c.Native) {
			return fault.New(fault.Config, "bigquery.cluster", "cluster by columns of "+strings.Join(clusterable, ", "),
				"table %s: %s is %s, which BigQuery can't cluster by", p.Name, name, c.Native)
		}
		l.Cluster = append(l.Cluster, c.Name)
	}
	p.Layout = l
	if live == nil {
		return nil
	}
	return fitLayout(p, layoutOf(live), live.Schema)
}

// fitLayout compares the plan's layout with the table's.
func fitLayout(p *connector.TablePlan, have connector.Layout, live bq.Schema) error {
	l := &p.Layout
	if l.Partition != "" && (!strings.EqualFold(l.Partition, have.Partition) || l.Unit != have.Unit) {
		return fault.New(fault.Config, "bigquery.partitioning",
			"publish it under another name (tables.….name), or rename or drop the table that is there: a dropped one can be had back for seven days",
			"table %s is %s and is to be %s: BigQuery can't change that of a table", p.Name, divided(have), divided(*l))
	}
	if l.Partition == "" || l.ExpireDays == 0 {
		l.Partition, l.Unit, l.ExpireDays = have.Partition, have.Unit, have.ExpireDays
	}
	if l.ExpireDays != have.ExpireDays {
		was := "never"
		if have.ExpireDays > 0 {
			was = fmt.Sprintf("after %d days", have.ExpireDays)
		}
		p.Changes = append(p.Changes, fmt.Sprintf("partitions go away after %d days, was %s: older ones go at once", l.ExpireDays, was))
	}
	if l.ExpireDays > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("partitions older than %d days go away by themselves, also those that a run has just loaded", l.ExpireDays))
	}
	if f := byName(live)[strings.ToLower(have.Partition)]; p.Mode == connector.Replace && f != nil {
		if at := column(p, have.Partition); at < 0 || apiType(p.Columns[at].Native) != f.Type {
			return fault.New(fault.Config, "bigquery.partitioning", "take the column as it was, or rename or drop the table that is there: a dropped one can be had back for seven days",
				"table %s is %s, a column of %s that no longer comes so", p.Name, divided(have), standard(f.Type))
		}
	}
	if len(l.Cluster) == 0 {
		for _, name := range have.Cluster {
			if p.Mode != connector.Replace || column(p, name) >= 0 {
				l.Cluster = append(l.Cluster, name)
			}
		}
	}
	if !slices.EqualFunc(l.Cluster, have.Cluster, strings.EqualFold) {
		p.Changes = append(p.Changes, fmt.Sprintf("%s, was %s", clustered(*l), clustered(have)))
	}
	return nil
}

func divided(l connector.Layout) string {
	switch {
	case l.Partition == "":
		return "not partitioned"
	case l.Unit == otherPartitioning:
		return "partitioned by " + l.Partition
	}
	return fmt.Sprintf("partitioned by %s/%s", l.Partition, l.Unit)
}

func clustered(l connector.Layout) string {
	if len(l.Cluster) == 0 {
		return "not clustered"
	}
	return "clustered by " + strings.Join(l.Cluster, ", ")
}

// layoutOf is how a table's rows lie.
func layoutOf(md *bq.TableMetadata) connector.Layout {
	var l connector.Layout
	if md.Clustering != nil {
		l.Cluster = slices.Clone(md.Clustering.Fields)
	}
	switch t := md.TimePartitioning; {
	case md.RangePartitioning != nil:
		l.Partition, l.Unit = md.RangePartitioning.Field, otherPartitioning
	case t == nil:
	case t.Field == "":
		l.Partition, l.Unit = "_PARTITIONTIME", otherPartitioning
	default:
		l.Partition, l.Unit = t.Field, strings.ToLower(string(t.Type))
	}
	if t := md.TimePartitioning; t != nil {
		l.ExpireDays = int(t.Expiration / (24 * time.Hour))
	}
	return l
}

// timePartitioning is the plan's layout as a job takes it, nil for none.
func timePartitioning(l connector.Layout) *bq.TimePartitioning {
	unit, ok := unitTypes[l.Unit]
	if !ok {
		return nil
	}
	return &bq.TimePartitioning{Type: unit, Field: l.Partition, Expiration: time.Duration(l.ExpireDays) * 24 * time.Hour}
}

func clustering(l connector.Layout) *bq.Clustering {
	if len(l.Cluster) == 0 {
		return nil
	}
	return &bq.Clustering{Fields: l.Cluster}
}

// laid gives a job the layout of the table that it makes, or makes anew.
func laid(l *bq.LoadConfig, plan connector.TablePlan, live *bq.TableMetadata) {
	l.TimePartitioning, l.Clustering = timePartitioning(plan.Layout), clustering(plan.Layout)
	if live != nil && plan.Layout.Unit == otherPartitioning {
		l.TimePartitioning, l.RangePartitioning = live.TimePartitioning, live.RangePartitioning
	}
}

// rearrange gives a table that is there the plan's clustering and expiry, before the rows that are to lie so.
func (d *dest) rearrange(ctx context.Context, plan connector.TablePlan, live *bq.TableMetadata) error {
	have := layoutOf(live)
	var up bq.TableMetadataToUpdate
	changed := false
	if !slices.EqualFunc(plan.Layout.Cluster, have.Cluster, strings.EqualFold) {
		up.Clustering, changed = &bq.Clustering{Fields: plan.Layout.Cluster}, true
	}
	if plan.Layout.ExpireDays != have.ExpireDays && live.TimePartitioning != nil {
		t := *live.TimePartitioning // with a filter that people require
		t.Expiration = time.Duration(plan.Layout.ExpireDays) * 24 * time.Hour
		up.TimePartitioning, changed = &t, true
	}
	if !changed {
		return nil
	}
	return classify(d.again(ctx, func() error {
		_, err := d.ds.Table(plan.Name).Update(ctx, up, "")
		return err
	}), "arrange table "+plan.Name)
}
