package front

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// body is a request's body. It says "100 Continue" to a client that waits for
// it, when it is first read, and starts the watch at its end.
type body struct {
	c        *conn
	r        io.ReadCloser
	expected bool
	ended    bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	if b.expected {
		b.expected = false
		if err := b.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return 0, err
		}
	}
	if b.c.r.Buffered() < len(p) {
		b.c.allow(bodyTimeout, bodyTimeout/2)
	}
	n, err := b.r.Read(p)
	if err == io.EOF {
		b.ended = true
		b.c.arm()
	}
	return n, err
}

// bodyTimeout is how long a client may stay silent in the middle of a body.
const bodyTimeout = 30 * time.Second

func (b *body) Close() error { return nil }

// drained is how much of a body that nobody wanted is read and thrown away, in
// bytes, so that the connection can go on.
const drained = 256 << 10

// drain reads what is left of a body. It reports whether it came to its end.
func (b *body) drain(length int64) bool {
	if b.expected || length > drained {
		return false
	}
	io.CopyN(io.Discard, b, drained)
	return b.ended
}

// response is the answer to one request. What a handler writes before it
// flushes is held, up to a buffer, so that a small answer leaves in one write.
type response struct {
	c      *conn
	r      *http.Request
	header http.Header
	status int  // 0 until the head is decided
	sent   bool // the head has left
	chunks bool // the body is sent in chunks, each flush one
	length int64
	put    int64 // bytes of the body written
	close  bool
	failed error
	ended  bool   // End was called
	rest   []byte // of what it wrote
	hijack bool   // the handler has taken the connection over
	head   []byte
	buf    []byte
}

const heldBytes = 4 << 10

