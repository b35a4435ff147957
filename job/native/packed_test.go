package native

import (
	"strings"
	"testing"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

const elsewhere = "source: {server: {host: db1}}\n"

// TestElsewhere reads a config that is no file: from a variable, from a bucket whose address is in the variable, and from that address itself.
func TestElsewhere(t *testing.T) {
	packed, err := Pack([]byte(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	for name, server := range map[string]func(testing.TB) string{"s3": servertest.S3, "gcs": servertest.GCS} {
		t.Run(name, func(t *testing.T) {
			address := server(t)
			b, err := bucket.Open(t.Context(), address+"/configs")
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if _, err := b.Write(t.Context(), "app.yml", []byte(elsewhere), ""); err != nil {
				t.Fatal(err)
			}
			in := func(value string) func(string) (string, bool) {
				return func(name string) (string, bool) {
					v, ok := map[string]string{"KITAMAE_CONFIG": value, "KITAMAE_STATE": "s3://b/state"}[name]
					return v, ok
				}
			}
			for path, value := range map[string]string{"env:KITAMAE_CONFIG": packed, "env:KITAMAE_CONFIG ": address + "/configs/app.yml", " env:KITAMAE_CONFIG": elsewhere, address + "/configs/app.yml": ""} {
				j, err := Load(strings.TrimSpace(path), registry(), in(value))
				if err != nil {
					t.Fatalf("%s with %.40s: %v", path, value, err)
				}
				if j.Source.Place != "app on db1" || j.State != "s3://b/state" || j.File != packedName {
					t.Errorf("%s with %.40s: source %s, state %s, called %s", path, value, j.Source.Place, j.State, j.File)
				}
			}
			for _, path := range []string{address + "/configs/none.yml", "env:NOWHERE"} {
				if _, err := Load(path, registry(), in("")); !fault.HasCode(err, "config.missing") {
					t.Errorf("%s: %v, want config.missing", path, err)
				}
			}
			if _, err := Load("env:KITAMAE_CONFIG", registry(), in("not packed")); !fault.HasCode(err, "config.unreadable") {
				t.Errorf("a variable that holds no config: %v", err)
			}
		})
	}
}
