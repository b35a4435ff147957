// Package sqlkit is what connectors to SQL servers share: how they are reached (TLS, an SSH tunnel), how a server
// that is busy is left in peace, and how the size of the next short read is chosen. What a server speaks is not its matter.
package sqlkit

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// TLS says how the connection is encrypted.
type TLS struct {
	// Mode is verify (encrypt, and check the server's certificate), skip-verify (encrypt only) or off. Left
	// out, it is off for this machine and Unix sockets and verify for everything else.
	Mode string `yaml:"mode" json:"mode" conf:"enum=verify|skip-verify|off"`
	// CAFile is a PEM file of the authorities that may have signed the server's certificate, for those the
	// system does not know. Amazon RDS's are known. A relative path starts at the config file's folder.
	CAFile string `yaml:"ca_file" json:"ca_file"`
	// ServerName is the name the certificate must carry when it is not host.
	ServerName string `yaml:"server_name" json:"server_name"`
}

// The values of TLS.Mode.
const (
	TLSVerify     = "verify"
	TLSSkipVerify = "skip-verify"
	TLSOff        = "off"
)

// Known says whether the mode is one, which a config has checked and a URL has not.
func (t TLS) Known() bool {
	switch t.Mode {
	case "", TLSVerify, TLSSkipVerify, TLSOff:
		return true
	}
	return false
}

// Config is what to encrypt with, nil for in the clear. host is the database's, also where a tunnel leads to it; local says
// that no network lies between; dir is where relative paths start.
func (t TLS) Config(host string, local bool, dir string) (*tls.Config, error) {
	if t.Mode == TLSOff || t.Mode == "" && local && t.CAFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.Mode == TLSSkipVerify}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if t.CAFile == "" {
		if onRDS(c.ServerName) {
			c.RootCAs = rdsPool()
		}
		return c, nil
	}
	path := below(dir, t.CAFile)
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the CA file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return c, nil
}

// below is where a path of the config lies.
func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
