package cli

import (
	"fmt"
	"net/url"

	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/gcpsetup"
)

// printGCP prints the commands that prepare Google Cloud for the destination of the URL, or of the config without one.
func (a *app) printGCP(args []string, role string) error {
	spec, err := a.bigQuery(args)
	if err != nil {
		return err
	}
	text, err := gcpsetup.Script(gcpsetup.Setup{Project: spec.Project, Dataset: spec.Dataset, Location: spec.Location, Bucket: spec.Bucket, Role: role})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Out, text)
	return err
}

func (a *app) bigQuery(args []string) (*bigquery.Spec, error) {
	var spec any
	if len(args) > 0 {
		u, err := url.Parse(args[0])
		if err != nil || u.Scheme != bigquery.Connector.Schemes[0] {
			return nil, fault.New(fault.Config, "init.url", "write it as bigquery://project/dataset?location=asia-northeast1&bucket=name", "%q is no BigQuery dataset's URL", args[0])
		}
		if spec, err = bigquery.Connector.FromURL(u); err != nil {
			return nil, err
		}
	} else {
		j, err := a.load()
		if err != nil {
			return nil, err
		}
		spec = j.Destination.Spec
	}
	s, ok := spec.(*bigquery.Spec)
	if !ok {
		return nil, fault.New(fault.Config, "init.gcp", "give the dataset: kitamae init --gcp bigquery://project/dataset?location=asia-northeast1", "the destination of %s is not BigQuery", a.file)
	}
	return s, nil
}
