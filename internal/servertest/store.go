package servertest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startTimeout bounds how long an object store may take to answer.
const startTimeout = time.Minute

// mostStarts is how often a store is started where another program has taken its port meanwhile.
const mostStarts = 5

// S3 starts an S3-compatible server for this test alone and returns the address of a bucket in it. The environment
// that leads there is set for the test and the processes it starts, until it ends.
func S3(t testing.TB) string {
	t.Helper()
	address := startStore(t, "gofakes3", func(address string) []string {
		return []string{"-host", address, "-backend", "memory", "-initialbucket", "lake", "-quiet"}
	})
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": "http://" + address, "AWS_REGION": "ap-northeast-1",
		"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(key, value)
	}
	return "s3://lake"
}

// GCS is [S3] for Google Cloud Storage.
func GCS(t testing.TB) string {
	t.Helper()
	address := startStore(t, "fake-gcs-server", func(address string) []string {
		host, port, _ := net.SplitHostPort(address)
		return []string{"-scheme", "http", "-host", host, "-port", port, "-backend", "memory",
			"-public-host", address, "-external-url", "http://" + address, "-log-level", "error"}
	})
	t.Setenv("STORAGE_EMULATOR_HOST", "http://"+address)
	resp, err := http.Post("http://"+address+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"lake"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("make the bucket: %s", resp.Status)
	}
	return "gs://lake"
}

// startStore starts one of the programs in .servers/bin, waits until it answers, and returns the address it was given.
func startStore(t testing.TB, name string, args func(address string) []string) (address string) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, ".servers", "bin", name)
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%s is not built; run: make servers", name)
	}
	for try := 1; ; try++ {
		address = freeAddress(t)
		log, answers := answersAt(t, address, exec.Command(program, args(address)...))
		if answers {
			return address
		}
		if try == mostStarts || !strings.Contains(log, "address already in use") {
			t.Fatalf("%s does not answer at %s: %s", name, address, log)
		}
	}
}

// answersAt starts a store, which is ended with the test, and waits until it answers. log is what it said where it did not.
func answersAt(t testing.TB, address string, cmd *exec.Cmd) (log string, answers bool) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed below, or told by out
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case <-ended:
			return out.String(), false
		case <-time.After(20 * time.Millisecond):
		}
		if resp, err := http.Get("http://" + address + "/"); err == nil {
			resp.Body.Close()
			return "", true
		}
	}
	return "no answer in time", false
}

// freeAddress is an address on this machine where nothing listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