// write writes all of p, as long as the client reads. A handler's own deadline
// comes first.
func (c *conn) write(p []byte) error {
	for len(p) > 0 {
		if !c.timed.Load() {
			silent := unread
			if c.s.silent > 0 {
				silent = c.s.silent
			}
			if now := time.Now(); c.reads.Sub(now) < silent/2 {
				c.reads = now.Add(silent)
				c.nc.SetWriteDeadline(c.reads)
			}
		}
		n, err := c.nc.Write(p[:min(len(p), 64<<10)])
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (w *response) reset(r *http.Request) {
	h := w.header
	clear(h)
	if h == nil {
		h = http.Header{}
	}
	*w = response{c: w.c, r: r, header: h, head: w.head[:0], buf: w.buf[:0], length: -1}
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// decide fixes how the body is sent.
func (w *response) decide(final bool) {
	w.sent = true
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if b := w.r.Body.(*body); !b.ended && !b.drain(w.r.ContentLength) {
		w.close = true
	}
	bodyless := w.r.Method == http.MethodHead || w.status == http.StatusNoContent || w.status == http.StatusNotModified
	if v := w.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
	if w.length < 0 && final {
		w.length = int64(len(w.buf))
	}
	b := append(w.head[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(w.status)...)
	b = append(b, "\r\n"...)
	for k, vs := range w.header {
		if k == "Content-Length" || k == "Connection" || k == "Transfer-Encoding" {
			continue
		}
		for _, v := range vs {
			b = append(b, k...)
			b = append(b, ": "...)
			b = appendValue(b, v)
			b = append(b, "\r\n"...)
		}
	}
	if w.header["Date"] == nil {
		b = append(b, "Date: "...)
		b = append(b, *date()...)
		b = append(b, "\r\n"...)
	}
	switch {
	case w.status == http.StatusNoContent:
	case w.length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, w.length, 10)
		b = append(b, "\r\n"...)
	case bodyless:
	case w.r.ProtoAtLeast(1, 1):
		w.chunks = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		w.close = true // the end of the connection is the end of the body
	}
	if w.r.Close || w.close || w.r.ProtoMajor == 1 && w.r.ProtoMinor == 0 {
		w.close = true
		b = append(b, "Connection: close\r\n"...)
	}
	w.head = append(b, "\r\n"...)
}

// appendValue appends a header's value; a line break in it would begin another
// header, so it becomes a space.
func appendValue(b []byte, v string) []byte {
	from := len(b)
	b = append(b, v...)
	for i := from; i < len(b); i++ {
		if b[i] == '\r' || b[i] == '\n' || b[i] == 0 {
			b[i] = ' '
		}
	}
	return b
}

func (w *response) Write(p []byte) (int, error) {
	if w.failed != nil {
		return 0, w.failed
	}
	if len(w.buf)+len(p) <= heldBytes {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if err := w.send(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush sends what is held.
func (w *response) Flush() {
	if w.failed == nil && (len(w.buf) > 0 || !w.sent) {
		w.send(nil, false)
	}
}

const crlf = "\r\n"

// send writes the head if it has not left, then what is held, then p: in one
// write to the network where they are small.
func (w *response) send(p []byte, final bool) error {
	if !w.sent {
		w.decide(final)
	} else {
		w.head = w.head[:0]
	}
	n := len(w.buf) + len(p)
	w.put += int64(n)
	if w.length >= 0 && w.put > w.length {
		return w.fail(http.ErrContentLength)
	}
	out := w.head
	if w.r.Method == http.MethodHead || w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		n = 0
		w.buf, p = w.buf[:0], nil
	}
	if w.chunks && n > 0 {
		out = strconv.AppendInt(out, int64(n), 16)
		out = append(out, crlf...)
	}
	out = append(out, w.buf...)
	w.buf = w.buf[:0]
	small := len(p) <= 16<<10
	if small {
		out = append(out, p...)
	}
	if w.chunks {
		if n > 0 && small {
			out = append(out, crlf...)
		}
		if final && small {
			out = append(out, "0\r\n\r\n"...)
		}
	}
	w.head = out[:0]
	if len(out) > 0 {
		if err := w.c.write(out); err != nil {
			return w.fail(err)
		}
	}
	if !small {
		if err := w.c.write(p); err != nil {
			return w.fail(err)
		}
		if w.chunks {
			if err := w.c.write([]byte(crlf)); err != nil {
				return w.fail(err)
			}
		}
	}
	return nil
}

func (w *response) fail(err error) error {
	w.failed = err
	return err
}

// End writes the last bytes of an answer in chunks, and its end, without waiting:
// what the network does not take at once goes out when the handler returns. It
// may be called from another goroutine, once, while the handler is not in a
// call of its own; after it the handler writes nothing more. It reports false,
// and has done nothing, where that cannot be: under TLS a write that does not
// wait could leave half a record, so that the handler has to write the end.
func (w *response) End(p []byte) bool {
	sc, ok := w.c.nc.(syscall.Conn)
	if !ok {
		return false
	}
	if w.failed != nil || w.ended || !w.sent || len(w.buf) > 0 {
		return true
	}
	w.ended = true
	out := w.head[:0]
	if w.chunks {
		out = strconv.AppendInt(out, int64(len(p)), 16)
		out = append(out, crlf...)
		out = append(out, p...)
		out = append(out, "\r\n0\r\n\r\n"...)
	} else {
		out = append(out, p...)
	}
	w.head, w.rest = out, out
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	rc.Write(func(fd uintptr) bool {
		if n, err := syscall.Write(int(fd), out); err == nil {
			w.rest = out[n:]
		}
		return true // whatever it was: the handler's goroutine does the rest
	})
	return true
}

// finish ends the answer. It reports whether it went out whole.
func (w *response) finish() bool {
	if w.c.timed.Swap(false) {
		w.c.reads = time.Time{}
		w.c.nc.SetWriteDeadline(w.c.reads)
	}
	if w.failed != nil {
		return false
	}
	if w.ended {
		if len(w.rest) > 0 {
			if w.c.write(w.rest) != nil {
				return false
			}
		}
		return w.chunks
	}
	if !w.sent || w.chunks || len(w.buf) > 0 {
		if w.send(nil, true) != nil {
			return false
		}
	}
	if cap(w.head) > 64<<10 {
		w.head = nil
	}
	return w.length < 0 || w.put == w.length || w.r.Method == http.MethodHead
}

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.c.timed.Store(true)
	return w.c.nc.SetWriteDeadline(t)
}

// SetReadDeadline is for http.ResponseController.
func (w *response) SetReadDeadline(t time.Time) error { return w.c.nc.SetReadDeadline(t) }

// dated is the Date header of one second, shared by all answers in it.
type dated struct {
	unix int64
	text string
}

var now atomic.Pointer[dated]

func date() *string {
	t := time.Now()
	d := now.Load()
	if d == nil || d.unix != t.Unix() {
		d = &dated{t.Unix(), t.UTC().Format(http.TimeFormat)}
		now.Store(d)
	}
	return &d.text
}
