package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// flakySource counts the readings of each partition, and lets fail those that fails names by their number and partition.
type flakySource struct {
	connector.Source
	connector.Counter
	connector.Sampler
	mu    sync.Mutex
	read  map[string]int
	fails func(nth int, partition string) error
}

func (f *flakySource) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	f.mu.Lock()
	f.read[string(p)]++
	err := f.fails(len(f.read), string(p))
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Source.Read(ctx, p)
}

// TestChunkedTriedAgain: a table read in chunks that fails in the middle goes on from there when it is tried again within the run.
func TestChunkedTriedAgain(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	chunkedTables(t, s, db)
	for _, to := range goals(t) {
		t.Run(to.name, func(t *testing.T) {
			p := newProject(t, s, db).with("read", "chunked")
			req := p.request(t, to.config, "limits: {memory: 256MiB, connections: 1}", "tables: {big: {}}")
			req.Pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
			var src *flakySource
			broken := ""
			mysql := req.Registry["mysql"]
			end := *mysql.Source
			open := end.Open
			end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Source, error) {
				s, err := open(ctx, spec, env)
				if err != nil {
					return nil, err
				}
				src = &flakySource{Source: s, Counter: s.(connector.Counter), Sampler: s.(connector.Sampler), read: map[string]int{}}
				src.fails = func(nth int, partition string) error {
					if nth == 3 && broken == "" {
						broken = partition
					}
					if partition == broken && src.read[partition] <= 4 { // all tries of the first reading
						return fault.New(fault.Source, "test.passing", "", "the line dropped").Again()
					}
					return nil
				}
				return src, nil
			}
			mysql.Source = &end
			req.Registry["mysql"] = mysql
			r, err := run.Drive(t.Context(), req)
			if err != nil {
				t.Fatalf("%v\n%s", err, describe(r))
			}
			if len(src.read) < 4 || broken == "" {
				t.Fatalf("%d partitions: the test wants some", len(src.read))
			}
			for partition, n := range src.read {
				if want := 1 + 4*strings.Count(partition, broken); n != want {
					t.Errorf("%s was read %d times, want %d", partition, n, want)
				}
			}
			_, rows := to.shown(t, p, "big")
			if want := s.Query(t, db, "SELECT count(*) FROM big")[0][0]; fmt.Sprint(len(rows)) != want || fmt.Sprint(r.Rows()) != want {
				t.Errorf("%d rows arrived, %d are claimed, the source holds %s", len(rows), r.Rows(), want)
			}
		})
	}
}
