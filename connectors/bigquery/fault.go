package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kitamae/kitamae/fault"
)

// passing are the reasons that BigQuery documents as worth another try.
var passing = []string{
	"backendError", "internalError", "jobBackendError", "jobInternalError", "rateLimitExceeded", "jobRateLimitExceeded", "tableUnavailable",
}

// passingPhrases stand in messages of failed jobs whose reason says less.
var passingPhrases = []string{"could not serialize access", "concurrent update", "Retrying the job may solve the problem"}

// status is the HTTP status of an API error, 0 for anything else.
func status(err error) int {
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func reason(err error) string {
	var e *googleapi.Error
	if errors.As(err, &e) && len(e.Errors) > 0 {
		return e.Errors[0].Reason
	}
	var b *bq.Error
	if errors.As(err, &b) {
		return b.Reason
	}
	return ""
}

// passes says whether the same request may succeed a little later: BigQuery says so, or the answer was lost on the way.
func passes(err error) bool {
	var f *fault.Error
	var n net.Error
	var u *url.Error
	switch code := status(err); {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &f):
		return false
	case code == 429 || code >= 500, slices.Contains(passing, reason(err)):
		return true
	case code != 0:
		return false
	}
	said := slices.ContainsFunc(passingPhrases, func(p string) bool { return strings.Contains(err.Error(), p) })
	return said || errors.As(err, &n) || errors.As(err, &u) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "EOF")
}

// classify makes a fault of what an API call said. Faults and cancellations pass as they are.
func classify(err error, doing string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch code := status(err); {
	case passes(err):
		return fault.Again(fault.Wrap(fault.Destination, "bigquery.unavailable", "run again later: BigQuery did not answer as it should", err))
	case code == 401:
		return fault.Wrap(fault.Config, "bigquery.credentials", "look at the credentials that destination.bigquery names", err)
	case code == 403 && strings.Contains(reason(err), "quota"):
		return fault.Wrap(fault.Destination, "bigquery.quota", "wait, or ask for a higher quota of this project", err)
	case code == 403:
		return fault.Wrap(fault.Destination, "bigquery.permission",
			"grant roles/bigquery.dataEditor on the dataset and roles/bigquery.jobUser on the project", err)
	}
	return fault.Wrap(fault.Destination, "bigquery.refused", "", err)
}

// mostErrors bounds how many of a failed job's errors are told.
const mostErrors = 5

// failed makes a fault of a job that ended with errors: its own list, and where to look.
func failed(table, id, location, project string, st *bq.JobStatus) error {
	var said []string
	for _, e := range st.Errors {
		line := e.Message
		if e.Location != "" {
			line = e.Location + ": " + line
		}
		if !slices.Contains(said, line) && len(said) < mostErrors {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		said = append(said, st.Err().Error())
	}
	link := fmt.Sprintf("https://console.cloud.google.com/bigquery?project=%s&j=bq:%s:%s&page=queryresults", project, location, id)
	return fault.New(fault.Destination, "bigquery.job_failed", "look at "+link, "table %s: job %s ended with: %s", table, id, strings.Join(said, "; "))
}
