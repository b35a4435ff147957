package bigquery

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// TestLifetime: a plan says which tables or partitions go away by themselves.
func TestLifetime(t *testing.T) {
	both := lifetime{60 * 24 * time.Hour, 30 * 24 * time.Hour}
	byDay := connector.Layout{Partition: "at", Unit: "day"}
	for _, tc := range []struct {
		name   string
		life   lifetime
		layout connector.Layout
		live   *bq.TableMetadata
		want   string
	}{
		{"never", lifetime{}, byDay, nil, ""},
		{"a new table", both, connector.Layout{}, nil, "the table goes away by itself 60 days after it was made"},
		{"new partitions", both, byDay, nil, "partitions older than 30 days go away"},
		{"new partitions of a dataset that removes tables", lifetime{tables: time.Hour}, byDay, nil, "by itself 1h0m0s after it was made"},
		{"partitions that are meant to go", both, connector.Layout{Partition: "at", Unit: "day", ExpireDays: 7}, nil, ""},
		{"a table that is there", both, connector.Layout{}, &bq.TableMetadata{}, ""},
		{"a table that is there and goes", lifetime{}, connector.Layout{}, &bq.TableMetadata{ExpirationTime: time.Unix(1_800_000_000, 0)}, "on 2027-01-15"},
	} {
		got := tc.life.note(&connector.TablePlan{Layout: tc.layout}, tc.live)
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestCheckLifetime: doctor's line of the dataset warns, with the statement that helps, and the other links are tried all the same.
func TestCheckLifetime(t *testing.T) {
	for _, tc := range []struct{ defaults, said, hint string }{
		{`,"defaultTableExpirationMs":"5184000000"`, "removes tables 60 days after they were made", "ALTER SCHEMA `acme-data`.`app` SET OPTIONS (default_table_expiration_days = NULL)"},
		{`,"defaultPartitionExpirationMs":"5184000000"`, "removes partitions older than 60 days", "(default_partition_expiration_days = NULL)"},
		{`,"defaultTableExpirationMs":"3600000","defaultPartitionExpirationMs":"5184000000"`, "tables 1h0m0s after they were made and partitions older than 60 days", "(default_table_expiration_days = NULL, default_partition_expiration_days = NULL)"},
	} {
		server := httptest.NewServer(&google{t: t, objects: map[string]string{}, defaults: tc.defaults})
		defer server.Close()
		d := newDest(Spec{Project: "acme-data", Dataset: "app", Endpoint: server.URL}, connector.Env{})
		defer d.Close()
		checks := d.Check(t.Context())
		if len(checks) != 3 {
			t.Fatalf("%+v", checks)
		}
		c := checks[1]
		if !c.Advice || !fault.HasCode(c.Fault, "bigquery.expiry") || !strings.Contains(c.Fault.Error(), tc.said) || !strings.Contains(fault.From(c.Fault).Hint, tc.hint) {
			t.Errorf("%+v, hint %q", c, fault.From(c.Fault).Hint)
		}
		if _, err := d.dataset(t.Context()); err != nil || d.life == (lifetime{}) {
			t.Errorf("%+v, %v", d.life, err)
		}
	}
}
