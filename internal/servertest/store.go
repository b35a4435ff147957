package servertest

import (
	"bytes"
	"fmt"
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
const startTimeout = 30 * time.Second

// S3 starts an S3-compatible server for this test alone and returns the address of a bucket in it. The environment
// that leads there is set for the test and the processes it starts, until it ends.
func S3(t testing.TB) string {
	t.Helper()
	address := freeAddress(t)
	startStore(t, "gofakes3", address, "-host", address, "-backend", "memory", "-initialbucket", "lake", "-quiet")
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
	address := freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	startStore(t, "fake-gcs-server", address, "-scheme", "http", "-host", host, "-port", port, "-backend", "memory",
		"-public-host", address, "-external-url", "http://"+address, "-log-level", "error")
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

// startStore starts one of the programs in .servers/bin and waits until it answers.
func startStore(t testing.TB, name, address string, args ...string) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, ".servers", "bin", name)
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%s is not built; run: make servers", name)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() { ended <- fmt.Sprint(cmd.Wait()) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(startTimeout); ; {
		resp, err := http.Get("http://" + address + "/")
		if err == nil {
			resp.Body.Close()
			return
		}
		select {
		case how := <-ended:
			ended <- how
			t.Fatalf("%s ended: %s\n%s", name, how, log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", name, err)
		}
	}
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
