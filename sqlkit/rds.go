package sqlkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // the authorities
	"net"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/kitamae/kitamae/awsauth"
	"github.com/kitamae/kitamae/fault"
)

// How a user proves who it is.
const (
	AuthPassword = "password" // what "" means too
	AuthIAM      = "iam"      // with tokens that AWS credentials make
)

// rdsAuthorities sign the certificates of Amazon RDS and Aurora, which no system knows. scripts/rds-bundle.sh makes the file.
//
//go:embed rds.pem
var rdsAuthorities []byte

// onRDS says whether host is one of Amazon RDS's names.
func onRDS(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return strings.HasSuffix(host, ".rds.amazonaws.com") || strings.HasSuffix(host, ".rds.amazonaws.com.cn")
}

// rdsRegion is the region in one of Amazon RDS's names, "" for other hosts: cluster.hash.REGION.rds.amazonaws.com.
func rdsRegion(host string) string {
	if !onRDS(host) {
		return ""
	}
	before, _, _ := strings.Cut(strings.ToLower(host), ".rds.amazonaws.com")
	return before[strings.LastIndexByte(before, '.')+1:]
}

// rdsPool is the system's authorities and Amazon's.
func rdsPool() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(rdsAuthorities)
	return pool
}

// IAM logs in to Amazon RDS with tokens that last fifteen minutes, in place of a password.
type IAM struct {
	cfg                    aws.Config
	endpoint, region, user string
}

// NewIAM finds AWS credentials for a user of the database at host and port. encrypted is what the connection is
// encrypted with: a token logs in whoever has it, so that it goes to nobody but a server that proved its name.
func NewIAM(ctx context.Context, host string, port int, user string, encrypted *tls.Config) (*IAM, error) {
	if encrypted == nil || encrypted.InsecureSkipVerify {
		return nil, fault.New(fault.Config, "rds.tls", "set tls.mode: verify, and host to the name that ends in rds.amazonaws.com", "auth: iam needs a connection whose server is verified")
	}
	cfg, err := awsauth.Config(ctx, rdsRegion(host))
	if err != nil {
		return nil, err
	}
	return &IAM{cfg: cfg, endpoint: net.JoinHostPort(host, strconv.Itoa(port)), region: cfg.Region, user: user}, nil
}

// Password is a token for the next login. Making one asks nobody; the credentials behind it are cached.
func (i *IAM) Password(ctx context.Context) (string, error) {
	if _, err := awsauth.Credentials(ctx, i.cfg); err != nil {
		return "", err
	}
	token, err := auth.BuildAuthToken(ctx, i.endpoint, i.region, i.user, i.cfg.Credentials)
	return token, fault.Wrap(fault.Config, "rds.token", "check host and port", err)
}
