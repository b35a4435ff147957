// Package bigquery publishes tables into a BigQuery dataset by free load jobs, one per table, and answers SQL from
// it. How rows become files is package format's and DuckDB's matter; this one owns the spool they wait in, the jobs that
// load them and what a reader sees meanwhile.
package bigquery

import (
	"context"
	"net/url"
	"strings"

	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/googleauth"
)

// Spec configures a dataset to publish into.
type Spec struct {
	// Project is the Google Cloud project that holds the dataset and runs the jobs.
	Project string `yaml:"project" json:"project" conf:"required"`
	// Dataset is the dataset's name. It must be there: `kitamae init --gcp` prints the command that makes it.
	Dataset string `yaml:"dataset" json:"dataset" conf:"required"`
	// Location is where the dataset is, such as asia-northeast1. Left out, the dataset is asked; given, a run
	// stops before its first job when the dataset is elsewhere.
	Location string `yaml:"location" json:"location"`
	// Bucket is a Cloud Storage bucket in the dataset's location, or a folder of one: gs://acme-kitamae/warehouse. Tables of more than
	// 64 MiB, compressed, wait there until one job loads all their files, and all tables of a run that `deploy.shards` share. Left out, each table is
	// merged into one file and uploaded with its job.
	Bucket string `yaml:"bucket" json:"bucket"`
	// Auth says who asks Google. Left out, it is the application default credentials.
	Auth googleauth.Spec `yaml:"auth" json:"auth"`
	// Endpoint is the address of an emulator, as in http://127.0.0.1:9050, for BigQuery and Cloud Storage
	// both. It is spoken to without credentials unless auth names some.
	Endpoint string `yaml:"endpoint" json:"endpoint"`
}

var defaults = Spec{}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:     "bigquery",
	Summary:  "a BigQuery dataset",
	Caps:     connector.Caps{Durable: true, FoldsCase: true, Years9999: true, Warehouse: true, Append: true, Merge: true, Overwrite: true, Layout: true, Shared: true},
	Dest:     connector.NewEnd[Spec, connector.Destination](defaults, openDest, place),
	Register: connector.NewEnd[Spec, connector.Register](defaults, openRegister, place),
	Schemes:  []string{"bigquery"},
	FromURL:  fromURL,
}

func place(s Spec) string { return s.Project + "." + s.Dataset }

// NotShared says that shards need a bucket: what one machine spools no other one can load.
func (s Spec) NotShared() string {
	if s.Bucket == "" {
		return "the rows of all shards have to wait where each of them can load them: set destination.bigquery.bucket to gs://bucket"
	}
	return ""
}

// fromURL understands bigquery://project/dataset, with ?location= and ?bucket=.
func fromURL(u *url.URL) (any, error) {
	spec := Spec{Project: u.Host, Dataset: strings.Trim(u.Path, "/"), Location: u.Query().Get("location"), Bucket: u.Query().Get("bucket")}
	if spec.Project == "" || spec.Dataset == "" || strings.Contains(spec.Dataset, "/") {
		return nil, fault.New(fault.Config, "bigquery.url", "write bigquery://project/dataset", "the URL names no project and dataset")
	}
	return &spec, nil
}

// openDest checks the spec. It reaches nothing: the first call that needs BigQuery does.
func openDest(_ context.Context, spec Spec, env connector.Env) (connector.Destination, error) {
	d, err := checkedDest(spec, env)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func checkedDest(spec Spec, env connector.Env) (*dest, error) {
	if spec.Project == "" || spec.Dataset == "" {
		return nil, fault.New(fault.Config, "bigquery.dataset", "set destination.bigquery.project and .dataset", "no project or no dataset is named")
	}
	spec.Bucket = strings.Trim(strings.TrimPrefix(spec.Bucket, "gs://"), "/")
	if name, _ := spec.folder(); strings.ContainsAny(name, ":? ") || strings.ContainsAny(spec.Bucket, "*?#\n") {
		return nil, fault.New(fault.Config, "bigquery.bucket", "write destination.bigquery.bucket as gs://bucket or gs://bucket/folder", "%q is no bucket of Cloud Storage", spec.Bucket)
	}
	return newDest(spec, env), nil
}

// scopes are what tokens are asked for.
func scopes() []string {
	return []string{"https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/devstorage.read_write"}
}

// clientOptions say how Google's clients for BigQuery and Cloud Storage find credentials.
func clientOptions(ctx context.Context, spec Spec) ([]option.ClientOption, error) {
	return googleauth.Options(ctx, spec.Auth, spec.Endpoint != "", scopes()...)
}
