package secrets

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/secretmanager/v1"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/googleauth"
)

// google is Google's Secret Manager, reached with the application default credentials.
type google struct {
	endpoint string // "" for Google's own
}

// secret is secret:gcp-sm:projects/P/secrets/NAME, which may end in /versions/V and in #field.
func (g google) secret(ctx context.Context, ref string) (string, error) {
	name, key, _ := strings.Cut(ref, "#")
	parts := strings.Split(name, "/")
	if len(parts) == 4 {
		name += "/versions/latest"
	}
	if len(parts) != 4 && len(parts) != 6 || parts[0] != "projects" || parts[2] != "secrets" {
		return "", fault.New(fault.Config, "secret.missing", "write secret:gcp-sm:projects/PROJECT/secrets/NAME", "a gcp-sm secret has another name than the one given")
	}
	opts, err := googleauth.Options(ctx, googleauth.Spec{}, g.endpoint != "", secretmanager.CloudPlatformScope)
	if err != nil {
		return "", err
	}
	if g.endpoint != "" {
		opts = append(opts, option.WithEndpoint(g.endpoint))
	}
	service, err := secretmanager.NewService(ctx, opts...)
	if err != nil {
		return "", fault.Wrap(fault.Config, "secret.store", "check the application default credentials", err)
	}
	out, err := service.Projects.Secrets.Versions.Access(name).Context(ctx).Do()
	if err != nil {
		return "", explainGoogle(err, name)
	}
	text, err := base64.StdEncoding.DecodeString(out.Payload.Data)
	if err != nil {
		return "", fault.New(fault.Internal, "secret.store", "", "%s came in an unknown form", name)
	}
	return field(string(text), key, "gcp-sm")
}

func explainGoogle(err error, name string) error {
	var known *fault.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	doing := fmt.Errorf("read %s: %w", name, err)
	var answer *googleapi.Error
	switch {
	case !errors.As(err, &answer), answer.Code >= http.StatusInternalServerError, answer.Code == http.StatusTooManyRequests:
		return fault.Again(fault.Wrap(fault.Config, "secret.unreachable", "allow HTTPS to secretmanager.googleapis.com from here", doing))
	case answer.Code == http.StatusNotFound:
		return fault.Wrap(fault.Config, "secret.missing", "check project, name and version", fmt.Errorf("read %s: %s", name, answer.Message))
	}
	return fault.Wrap(fault.Config, "secret.denied", "grant roles/secretmanager.secretAccessor on the secret", fmt.Errorf("read %s: %s", name, answer.Message))
}
