package bigquery

import (
	"fmt"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// lifetime is after how long what is made in a dataset goes away by itself, as the dataset's owner has set it, or Google where a project
// has no billing (the sandbox: 60 days); 0 for never.
type lifetime struct{ tables, partitions time.Duration }

func lifetimeOf(md *bq.DatasetMetadata) lifetime {
	return lifetime{md.DefaultTableExpiration, md.DefaultPartitionExpiration}
}

// note says what becomes of a planned table that nobody meant to become of it, "" for nothing. Of a table in partitions the partitions'
// time counts, and its own expire_days before that.
func (l lifetime) note(p *connector.TablePlan, live *bq.TableMetadata) string {
	_, divided := unitTypes[p.Layout.Unit]
	switch {
	case live != nil && !live.ExpirationTime.IsZero():
		return fmt.Sprintf("the table goes away by itself on %s: `ALTER TABLE … SET OPTIONS (expiration_timestamp = NULL)` keeps it", live.ExpirationTime.UTC().Format(time.DateOnly))
	case live != nil || divided && p.Layout.ExpireDays > 0:
		return ""
	case divided && l.partitions > 0:
		return fmt.Sprintf("partitions older than %s go away by themselves, as the dataset has a default partition expiration; expire_days sets another one", days(l.partitions))
	case l.tables > 0:
		return fmt.Sprintf("the table goes away by itself %s after it was made, as the dataset has a default table expiration", days(l.tables))
	}
	return ""
}

// fault warns of a dataset whose tables or partitions go away by themselves, with what keeps them.
func (l lifetime) fault(spec Spec) error {
	what, options := "", ""
	switch {
	case l.tables > 0 && l.partitions > 0:
		what, options = fmt.Sprintf("tables %s after they were made and partitions older than %s", days(l.tables), days(l.partitions)), "default_table_expiration_days = NULL, default_partition_expiration_days = NULL"
	case l.tables > 0:
		what, options = fmt.Sprintf("tables %s after they were made, also those of cursors and runs", days(l.tables)), "default_table_expiration_days = NULL"
	case l.partitions > 0:
		what, options = "partitions older than "+days(l.partitions), "default_partition_expiration_days = NULL"
	default:
		return nil
	}
	return fault.New(fault.Config, "bigquery.expiry",
		fmt.Sprintf("ALTER SCHEMA %s SET OPTIONS (%s); a project without billing has to get it first; of tables that are there, each has its own", quote(spec.Project, spec.Dataset), options),
		"dataset %s removes %s", place(spec), what)
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
