// Package telemetry sends a run's traces and metrics to an OpenTelemetry collector, by OTLP over HTTP. What happens in a run, and
// when, package run tells it.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
)

// scope names what makes the spans and measurements.
const scope = "github.com/kitamae/kitamae"

// within bounds what a run waits for at its end: for what was not sent yet.
const within = 15 * time.Second

// Client sends what it is told by [Client.Follow]. Close it.
type Client struct {
	config  string // the config's name
	state   string // where its state is: with a run's ID it names the run among all
	parent  propagation.MapCarrier
	traces  *sdktrace.TracerProvider // nil where no traces are wanted
	metrics *sdkmetric.MeterProvider // nil where no metrics are wanted
	tracer  trace.Tracer
	meters  meters
	failed  *failures
}

// Open makes a client as spec says, or OpenTelemetry's own variables where it names no endpoint; nil where neither does. config names what runs,
// state is where its state is kept, version the program. Nothing is sent yet.
func Open(ctx context.Context, spec job.Telemetry, lookup func(string) (string, bool), config, state, version string) (*Client, error) {
	get := func(name string) string { v, _ := lookup(name); return v }
	asked := func(signal string) bool {
		there := spec.Endpoint + get("OTEL_EXPORTER_OTLP_ENDPOINT") + get("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT")
		return there != "" && !strings.EqualFold(get("OTEL_"+signal+"_EXPORTER"), "none")
	}
	traces, metrics := asked("TRACES"), asked("METRICS")
	if !traces && !metrics || strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"} {
		if p := get(name); p != "" && p != "http/protobuf" {
			return nil, fault.New(fault.Config, "telemetry.protocol", "set "+name+"=http/protobuf, and the receiver's port for it (4318 rather than 4317)",
				"%s is %s: kitamae speaks OTLP over HTTP only", name, p)
		}
	}
	c := &Client{config: config, state: state, failed: &failures{}, parent: propagation.MapCarrier{"traceparent": get("TRACEPARENT"), "tracestate": get("TRACESTATE")}}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "kitamae"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, broken(err)
	}
	if traces {
		if err := c.openTraces(ctx, spec, about); err != nil {
			return nil, broken(err)
		}
	}
	if metrics {
		if err := c.openMetrics(ctx, spec, about); err != nil {
			return nil, broken(err)
		}
	}
	return c, nil
}

func (c *Client) openTraces(ctx context.Context, spec job.Telemetry, about *resource.Resource) error {
	var options []otlptracehttp.Option
	if spec.Endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(below(spec.Endpoint, "/v1/traces")))
	}
	if len(spec.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(revealed(spec.Headers)))
	}
	e, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return err
	}
	c.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(spans{e, c.failed}), sdktrace.WithIDGenerator(ids{}))
	c.tracer = c.traces.Tracer(scope)
	return nil
}

func (c *Client) openMetrics(ctx context.Context, spec job.Telemetry, about *resource.Resource) error {
	var options []otlpmetrichttp.Option
	if spec.Endpoint != "" {
		options = append(options, otlpmetrichttp.WithEndpointURL(below(spec.Endpoint, "/v1/metrics")))
	}
	if len(spec.Headers) > 0 {
		options = append(options, otlpmetrichttp.WithHeaders(revealed(spec.Headers)))
	}
	e, err := otlpmetrichttp.New(ctx, options...)
	if err != nil {
		return err
	}
	c.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points{e, c.failed})))
	return c.meters.open(c.metrics.Meter(scope))
}

// below is an endpoint's address with a signal's path added, as OpenTelemetry's variable is meant.
func below(endpoint, path string) string { return strings.TrimSuffix(endpoint, "/") + path }

func revealed(headers map[string]conf.Secret) map[string]string {
	out := map[string]string{}
	for name, value := range headers {
		out[name] = value.Reveal()
	}
	return out
}

// Follow is for [run.Request.Follow].
func (c *Client) Follow(ctx context.Context, p run.Piece) (context.Context, func(run.Done)) {
	began := p.Began
	if began.IsZero() {
		began = time.Now()
	}
	attrs := []attribute.KeyValue{attribute.String("kitamae.run", p.Run)}
	if p.Table != "" {
		attrs = append(attrs, attribute.String("kitamae.table", p.Table))
	}
	switch {
	case p.Kind == run.PieceRun:
		attrs = append(attrs, attribute.String("kitamae.config", c.config))
	case p.Kind == run.PieceShard:
		attrs = append(attrs, attribute.Int("kitamae.shard", p.Task))
	case p.Task >= 0:
		attrs = append(attrs, attribute.Int("kitamae.partition", p.Task))
	}
	var span trace.Span
	if c.tracer != nil {
		ctx, span = c.start(ctx, p, trace.WithAttributes(attrs...), trace.WithTimestamp(began))
	}
	return ctx, func(d run.Done) {
		if span != nil {
			end(span, d)
		}
		if c.metrics != nil {
			c.meters.note(context.WithoutCancel(ctx), p, d, time.Since(began))
		}
	}
}

