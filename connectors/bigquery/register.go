package bigquery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// leasePrefix begins the names of the views that registers keep values in, as stateView keeps cursors: each in one of its own, as BigQuery takes five
// changes of one view in ten seconds, and one lease alone makes one of them, with three more for a short run.
const leasePrefix = metaPrefix + "lease_"

// leaseExpires is how long a view outlives its last change: what no run needs any more goes by itself. It is far beyond what clocks differ by.
const leaseExpires = 7 * 24 * time.Hour

// registered is what stands in a view's text.
type registered struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Mark is one writing's own. It shows what became of a request whose answer was lost.
	Mark string `json:"mark"`
}

// register keeps values in views of the dataset. A version is a view's ETag; what was removed leaves an empty view, which has one, too: a view
// can't be deleted under a condition.
type register struct{ d *dest }

var _ connector.Register = (*register)(nil)

func openRegister(_ context.Context, spec Spec, env connector.Env) (connector.Register, error) {
	d, err := checkedDest(spec, env)
	if err != nil {
		return nil, err
	}
	return &register{d}, nil
}

// view is where the value of key stands. The dataset need not be looked at first.
func (r *register) view(ctx context.Context, key string) (*bq.Table, error) {
	client, err := r.d.connect(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(key))
	return client.Dataset(r.d.spec.Dataset).Table(leasePrefix + hex.EncodeToString(sum[:8])), nil
}

// Get implements [connector.Register].
func (r *register) Get(ctx context.Context, key string) (value []byte, version string, err error) {
	now, version, err := r.read(ctx, key)
	return []byte(now.Value), version, err
}

func (r *register) read(ctx context.Context, key string) (now registered, version string, err error) {
	view, err := r.view(ctx, key)
	if err != nil {
		return registered{}, "", err
	}
	var md *bq.TableMetadata
	err = r.d.again(ctx, func() (err error) { md, err = view.Metadata(ctx); return err })
	if status(err) == http.StatusNotFound {
		return registered{}, "", nil
	}
	if err != nil {
		return registered{}, "", classify(err, "look at the lease "+view.TableID)
	}
	var list []registered
	if err := fromView(md.ViewQuery, &list); err != nil || len(list) != 1 {
		return registered{}, "", fault.New(fault.Destination, "bigquery.lease", "drop the view", "the lease in view %s can't be read: %v", view.TableID, err)
	}
	return list[0], md.ETag, nil
}

// Put implements [connector.Register].
func (r *register) Put(ctx context.Context, key string, value []byte, version string) (string, error) {
	view, err := r.view(ctx, key)
	if err != nil {
		return "", err
	}
	mark := rand.Text()
	list, err := inView([]registered{{Name: key, Value: string(value), Mark: mark}})
	if err != nil {
		return "", err
	}
	query := "-- kitamae's own: who runs. It is written by each run, every ten seconds, and goes a week after the last one.\n" +
		"SELECT JSON_VALUE(t, '$.name') AS name, JSON_VALUE(t, '$.value') AS value FROM UNNEST(" + list + ") AS t"
	for n := 1; ; n++ {
		next, err := r.write(ctx, view, query, version)
		if next != "" {
			return next, nil
		}
		// A view that was made tells no version; an answer may have been lost, also one that the client repeated the request after.
		now, at, readErr := r.read(ctx, key)
		code := status(err)
		switch {
		case readErr == nil && now.Mark == mark:
			return at, nil
		case code == http.StatusNotFound && version == "":
			if _, err := r.d.dataset(ctx); err != nil {
				return "", err
			}
			return "", classify(err, "make the lease "+view.TableID)
		case err == nil && readErr != nil:
			return "", readErr
		case err == nil, code == http.StatusPreconditionFailed, code == http.StatusConflict, code == http.StatusNotFound:
			return "", fmt.Errorf("%s: %w", key, fault.ErrConflict)
		case !passes(err) || n == mostTries:
			return "", classify(err, "write the lease "+view.TableID)
		}
		if err := r.d.wait(ctx, n); err != nil {
			return "", err
		}
	}
}

// write makes the view, or changes it if it is as version says: the new version, "" of a view that was made.
func (r *register) write(ctx context.Context, view *bq.Table, query, version string) (next string, err error) {
	expires := r.d.now().Add(leaseExpires)
	if version == "" {
		return "", view.Create(ctx, &bq.TableMetadata{ViewQuery: query, ExpirationTime: expires, Description: "Who runs kitamae into this dataset. Its text is kitamae's own."})
	}
	md, err := view.Update(ctx, bq.TableMetadataToUpdate{ViewQuery: query, UseLegacySQL: false, ExpirationTime: expires}, version)
	if err != nil {
		return "", err
	}
	return md.ETag, nil
}

// Close lets go of the client.
func (r *register) Close() error { return r.d.Close() }
