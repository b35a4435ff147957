package bigquery

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

var _ connector.Prover = (*dest)(nil)

// proof is one thing that a run relies on. try returns what was seen.
type proof struct {
	link string
	try  func(s *scratch, ctx context.Context) (string, error)
}

// proofs are in the order of the guide's list, docs/guides/bigquery-checks.md. Each has tables of its own.
var proofs = []proof{
	{"replace keeps descriptions", (*scratch).keepsDescriptions},
	{"replace adds columns", (*scratch).addsColumns},
	{"replace keeps views", (*scratch).keepsViews},
	{"replace keeps row policies", (*scratch).keepsPolicies},
	{"replace with another type", (*scratch).writesAnew},
	{"partition overwrite", (*scratch).overwritesPartition},
	{"partition without rows", (*scratch).readsEmptyPartition},
	{"partition tells its rows", (*scratch).tellsPartition},
	{"values come back", (*scratch).returnsValues},
	{"append with fewer columns", (*scratch).appendsFewer},
	{"conditional view", (*scratch).changesViewOnce},
	{"empty job takes an ID", (*scratch).takesID},
	{"layout is altered", (*scratch).altersLayout},
	{"another partitioning", (*scratch).keepsPartitioning},
	{"merge with bounds", (*scratch).mergesWithin},
	{"widening is free", (*scratch).widensFree},
	{"Japanese column names", (*scratch).namesColumns},
	{"job ID twice", (*scratch).refusesJobTwice},
	{"failed job ID", (*scratch).refusesFailedJob},
	{"byte limit", (*scratch).limitsBytes},
	{"JSON values", (*scratch).holdsJSON},
	{"GEOGRAPHY values", (*scratch).holdsGeography},
	{"FLOAT64 values", (*scratch).holdsFloats},
	{"long decimals", (*scratch).holdsLongDecimals},
	{"relaxing is free", (*scratch).relaxesFree},
}

// scratch is a dataset that lives as long as the proofs.
type scratch struct {
	client   *bq.Client
	dataset  *bq.Dataset
	location string
}

// scratchLife is when BigQuery itself removes the tables of a scratch dataset whose owner died; an hour is the least it takes.
const scratchLife = time.Hour

// Prove makes a scratch dataset beside the configured one, tries there what only BigQuery itself can show, and removes it. It loads a few
// rows; what its queries are billed is within the ten megabytes that are the least for each.
func (d *dest) Prove(ctx context.Context) []connector.Check {
	found, location := d.checkDataset(ctx)
	if found.Fault != nil && !found.Advice {
		return []connector.Check{found}
	}
	client, err := d.connect(ctx)
	if err != nil {
		return []connector.Check{{Link: "login", Fault: err}}
	}
	var b [4]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails
	name := "kitamae_checks_" + hex.EncodeToString(b[:])
	s := &scratch{client: client, dataset: client.Dataset(name), location: location}
	making := connector.Check{Link: "scratch dataset", Found: d.spec.Project + "." + name + " in " + location}
	making.Fault = refused(s.dataset.Create(ctx, &bq.DatasetMetadata{Location: location, DefaultTableExpiration: scratchLife, Description: "kitamae doctor --bigquery-checks; it can go"}),
		"make dataset "+name, "grant roles/bigquery.user on the project to whoever runs the checks")
	checks := []connector.Check{making}
	if making.Fault != nil {
		return checks
	}
	tried := proofs
	if d.spec.Bucket != "" {
		tried = append(slices.Clip(tried), proof{"load through the bucket", d.throughBucket})
	}
	for _, p := range tried {
		c := connector.Check{Link: p.link}
		c.Found, c.Fault = p.try(s, ctx)
		c.Fault = unproved(c.Fault)
		checks = append(checks, c)
	}
	removing := connector.Check{Link: "scratch dataset", Found: "removed"}
	// also when somebody interrupted the checks
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	removing.Fault = refused(s.dataset.DeleteWithContents(ctx), "remove dataset "+name, "bq rm -r -f --dataset "+d.spec.Project+":"+name)
	return append(checks, removing)
}

// unproved makes a fault of a proof that failed.
func unproved(err error) error {
	return fault.Wrap(fault.Destination, "bigquery.unproved", "report it to kitamae with this line, and leave that feature unused until then", err)
}

// otherwise is a proof's error where BigQuery did something else than a run relies on.
func otherwise(format string, args ...any) error {
	return fmt.Errorf("BigQuery does otherwise: "+format, args...)
}