// start begins a piece's span: a run's within the trace that the surroundings name, if they do.
func (c *Client) start(ctx context.Context, p run.Piece, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	switch {
	case p.Kind == run.PieceRun && p.Shared:
		return c.shared(ctx, p.Run, options...)
	case p.Kind == run.PieceRun:
		ctx = propagation.TraceContext{}.Extract(ctx, c.parent)
	case p.Kind == run.PieceShard: // within the run's span, which only the process ends that ends the run
		ctx, _ = c.shared(ctx, p.Run)
	}
	return c.tracer.Start(ctx, string(p.Kind), options...)
}

// end ends a span with what its piece came to.
func end(span trace.Span, d run.Done) {
	span.SetAttributes(attribute.Int64("kitamae.rows", d.Rows), attribute.Int64("kitamae.bytes", d.Bytes))
	if d.Status != "" {
		span.SetAttributes(attribute.String("kitamae.status", string(d.Status)))
	}
	if d.Err != nil {
		span.SetAttributes(attribute.String("error.type", fault.From(d.Err).Code))
		span.SetStatus(codes.Error, d.Err.Error())
	}
	span.End()
}

// Close sends what was not sent yet, and says if anything could not be.
func (c *Client) Close(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer stop()
	var errs []error
	if c.traces != nil {
		errs = append(errs, c.traces.Shutdown(ctx))
	}
	if c.metrics != nil {
		errs = append(errs, c.metrics.Shutdown(ctx))
	}
	return broken(errors.Join(append(errs, c.failed.first())...))
}

func broken(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Config, "telemetry.send", "check telemetry.endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT, and the receiver there", fmt.Errorf("OpenTelemetry: %w", err))
}

// meters are the instruments.
type meters struct {
	rows, bytes, failures metric.Int64Counter
	table, run            metric.Float64Histogram
}

func (m *meters) open(meter metric.Meter) (err error) {
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	m.rows, err = meter.Int64Counter("kitamae.rows", metric.WithUnit("{row}"), metric.WithDescription("rows read and verified"))
	keep(err)
	m.bytes, err = meter.Int64Counter("kitamae.bytes", metric.WithUnit("By"), metric.WithDescription("bytes that came from the source"))
	keep(err)
	m.failures, err = meter.Int64Counter("kitamae.failures", metric.WithUnit("{failure}"), metric.WithDescription("readings of tables, and runs, that failed"))
	keep(err)
	seconds := metric.WithExplicitBucketBoundaries(0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800)
	m.table, err = meter.Float64Histogram("kitamae.table.duration", metric.WithUnit("s"), metric.WithDescription("from a table's first row to its verification"), seconds)
	keep(err)
	m.run, err = meter.Float64Histogram("kitamae.run.duration", metric.WithUnit("s"), metric.WithDescription("a whole run"), seconds)
	keep(err)
	return errors.Join(errs...)
}

// note measures a piece. Only runs and tables are: what is in them would only make more of the same.
func (m *meters) note(ctx context.Context, p run.Piece, d run.Done, took time.Duration) {
	var attrs []attribute.KeyValue
	switch p.Kind {
	case run.PieceRun:
	case run.PieceTable:
		attrs = append(attrs, attribute.String("kitamae.table", p.Table))
		m.rows.Add(ctx, d.Rows, metric.WithAttributes(attrs...))
		m.bytes.Add(ctx, d.Bytes, metric.WithAttributes(attrs...))
	default:
		return
	}
	if d.Err != nil {
		f := fault.From(d.Err)
		m.failures.Add(ctx, 1, metric.WithAttributes(append(attrs[:len(attrs):len(attrs)],
			attribute.String("kitamae.piece", string(p.Kind)), attribute.String("error.type", f.Code))...))
	}
	if d.Status != "" {
		attrs = append(attrs, attribute.String("kitamae.status", string(d.Status)))
	}
	if p.Kind == run.PieceRun {
		m.run.Record(ctx, took.Seconds(), metric.WithAttributes(attrs...))
	} else {
		m.table.Record(ctx, took.Seconds(), metric.WithAttributes(attrs...))
	}
}
