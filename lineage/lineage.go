// Package lineage tells an OpenLineage server which tables a run read and which it wrote. Where the server is, OpenLineage's own
// environment variables say; without them nothing is sent.
package lineage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

const (
	schemaURL    = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	producer     = "https://github.com/kitamae/kitamae"
	errorFacet   = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
	outputFacet  = "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"
	endpointPath = "/api/v1/lineage"
)

// within bounds the sending: a run must not wait for its chronicler.
const within = 15 * time.Second

// Client is a server that events go to.
type Client struct {
	url, key, namespace string
}

// FromEnv is the client that OPENLINEAGE_URL, OPENLINEAGE_ENDPOINT, OPENLINEAGE_API_KEY and OPENLINEAGE_NAMESPACE describe, or nil without
// an URL or where OPENLINEAGE_DISABLED is true.
func FromEnv(lookup func(string) (string, bool)) *Client {
	get := func(name, otherwise string) string {
		if v, ok := lookup(name); ok && v != "" {
			return v
		}
		return otherwise
	}
	url := get("OPENLINEAGE_URL", "")
	if url == "" || strings.EqualFold(get("OPENLINEAGE_DISABLED", ""), "true") {
		return nil
	}
	endpoint := "/" + strings.TrimPrefix(get("OPENLINEAGE_ENDPOINT", endpointPath), "/")
	return &Client{url: strings.TrimSuffix(url, "/") + endpoint, key: get("OPENLINEAGE_API_KEY", ""), namespace: get("OPENLINEAGE_NAMESPACE", "kitamae")}
}

type event struct {
	Type      string    `json:"eventType"`
	Time      time.Time `json:"eventTime"`
	Run       runPart   `json:"run"`
	Job       named     `json:"job"`
	Inputs    []dataset `json:"inputs"`
	Outputs   []dataset `json:"outputs"`
	Producer  string    `json:"producer"`
	SchemaURL string    `json:"schemaURL"`
}

type runPart struct {
	ID     string         `json:"runId"`
	Facets map[string]any `json:"facets,omitempty"`
}

type named struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type dataset struct {
	named
	OutputFacets map[string]any `json:"outputFacets,omitempty"`
}

// Send tells of a run that has ended: that it started, then how it ended, with the tables it published. A run before that died, and could
// not tell of itself, is told of first.
func (c *Client) Send(ctx context.Context, config string, r *run.Report) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer stop()
	if r.Died != nil {
		died := *r.Died
		died.Ended = r.Started // when that became known
		if err := c.send(ctx, config, &died); err != nil {
			return err
		}
	}
	return c.send(ctx, config, r)
}

func (c *Client) send(ctx context.Context, config string, r *run.Report) error {
	// a run's ID is no UUID; made from it, the same run has the same one whoever tells of it
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(producer+"/"+config+"/"+r.ID)).String()
	e := event{Type: "START", Time: r.Started, Run: runPart{ID: id}, Job: named{c.namespace, config}, Producer: producer, SchemaURL: schemaURL,
		Inputs: []dataset{}, Outputs: []dataset{}}
	if err := c.post(ctx, e); err != nil {
		return err
	}
	for _, t := range r.Tables {
		if t.Status != run.StatusPublished {
			continue
		}
		e.Inputs = append(e.Inputs, dataset{named: named{r.Source, t.Source}})
		out := dataset{named: named{r.Destination, t.Table}}
		if t.Evidence != nil {
			out.OutputFacets = map[string]any{"outputStatistics": map[string]any{
				"_producer": producer, "_schemaURL": outputFacet, "rowCount": t.Evidence.Rows,
			}}
		}
		e.Outputs = append(e.Outputs, out)
	}
	e.Type, e.Time = "COMPLETE", r.Ended
	switch {
	case r.Status == run.StatusInterrupted:
		e.Type = "ABORT"
	case r.Status != run.StatusPublished:
		e.Type = "FAIL"
	}
	if r.Error != nil {
		e.Run.Facets = map[string]any{"errorMessage": map[string]any{
			"_producer": producer, "_schemaURL": errorFacet, "message": r.Error.Message, "programmingLanguage": "Go",
		}}
	}
	return c.post(ctx, e)
}

func (c *Client) post(ctx context.Context, e event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	broken := func(err error) error {
		return fault.Wrap(fault.Config, "lineage.send", "check OPENLINEAGE_URL and the server there", fmt.Errorf("OpenLineage: %w", err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return broken(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return broken(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return broken(fmt.Errorf("the server answered %s", resp.Status))
	}
	return nil
}
