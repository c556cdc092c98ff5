package gateway

import (
	"io"
	"net/http"

	"andon/gateway/filter"
	"andon/gateway/upstream"
	"andon/wire"
)

// plain brings back an answer that is not a stream. One that fits the buffer,
// or whose tokens are counted (up to 16 MiB),
// is read to its end before the caller sees its head: until then the call can
// still be answered by a refusal, or by its fallback.
func (x *exchange) plain(c *call, conn *upstream.Conn, resp *http.Response) bool {
	x.grow(32 << 10)
	buf := x.buf[:cap(x.buf)]
	held := len(buf)
	metered := answered(resp) && x.metered()
	retrieved := answered(resp) && x.rt.Answers && x.r.Method != http.MethodDelete // what is removed may always be
	screened := x.screensPlain(c)
	begins := answered(resp) && (x.begin.kind != "" || x.begin.about != nil)
	if metered || retrieved || screened || begins && x.begin.kind != kindResponse {
		held = maxEvent // its usage, its model, or what must not go out, may stand at its end
	}
	n, err := 0, error(nil)
	for err == nil && n < held {
		if n == len(buf) {
			x.buf = append(buf, make([]byte, len(buf))...)
			buf = x.buf
		}
		var k int
		k, err = resp.Body.Read(buf[n:])
		n += k
	}
	whole := err == io.EOF
	if err != nil && !whole {
		conn.Close()
		if c.state.Load() != running || !c.state.CompareAndSwap(running, done) {
			return false
		}
		x.g.metrics.upstreamErrors.Inc()
		x.fail(&wire.Problem{Status: http.StatusBadGateway, Code: "upstream_broke_off", Title: "Upstream failed",
			Detail: "the provider broke off in the middle of its answer", Retry: true})
		return true
	}
	if begins && (whole || x.begin.kind == kindResponse) {
		x.note(c, buf[:n])
	}
	if retrieved && n > 0 {
		why := x.retrieved(c, buf[:n], whole)
		if why != nil {
			conn.Close()
			return x.deny(c, why, "")
		}
	}
	out := buf[:n]
	if screened || x.screensPlain(c) { // or it is since it began
		if !whole {
			conn.Close()
			return x.deny(c, &reason{status: http.StatusBadGateway, code: "answer_too_large", detail: "this answer is too large for the filters that are in force for now"}, "")
		}
		var why *reason
		var fallback string
		if out, why, fallback = x.screenPlain(c, buf[:n]); why != nil {
			conn.Close()
			if hit := x.answer.hit; !answered(resp) && hit != nil && hit.Cause == filter.Unreadable {
				// An error page, say: its status is what matters to the caller.
				why = &reason{status: max(resp.StatusCode, http.StatusBadRequest), code: "upstream_error",
					detail: "the provider refused or failed, in words that a filter which is in force for now can not look at"}
			}
			if metered && !x.wr.Usage(x.rt, buf[:n], &x.usage) {
				x.estimated(n)
			}
			return x.deny(c, why, fallback)
		}
	}
	if whole {
		if !c.state.CompareAndSwap(running, done) {
			conn.Close()
			return false
		}
		conn.Release(resp)
		if metered {
			x.follow(buf[:n])
		}
		if metered && !x.wr.Usage(x.rt, buf[:n], &x.usage) {
			x.estimated(n)
		}
		x.copyHead(resp, int64(len(out)))
		x.w.Write(out)
		x.g.metrics.outcome(x, "ok")
		return true
	}
	// Too large to hold: from here on a cut can only be a broken connection.
	x.copyHead(resp, resp.ContentLength)
	defer conn.Close()
	for {
		if metered {
			x.estimated(n)
		}
		x.deadline(c)
		if _, werr := x.w.Write(buf[:n]); werr != nil {
			c.depart()
			return true
		}
		if err == io.EOF {
			if c.state.CompareAndSwap(running, done) {
				x.g.metrics.outcome(x, "ok")
			}
			return true
		}
		n, err = resp.Body.Read(buf)
		if err != nil && err != io.EOF || c.state.Load() != running {
			x.brokenPlain(c)
			panic(http.ErrAbortHandler)
		}
	}
}

// brokenPlain notes why an answer that its caller has seen the beginning of is
// broken off, so that it can be explained: the caller only sees the connection end.
func (x *exchange) brokenPlain(c *call) {
	switch c.state.Load() {
	case cut:
		p := x.g.problem(c, c.why.Load())
		x.g.record(x, c, "cut", p.Status, p.Corrections)
		x.g.metrics.outcome(x, "cut")
	case gone:
		x.g.metrics.outcome(x, "client_gone")
	default:
		x.g.metrics.upstreamErrors.Inc()
		x.g.metrics.outcome(x, "broken")
	}
}

// estimated counts n bytes of an answer that does not say what it used.
func (x *exchange) estimated(n int) {
	if x.rt.Op == wire.OpGenerate {
		x.counted += int64(n)/bytesPerToken + 1
	}
}

func (x *exchange) grow(n int) {
	if cap(x.buf) < n {
		x.buf = make([]byte, n)
	}
}
