package sqlkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

// SSH is a tunnel through a host that reaches the database, for one that can only be reached from inside.
type SSH struct {
	// Host is the SSH server's name or address. Left out, there is no tunnel.
	Host string `yaml:"host" json:"host"`
	// Port is the SSH server's TCP port.
	Port int `yaml:"port" json:"port" conf:"min=1,max=65535"`
	// User is who logs in there.
	User string `yaml:"user" json:"user"`
	// KeyFile is the private key. A relative path starts at the config file's folder.
	KeyFile string `yaml:"key_file" json:"key_file"`
	// Password is a secret reference. It opens key_file where that is encrypted; without key_file it logs in.
	Password conf.Secret `yaml:"password" json:"password"`
	// KnownHostsFile lists the keys that hosts must have, as ssh-keyscan prints them. Left out, it is
	// ~/.ssh/known_hosts. A host that is not in it is refused.
	KnownHostsFile string `yaml:"known_hosts_file" json:"known_hosts_file"`
}

// SSHDefaults are the settings of a tunnel nobody has configured.
var SSHDefaults = SSH{Port: 22}

var _ conf.Checker = (*SSH)(nil)

// CheckConf sees what a tunnel needs beside its host.
func (s *SSH) CheckConf(bad func(key, format string, args ...any)) {
	if s.User == "" {
		bad("user", "is missing")
	}
	if s.Host == "" {
		bad("host", "is missing")
	}
	if s.KeyFile == "" && s.Password == "" {
		bad("key_file", "is missing; a password would do, too")
	}
}

// Tunnel opens connections from the SSH host's end. It logs in when the first one is asked for, and again when the
// connection was lost. It is safe for many goroutines.
type Tunnel struct {
	spec    SSH
	config  *ssh.ClientConfig
	timeout time.Duration

	mu     sync.Mutex
	client *ssh.Client
}

// NewTunnel prepares logging in, within timeout; dir is where relative paths start. Without a host it returns nil.
func NewTunnel(spec SSH, dir string, timeout time.Duration) (*Tunnel, error) {
	if spec.Host == "" {
		return nil, nil
	}
	t := &Tunnel{spec: spec, timeout: timeout}
	hosts := spec.KnownHostsFile
	if hosts == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fault.Wrap(fault.Config, "ssh.known_hosts", "name the file as ssh.known_hosts_file", err)
		}
		hosts = filepath.Join(home, ".ssh", "known_hosts")
	}
	known, err := knownhosts.NewDB(below(dir, hosts))
	if err != nil {
		hint := "check ssh.known_hosts_file"
		if errors.Is(err, fs.ErrNotExist) {
			hint = fmt.Sprintf("write it with `ssh-keyscan -p %d %s`, compare the key with the host's own, and name it as ssh.known_hosts_file", spec.Port, spec.Host)
		}
		return nil, fault.Wrap(fault.Config, "ssh.known_hosts", hint, fmt.Errorf("read the known hosts: %w", err))
	}
	auth, err := spec.auth(dir)
	if err != nil {
		return nil, err
	}
	t.config = &ssh.ClientConfig{
		User: spec.User, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: known.HostKeyCallback(),
		HostKeyAlgorithms: known.HostKeyAlgorithms(t.address()),
	}
	return t, nil
}

func (t *Tunnel) address() string { return net.JoinHostPort(t.spec.Host, strconv.Itoa(t.spec.Port)) }

func (s SSH) auth(dir string) (ssh.AuthMethod, error) {
	if s.KeyFile == "" {
		return ssh.Password(s.Password.Reveal()), nil
	}
	pem, err := os.ReadFile(below(dir, s.KeyFile))
	if err != nil {
		return nil, fault.Wrap(fault.Config, "ssh.key", "check ssh.key_file", fmt.Errorf("read the private key: %w", err))
	}
	key, err := ssh.ParsePrivateKey(pem)
	if locked := (*ssh.PassphraseMissingError)(nil); errors.As(err, &locked) && s.Password != "" {
		key, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(s.Password.Reveal()))
	}
	if err != nil {
		return nil, fault.Wrap(fault.Config, "ssh.key", "ssh.key_file must be a private key; an encrypted one is opened by ssh.password", fmt.Errorf("%s: %w", s.KeyFile, err))
	}
	return ssh.PublicKeys(key), nil
}

