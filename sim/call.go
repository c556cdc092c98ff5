package sim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// call is one request being answered. One goroutine owns it.
type call struct {
	sim  *Sim
	w    http.ResponseWriter
	r    *http.Request
	wire wire
	body []byte
	seq  uint64
	at   time.Time // by the Sim's clock
	from time.Time // when the pace began, real time
	done <-chan struct{}

	entry *entry // nil if nothing is journalled
	timer *time.Timer
	count *atomic.Int64 // the gauge it stands in, nil if none
}

// serve answers everything: /_sim at once, the rest through the journal.
func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if r.URL.RawPath != "" {
		path = r.URL.RawPath // %2F is no slash: what is sent is what is matched
	}
	if strings.HasPrefix(path, "/_sim/") {
		s.admin(w, r)
		return
	}
	e := &entry{at: s.cfg.Now(), method: r.Method, path: path, query: r.URL.RawQuery, proto: r.Proto, header: r.Header}
	c := &call{sim: s, w: w, r: r, wire: wireOf(path, r), at: e.at, from: time.Now(), done: r.Context().Done()}
	body, err := readBody(r, s.cfg.MaxBody)
	e.body, c.body = body, body
	s.journal.add(e)
	c.seq = e.seq
	if s.journal.ring != nil {
		c.entry = e
	}
	defer c.close()
	c.headers()
	switch {
	case errors.Is(err, errTooLarge):
		c.refuse(http.StatusRequestEntityTooLarge, "the request body is too large")
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.ended(endGone) // the client broke off while sending
		panic(http.ErrAbortHandler)
	case err != nil:
		c.refuse(http.StatusBadRequest, "the request body cannot be read")
	case encoded(r):
		c.refuse(http.StatusUnsupportedMediaType, "compressed request bodies are not read")
	default:
		c.route(path)
	}
}

func encoded(r *http.Request) bool {
	v := r.Header["Content-Encoding"]
	return len(v) > 0 && v[0] != "" && v[0] != "identity"
}

var errTooLarge = errors.New("read body: larger than the bound")

// readBody reads to the end, which also lets the server notice a client that
// leaves. The slice is the caller's to keep.
func readBody(r *http.Request, most int64) ([]byte, error) {
	switch n := r.ContentLength; {
	case n == 0:
		return nil, nil
	case n > most:
		return nil, errTooLarge
	case n > 0:
		b := make([]byte, n)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, errTooLarge
	}
	return b, err
}

// headers sets what each provider sends with every answer.
func (c *call) headers() {
	id := string(appendID(nil, "req_", c.seq))
	h := c.w.Header()
	switch c.wire {
	case anthropic:
		h["Request-Id"] = []string{id}
	case openai:
		h["X-Request-Id"] = []string{id}
		h["Openai-Version"] = openaiVersion
	}
}

var openaiVersion = []string{"2020-10-01"}

// open counts the call in a gauge until it has ended.
func (c *call) open(gauge *atomic.Int64) {
	gauge.Add(1)
	c.count = gauge
}

// ended takes the call off its gauge and tells the journal how it ended; a
// later word corrects an earlier one.
func (c *call) ended(how uint32) {
	if c.count != nil {
		c.count.Add(-1)
		c.count = nil
	}
	if c.entry != nil {
		c.entry.end.Store(how)
	}
}

// leave accounts for a client that is gone, or for the end of the simulation,
// whichever ended the call's context.
func (c *call) leave() {
	how := endGone
	if errors.Is(context.Cause(c.r.Context()), errStopped) {
		how = endStopped
	}
	c.ended(how)
	if how == endStopped {
		panic(http.ErrAbortHandler)
	}
}

// errStopped is the cause of a context that Stop cancelled.
var errStopped = errors.New("simulation stopped")

// close runs last, after an abort too.
func (c *call) close() {
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.count != nil {
		c.ended(endGone)
	}
}

// begun notes the status before the first byte goes out.
func (c *call) begun(status int) {
	if c.entry != nil {
		c.entry.status.Store(int32(status))
	}
}

func (c *call) tokens(n int64) {
	if c.entry != nil {
		c.entry.tokens.Add(n)
	}
}

// segment decodes one path segment of path, which is escaped if the request's
// path has to be.
func (c *call) segment(s string) string {
	if c.r.URL.RawPath == "" {
		return s
	}
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// appendID appends an identifier that follows the request's number alone.
func appendID(b []byte, prefix string, seq uint64) []byte {
	const digits = "0123456789abcdef"
	b = append(append(b, prefix...), "sim"...)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[seq>>shift&15])
	}
	return b
}
