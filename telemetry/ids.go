package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/kitamae/kitamae/run"
)

// wanted is the key of the IDs that a span is to have, in the context it is started with.
type wanted struct{}

type spanIDs struct {
	trace trace.TraceID
	span  trace.SpanID
}

// ids makes the IDs that a context asks for, and random ones elsewhere, as W3C's Trace Context recommends.
type ids struct{}

var _ sdktrace.IDGenerator = ids{}

// NewIDs implements [sdktrace.IDGenerator].
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	w, asked := ctx.Value(wanted{}).(spanIDs)
	if !asked {
		_, _ = rand.Read(w.trace[:]) // never fails, by its contract
		_, _ = rand.Read(w.span[:])
	}
	return w.trace, w.span
}

// NewSpanID implements [sdktrace.IDGenerator].
func (g ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, span := g.NewIDs(ctx)
	return span
}

// shared begins the span of a run that several processes share. All of them arrive at the same IDs, so that their spans are one trace; only one of them
// ends this span, and a span that is not ended is not sent. A sampler decides by the trace's ID, so the same everywhere.
func (c *Client) shared(ctx context.Context, id string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{}) // no part of a shard
	ctx = propagation.TraceContext{}.Extract(ctx, c.parent)
	sum := sha256.Sum256([]byte("kitamae run\x00" + c.state + "\x00" + c.config + "\x00" + id))
	var w spanIDs
	copy(w.trace[:], sum[:16])
	copy(w.span[:], sum[16:24])
	_, span := c.tracer.Start(context.WithValue(ctx, wanted{}, w), string(run.PieceRun), options...)
	return trace.ContextWithSpan(ctx, span), span
}
