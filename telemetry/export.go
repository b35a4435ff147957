package telemetry

import (
	"context"
	"sync"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// failures keeps the first error of sending. The SDK would hand it to a handler that is the whole process's.
type failures struct {
	mu  sync.Mutex
	err error
}

func (f *failures) keep(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *failures) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// spans is an exporter whose errors are kept.
type spans struct {
	sdktrace.SpanExporter
	failed *failures
}

func (s spans) ExportSpans(ctx context.Context, list []sdktrace.ReadOnlySpan) error {
	s.failed.keep(s.SpanExporter.ExportSpans(ctx, list))
	return nil
}

// points is an exporter whose errors are kept.
type points struct {
	sdkmetric.Exporter
	failed *failures
}

func (p points) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	p.failed.keep(p.Exporter.Export(ctx, m))
	return nil
}
