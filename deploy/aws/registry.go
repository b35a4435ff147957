package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kitamae/kitamae/deploy/image"
)

// keepImages is how many images stay to go back to.
const keepImages = `{"rules":[{"rulePriority":1,"description":"the thirty newest","selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":30},"action":{"type":"expire"}}]}`

// Address is the image's address by digest, whether or not it has been pushed.
func (c *Cloud) Address(m *image.Image) string { return c.repository() + "@" + m.Digest }

func (c *Cloud) repository() string {
	host := c.Registry
	if host == "" {
		host = fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com", c.Account, c.Region)
		if strings.HasPrefix(c.Region, "cn-") {
			host += ".cn"
		}
	}
	return host + "/" + c.Name
}

// Push makes the repository if it is missing and uploads what of the image it does not have.
func (c *Cloud) Push(ctx context.Context, m *image.Image) error {
	_, err := c.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RepositoryName: &c.Name, ImageTagMutability: ecrtypes.ImageTagMutabilityImmutable,
		ImageScanningConfiguration: &ecrtypes.ImageScanningConfiguration{ScanOnPush: true},
		Tags:                       []ecrtypes.Tag{{Key: aws.String("kitamae"), Value: &c.Name}},
	})
	var there *ecrtypes.RepositoryAlreadyExistsException
	if err != nil && !errors.As(err, &there) {
		return c.fault("make the image's repository", err)
	}
	if _, err := c.ecr.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: &c.Name, LifecyclePolicyText: aws.String(keepImages)}); err != nil {
		return c.fault("bound the image's repository", err)
	}
	found, err := c.ecr.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: &c.Name, ImageIds: []ecrtypes.ImageIdentifier{{ImageDigest: &m.Digest}}})
	if err == nil && len(found.Images) > 0 {
		return nil
	}
	keys, err := c.login(ctx)
	if err != nil {
		return err
	}
	tag := "d" + strings.TrimPrefix(m.Digest, "sha256:")[:16]
	_, err = m.Push(ctx, c.repository()+":"+tag, keys)
	return err
}

// login is a token for the registry, good for twelve hours.
func (c *Cloud) login(ctx context.Context) (authn.Keychain, error) {
	out, err := c.ecr.GetAuthorizationToken(ctx, nil)
	if err != nil {
		return nil, c.fault("log in to the image registry", err)
	}
	for _, data := range out.AuthorizationData {
		if pair, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken)); err == nil {
			user, password, _ := strings.Cut(string(pair), ":")
			return keychain{authn.FromConfig(authn.AuthConfig{Username: user, Password: password})}, nil
		}
	}
	return nil, c.fault("log in to the image registry", errors.New("no token came"))
}

// keychain gives one answer to every registry: only one is asked.
type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

func (c *Cloud) removeRepository(ctx context.Context) error {
	_, err := c.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &c.Name, Force: true})
	var gone *ecrtypes.RepositoryNotFoundException
	if errors.As(err, &gone) {
		return nil
	}
	return c.fault("remove the image's repository", err)
}
