package native

import (
	"context"
	"encoding/base64"
	"os"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// packedMark begins a path that is none: env:NAME is a config that travels in the variable NAME, packed or as it is, as in a container
// that has no files; or the variable has the address in a bucket where it lies.
const packedMark = "env:"

// packedName is what such a config is called where a file's name would stand.
const packedName = PackedState + ".yml"

// PackedState is the name that the state of such a config is kept under.
const PackedState = "kitamae"

// stateVariable says where such a config's state is kept if it does not say so itself: no disk outlives the container.
const stateVariable = "KITAMAE_STATE"

// Pack makes a config fit for a variable.
func Pack(config []byte) (string, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(z.EncodeAll(config, nil)), z.Close()
}

// maxPacked bounds an unpacked config: a mistyped variable must not fill the memory.
const maxPacked = 16 << 20

func unpack(text string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPacked))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.DecodeAll(data, nil)
}

// fetchWithin bounds the reading of a config from a bucket.
const fetchWithin = time.Minute

// fetch reads a config from its address in a bucket.
func fetch(address string) ([]byte, error) {
	ctx, stop := context.WithTimeout(context.Background(), fetchWithin)
	defer stop()
	where, parameters, more := strings.Cut(address, "?")
	folder, key := path.Split(where)
	folder = strings.TrimSuffix(folder, "/")
	if more {
		folder += "?" + parameters
	}
	b, err := bucket.Open(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	data, version, err := b.Read(ctx, key)
	if err == nil && version == "" {
		err = fault.New(fault.Config, "config.missing", "`kitamae deploy` puts it there", "there is no %s", where)
	}
	return data, err
}

func loadPacked(name string, reg connector.Registry, lookupEnv func(string) (string, bool)) (*job.Job, error) {
	text, ok := lookupEnv(name)
	if !ok {
		return nil, fault.New(fault.Config, "config.missing", "`kitamae deploy` puts it there", "the variable %s holds no config", name)
	}
	var data []byte
	var err error
	switch {
	case bucket.Is(text):
		data, err = fetch(text)
	case strings.Contains(text, ":"): // YAML: a packed one has none
		data = []byte(text)
	default:
		if data, err = unpack(text); err != nil {
			err = fault.Wrap(fault.Config, "config.unreadable", "`kitamae deploy` packs the config into the variable", err)
		}
	}
	if err != nil {
		return nil, err
	}
	return compileFetched(data, reg, lookupEnv)
}

// compileFetched is [Compile] for a config that is no file here.
func compileFetched(data []byte, reg connector.Registry, lookupEnv func(string) (string, bool)) (*job.Job, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fault.Wrap(fault.Config, "config.unreadable", "check the working directory", err)
	}
	j, err := Compile(conf.Input{Name: packedName, Data: data, Dir: dir, LookupEnv: lookupEnv}, reg)
	if where, ok := lookupEnv(stateVariable); err == nil && ok && j.State == "" {
		j.State = where
	}
	return j, err
}
