// Package awsauth finds AWS credentials the way AWS's own programs do: variables, profiles, and the roles of ECS,
// EKS, Lambda and EC2. What is asked with them is the caller's matter.
package awsauth

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"

	"github.com/kitamae/kitamae/fault"
)

// metadataTimeout bounds asking an EC2 instance for its region: elsewhere nobody answers.
const metadataTimeout = 2 * time.Second

// Config is the surroundings' configuration, for another region than theirs where one is given. Its credentials are cached and
// refreshed before they expire.
func Config(ctx context.Context, region string) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{})) // what goes wrong is an error, told once
	if err != nil {
		return aws.Config{}, fault.Wrap(fault.Config, "aws.config", "check the AWS_… variables and ~/.aws/config", fmt.Errorf("AWS configuration: %w", err))
	}
	if region != "" {
		cfg.Region = region
	}
	if cfg.Region == "" {
		ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
		defer cancel()
		if found, err := imds.NewFromConfig(cfg).GetRegion(ctx, nil); err == nil {
			cfg.Region = found.Region
		}
	}
	if cfg.Region == "" {
		return aws.Config{}, fault.New(fault.Config, "aws.region", "set AWS_REGION, as in ap-northeast-1", "no AWS region is set")
	}
	return cfg, nil
}

// Credentials are those of cfg, as a fault when there are none.
func Credentials(ctx context.Context, cfg aws.Config) (aws.Credentials, error) {
	if cfg.Credentials == nil {
		return aws.Credentials{}, fault.New(fault.Config, "aws.credentials", NoCredentials, "there are no AWS credentials")
	}
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = fault.Wrap(fault.Config, "aws.credentials", NoCredentials, fmt.Errorf("AWS credentials: %w", err))
	}
	return c, err
}

// NoCredentials is what to do without credentials.
const NoCredentials = "give the task, pod, function or instance a role; elsewhere set AWS_PROFILE or AWS_ACCESS_KEY_ID"