// DialContext opens a connection from the SSH host to address, which is looked up there. Errors are faults.
func (t *Tunnel) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	for again := true; ; again = false {
		client, err := t.login(ctx)
		if err != nil {
			return nil, err
		}
		dialCtx, cancel := context.WithTimeout(ctx, t.timeout)
		far, err := client.DialContext(dialCtx, network, address)
		cancel()
		if err == nil {
			return pair(far, address)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) {
			return nil, fault.New(fault.Source, "ssh.forward", "check host and port of the database, and that the SSH server allows forwarding (AllowTcpForwarding)",
				"%s could not reach %s: %s", t.address(), address, refused.Message).Again()
		}
		t.forget(client) // it was lost since it was last used
		if !again {
			return nil, fault.Again(fault.Wrap(fault.Source, "ssh.connect", "look at the SSH server", fmt.Errorf("tunnel through %s: %w", t.address(), err)))
		}
	}
}

// login is the connection to the SSH host, made anew where there is none.
func (t *Tunnel) login(ctx context.Context) (*ssh.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		return t.client, nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: KeepAlive}
	sock, err := dialer.DialContext(ctx, "tcp", t.address())
	if err != nil {
		return nil, t.refused(err)
	}
	// the handshake knows nothing of ctx
	release := context.AfterFunc(ctx, func() { sock.Close() })
	conn, channels, requests, err := ssh.NewClientConn(sock, t.address(), t.config)
	if !release() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		sock.Close()
		return nil, t.refused(err)
	}
	t.client = ssh.NewClient(conn, channels, requests)
	return t.client, nil
}

// KeepAlive finds a server that vanished without a word in about half a minute.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4}

// refused says why logging in did not work and what to do about it.
func (t *Tunnel) refused(err error) error {
	wrapped := fmt.Errorf("ssh to %s: %w", t.address(), err)
	switch {
	case knownhosts.IsHostKeyChanged(err):
		return fault.Wrap(fault.Config, "ssh.host_key", "somebody may listen in: ask whoever runs the host for its key, and only then change it in the known hosts",
			fmt.Errorf("the host's key is another than the known one: %w", wrapped))
	case knownhosts.IsHostUnknown(err):
		return fault.Wrap(fault.Config, "ssh.host_key", fmt.Sprintf("compare what `ssh-keyscan -p %d %s` prints with the host's own key and add it to the known hosts", t.spec.Port, t.spec.Host),
			fmt.Errorf("the host's key is not among the known ones: %w", wrapped))
	case strings.Contains(err.Error(), "unable to authenticate"): // the library has no error of its own for it
		return fault.Wrap(fault.Config, "ssh.auth", "check ssh.user and ssh.key_file (or the secret behind ssh.password)", wrapped)
	}
	return fault.Again(fault.Wrap(fault.Source, "ssh.connect", "check ssh.host and ssh.port, and that a firewall lets this machine through", wrapped))
}

func (t *Tunnel) forget(client *ssh.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client == client {
		t.client = nil
	}
	_ = client.Close()
}

// Close ends the tunnel and every connection through it. nil has nothing to end.
func (t *Tunnel) Close() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		_ = t.client.Close()
		t.client = nil
	}
	return nil
}

// piped is a connection through the tunnel that says where it leads.
type piped struct {
	net.Conn
	address string
}

func (p piped) RemoteAddr() net.Addr { return p }
func (piped) Network() string        { return "tcp" }
func (p piped) String() string       { return p.address }

// pair gives a channel of the SSH connection what database drivers need and it does not have: deadlines. Bytes
// go through a pair of sockets inside this process.
func pair(far net.Conn, address string) (net.Conn, error) {
	near, inner, err := socketPair()
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		// whichever end closed: both directions are over, as no database half-closes
		_ = to.Close()
		_ = from.Close()
	}
	both.Go(func() { carry(inner, far) })
	both.Go(func() { carry(far, inner) })
	return piped{Conn: near, address: address}, nil
}
