package aws

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kitamae/kitamae/fault"
)

// historyPrefix is where the bucket keeps every template that was applied, by the time of its first application.
const historyPrefix = "deployments/"

// Past is one template that was applied.
type Past struct {
	Key        string
	Deployment string
	At         time.Time
}

// remember keeps the deployed template, unless it is there already: going back writes no new history.
func (c *Cloud) remember(ctx context.Context, template []byte) error {
	out, err := c.deployed(ctx)
	if err != nil {
		return err
	}
	past, err := c.History(ctx)
	if err != nil {
		return err
	}
	for _, p := range past {
		if p.Deployment == out["Deployment"] {
			return nil
		}
	}
	key := historyPrefix + time.Now().UTC().Format("20060102T150405.000Z") + "-" + out["Deployment"] + ".yml"
	_, err = c.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(c.Bucket()), Key: &key, Body: bytes.NewReader(template)})
	return c.fault("remember the deployment", err)
}

// History lists what was deployed, oldest first.
func (c *Cloud) History(ctx context.Context) ([]Past, error) {
	var out []Past
	pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: aws.String(c.Bucket()), Prefix: aws.String(historyPrefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, c.fault("list the deployments", err)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			when, id, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(key, historyPrefix), ".yml"), "-")
			at, err := time.Parse("20060102T150405.000Z", when)
			if err != nil {
				continue // not ours
			}
			out = append(out, Past{Key: key, Deployment: id, At: at})
		}
	}
	return out, nil
}

// Previous is the template before the one that is deployed: image, config and all.
func (c *Cloud) Previous(ctx context.Context) (Past, []byte, error) {
	now, err := c.deployed(ctx)
	if err != nil {
		return Past{}, nil, err
	}
	past, err := c.History(ctx)
	if err != nil {
		return Past{}, nil, err
	}
	for i, p := range past {
		if p.Deployment == now["Deployment"] && i > 0 {
			got, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(c.Bucket()), Key: &past[i-1].Key})
			if err != nil {
				return Past{}, nil, c.fault("read the deployment", err)
			}
			defer func() { _ = got.Body.Close() }()
			template, err := io.ReadAll(got.Body)
			return past[i-1], template, c.fault("read the deployment", err)
		}
	}
	return Past{}, nil, fault.New(fault.Config, "deploy.no_previous", "`kitamae deploy status` lists what was deployed", "there is no deployment before %s", now["Deployment"])
}
