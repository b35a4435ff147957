package codec

import (
	"bytes"
	"io"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	text := bytes.Repeat([]byte("表の行 a row\n"), 200_000)
	for _, c := range []Codec{None, Gzip, Zstd} {
		t.Run(string(c), func(t *testing.T) {
			var buf bytes.Buffer
			w, err := c.Writer(&buf)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(text); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if c != None && buf.Len() > len(text)/10 {
				t.Errorf("%d bytes became %d", len(text), buf.Len())
			}
			r, err := c.Reader(&buf)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, text) {
				t.Errorf("got %d bytes, want %d", len(got), len(text))
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	if _, err := Codec("brotli").Writer(io.Discard); err == nil {
		t.Error("a writer for an unknown codec")
	}
	if _, err := Codec("brotli").Reader(&bytes.Buffer{}); err == nil {
		t.Error("a reader for an unknown codec")
	}
}

func TestTruncated(t *testing.T) {
	for _, c := range []Codec{Gzip, Zstd} {
		var buf bytes.Buffer
		w, _ := c.Writer(&buf)
		_, _ = w.Write(bytes.Repeat([]byte("0123456789abcdef"), 10_000))
		_ = w.Close()
		r, err := c.Reader(bytes.NewReader(buf.Bytes()[:buf.Len()-3]))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Errorf("%s: a truncated stream reads without an error", c)
		}
	}
}
