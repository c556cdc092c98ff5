package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"andon/ledger"
)

func exported(t *testing.T, s sample) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := ledger.Export(t.Context(), s.db(), &b, ledger.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestExport(t *testing.T) {
	s := makeSample(t)
	dump := exported(t, s)
	lines := bytes.Split(dump, []byte("\n"))
	if len(lines) != sampleSize+2 || len(lines[sampleSize+1]) != 0 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines[:sampleSize] {
		if e, err := ledger.Decode(line); err != nil || e.Seq != uint64(i) {
			t.Fatalf("line %d: %v", i, err)
		}
	}
	r, err := ledger.VerifyExport(t.Context(), bytes.NewReader(dump), s.v, ledger.VerifyOptions{})
	if err != nil || r.Size != sampleSize || r.Origin != "example.com/sample" || r.Fault != nil {
		t.Errorf("%+v, %v", r, err)
	}
	for size, cp := range s.earlier {
		if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(dump), s.v, ledger.VerifyOptions{Trusted: cp}); err != nil {
			t.Errorf("checkpoint of size %d: %v", size, err)
		}
	}
}

func TestVerifyExportTampered(t *testing.T) {
	s := makeSmall(t)
	dump := string(exported(t, s))
	lines := strings.SplitAfter(dump, "\n")
	join := func(parts ...[]string) (out string) {
		for _, p := range parts {
			out += strings.Join(p, "")
		}
		return out
	}
	_, other := keys(t, "example.com/small")
	if r, _ := ledger.VerifyExport(t.Context(), strings.NewReader(dump), other, ledger.VerifyOptions{}); r.Fault == nil || r.Fault.Kind != ledger.FaultKey {
		t.Errorf("another key: %v", r.Fault)
	}
	for name, c := range map[string]struct {
		data  string
		kind  ledger.FaultKind
		entry int64
	}{
		"a word changed":             {strings.Replace(dump, `{"n":7}`, `{"n":8}`, 1), ledger.FaultAltered, -1},
		"another form":               {strings.Replace(dump, `{"n":7}`, `{"n": 7}`, 1), ledger.FaultAltered, 7},
		"no JSON":                    {strings.Replace(dump, `{"n":7}`, `{"n":7`, 1), ledger.FaultAltered, 7},
		"a line removed":             {join(lines[:7], lines[8:]), ledger.FaultMoved, 7},
		"lines swapped":              {join(lines[:7], lines[8:9], lines[7:8], lines[9:]), ledger.FaultMoved, 7},
		"a line doubled":             {join(lines[:8], lines[7:]), ledger.FaultMoved, 8},
		"an empty line":              {join(lines[:8], []string{"\n"}, lines[8:]), ledger.FaultAltered, 8},
		"the last entry removed":     {join(lines[:19], lines[20:]), ledger.FaultTruncated, 19},
		"the checkpoint removed":     {join(lines[:20]), ledger.FaultTruncated, 20},
		"cut in a line":              {dump[:700], ledger.FaultTruncated, int64(strings.Count(dump[:700], "\n"))},
		"cut in the checkpoint":      {dump[:len(dump)-3], ledger.FaultTruncated, 20},
		"nothing":                    {"", ledger.FaultTruncated, 0},
		"something after":            {dump + "x", ledger.FaultUnsigned, -1},
		"an entry appended":          {join(lines[:20], []string{string(must(forged(20).Encode())(t)) + "\n"}, lines[20:]), ledger.FaultUnsigned, 20},
		"the checkpoint's size":      {strings.Replace(dump, `\n20\n`, `\n19\n`, 1), ledger.FaultCheckpoint, -1},
		"the checkpoint's signature": {strings.Replace(dump, `— example.com/small `, `— example.com/small A`, 1), ledger.FaultCheckpoint, -1},
		"the checkpoint's form":      {strings.Replace(dump, `\n20\n`, `\u000a20\n`, 1), ledger.FaultCheckpoint, -1},
	} {
		if c.data == dump {
			t.Fatalf("%s: nothing was changed", name)
		}
		r, err := ledger.VerifyExport(t.Context(), strings.NewReader(c.data), s.v, ledger.VerifyOptions{})
		var f *ledger.Fault
		if !errors.As(err, &f) || r.Fault != f || f.Kind != c.kind || f.Entry != c.entry {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Every single byte counts.
	for i := range dump {
		b := []byte(dump)
		b[i] ^= 1
		if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(b), s.v, ledger.VerifyOptions{}); err == nil {
			t.Fatalf("accepted with byte %d changed: %q", i, b[max(0, i-20):min(len(b), i+20)])
		}
	}
}

func TestVerifyExportBounds(t *testing.T) {
	_, v := keys(t, "example.com/endless")
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	if _, err := ledger.VerifyExport(t.Context(), endless, v, ledger.VerifyOptions{}); err == nil || !strings.Contains(err.Error(), "longer than any entry") {
		t.Errorf("a line without end: %v", err)
	}
	broken := errors.New("broken pipe")
	failing := readerFunc(func([]byte) (int, error) { return 0, broken })
	var f *ledger.Fault
	if _, err := ledger.VerifyExport(t.Context(), failing, v, ledger.VerifyOptions{}); !errors.Is(err, broken) || errors.As(err, &f) {
		t.Errorf("a reader that fails is no fault of the record: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestExportRefuses(t *testing.T) {
	s := makeSmall(t)
	full := errors.New("no space left")
	if err := ledger.Export(t.Context(), s.db(), writerFunc(func([]byte) (int, error) { return 0, full }), ledger.ExportOptions{}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ledger.Export(ctx, s.db(), &bytes.Buffer{}, ledger.ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.sql(t, "DELETE FROM entry WHERE seq = 19")
	if err := ledger.Export(t.Context(), s.db(), &bytes.Buffer{}, ledger.ExportOptions{}); err == nil || !strings.Contains(err.Error(), "entry 19 is missing") {
		t.Errorf("over a gap: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
