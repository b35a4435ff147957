package secrets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kitamae/kitamae/awsauth"
	"github.com/kitamae/kitamae/fault"
)

// parameter is secret:aws-ssm:/path, decrypted.
func parameter(ctx context.Context, name string) (string, error) {
	cfg, err := awsauth.Config(ctx, "")
	if err != nil {
		return "", err
	}
	out, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", explainAWS(err, "read the SSM parameter "+name, "allow ssm:GetParameter on it, and kms:Decrypt where it has a key of its own")
	}
	return aws.ToString(out.Parameter.Value), nil
}

// awsSecret is secret:aws-sm:name or secret:aws-sm:name#field. The name may be an ARN.
func awsSecret(ctx context.Context, ref string) (string, error) {
	name, key, _ := strings.Cut(ref, "#")
	cfg, err := awsauth.Config(ctx, "")
	if err != nil {
		return "", err
	}
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return "", explainAWS(err, "read the secret "+name+" from Secrets Manager", "allow secretsmanager:GetSecretValue on it, and kms:Decrypt where it has a key of its own")
	}
	text := aws.ToString(out.SecretString)
	if out.SecretString == nil {
		text = string(out.SecretBinary)
	}
	return field(text, key, "aws-sm")
}

// explainAWS makes a fault of what an AWS service answered. hint says what to do when access is denied.
func explainAWS(err error, doing, hint string) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	wrapped := fmt.Errorf("%s: %w", doing, brief(err))
	var sent *smithyhttp.RequestSendError
	if errors.As(err, &sent) {
		return fault.Again(fault.Wrap(fault.Config, "secret.unreachable", "allow HTTPS to AWS from here", wrapped))
	}
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) {
		return fault.Wrap(fault.Config, "aws.credentials", awsauth.NoCredentials, wrapped)
	}
	var api smithy.APIError
	name := ""
	if errors.As(err, &api) {
		name = api.ErrorCode()
	}
	switch status := answer.HTTPStatusCode(); {
	case name == "ParameterNotFound", name == "ResourceNotFoundException":
		return fault.Wrap(fault.Config, "secret.missing", "check its name, the region and the account", wrapped)
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, name == "ThrottlingException":
		return fault.Again(fault.Wrap(fault.Config, "secret.unreachable", "run again", wrapped))
	case name == "ExpiredTokenException", name == "UnrecognizedClientException", name == "InvalidClientTokenId", name == "InvalidSignatureException":
		return fault.Wrap(fault.Config, "aws.credentials", awsauth.NoCredentials, wrapped)
	}
	return fault.Wrap(fault.Config, "secret.denied", hint, wrapped)
}

// brief is what the service said, or why it could not be asked, without the request's numbers.
func brief(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	var sent *smithyhttp.RequestSendError
	if errors.As(err, &sent) {
		return sent.Err
	}
	return err
}
