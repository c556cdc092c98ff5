package sim

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// finish is why the saying ended; each wire has its own word for it.
type finish uint8

const (
	finishStop finish = iota
	finishLength
	finishTool
)

// prompt is what a request for output says, whatever the wire.
type prompt struct {
	model  string
	stream bool
	n      int    // choices; at least 1
	most   int64  // bound on output tokens; 0: none
	input  int64  // tokens of the input
	last   string // text of the last user message
	tools  []tool
	must   string // tool that the request insists on; "" if none, "*" if any
	never  bool   // tools were offered, but must not be called
	asked  bool   // a tool's result follows the last user message: its tool directive is done with
}

// answer is what will be said to a prompt.
type answer struct {
	seq     uint64
	created time.Time
	model   string
	input   int64
	says    []speech // one for each choice
	why     finish
	tool    string // name of the tool called, "" if none
	args    string // its arguments, a JSON object
	dir     Directive
}

// output is how many tokens all choices say together.
func (a *answer) output() (n int64) {
	for i := range a.says {
		n += int64(a.says[i].n)
	}
	return n
}

// whole reports whether a tool's arguments were not cut short by the bound.
func (a *answer) whole() bool { return a.why == finishTool }

// plan decides what is said. The error names what is wrong with a directive.
func plan(p *prompt, c *call) (*answer, error) {
	d, err := ParseDirective(p.last)
	if err != nil {
		return nil, fmt.Errorf("read directive: %w", err)
	}
	a := &answer{seq: c.seq, created: c.at, model: p.model, input: max(1, p.input), dir: d}
	name := d.Tool
	if p.asked || p.never {
		name = ""
	}
	if name == "" && p.must != "" && len(p.tools) > 0 && !p.asked {
		if name = p.must; name == "*" {
			name = p.tools[0].name
		}
	}
	var pieces []string
	switch {
	case name != "":
		a.tool, a.args, a.why = name, arguments(p.tools, name, seedOf(p.model, p.last)), finishTool
		pieces = escapeAll(split(a.args))
	case d.HasText:
		pieces = escapeAll(split(d.Text))
	}
	n := d.Tokens
	if name != "" || d.HasText {
		n = len(pieces)
		if pieces == nil {
			pieces = []string{}
		}
	}
	if p.most > 0 && int64(n) > p.most {
		n, a.why = int(p.most), finishLength
	}
	a.says = make([]speech, max(1, p.n))
	for i := range a.says {
		a.says[i] = speech{seed: mix(seedOf(p.model, p.last) + uint64(i)), pieces: pieces, n: n}
	}
	return a, nil
}

// voice is a wire's way of saying an answer. Each call has its own.
type voice interface {
	// plain appends the whole answer as one body.
	plain(b []byte) []byte
	// kind is the content type of the stream.
	kind() []string
	// begin emits the events before the first token.
	begin(o *stream)
	// piece emits token i of every choice.
	piece(o *stream, i int)
	// end emits the events after the last token, the very last one with [stream.last].
	end(o *stream)
	// fail emits the error that ends a stream early, with [stream.last].
	fail(o *stream, status int)
}

// stream writes events, each with its own flush, until the first failure.
type stream struct {
	c   *call
	w   http.ResponseWriter
	f   interface{ FlushError() error }
	buf []byte // the event being built
	err error
}

// emit sends the event in buf and empties it.
func (o *stream) emit() {
	if o.err == nil {
		if _, o.err = o.w.Write(o.buf); o.err == nil {
			o.err = o.f.FlushError()
		}
	}
	o.buf = o.buf[:0]
}

// last sends the event in buf, by which the client knows that the answer is
// over: the call is accounted as ended first, so that whoever has read the end
// finds it ended.
func (o *stream) last(end uint32) {
	if o.err == nil {
		o.c.ended(end)
	}
	o.emit()
}

// speak says the answer, plain or as a stream, at its pace, until it is over or
// the client is gone.
func (c *call) speak(a *answer, v voice, streaming bool) {
	d := &a.dir
	if d.Status != 0 && d.After < 0 {
		if c.sleepUntil(c.from.Add(d.First)) {
			c.refuse(d.Status, "")
		}
		return
	}
	c.sim.served.Add(1)
	if streaming {
		c.open(&c.sim.streams)
		c.stream(a, v)
		return
	}
	c.open(&c.sim.plain)
	c.answerPlain(a, v)
}

// answerPlain waits as long as saying it would take, then sends one body.
func (c *call) answerPlain(a *answer, v voice) {
	d, n := &a.dir, a.says[0].n
	says := n
	for _, stop := range []int{d.Cut, d.Stall, d.After} {
		if stop >= 0 && stop < says {
			says = stop
		}
	}
	if d.First > 0 || d.Interval > 0 {
		if !c.sleepUntil(c.from.Add(d.First + time.Duration(says)*d.Interval)) {
			return
		}
	}
	switch {
	case d.Cut >= 0 && d.Cut <= says:
		c.abort()
	case d.Stall >= 0 && d.Stall <= says:
		c.sleepUntil(time.Time{})
		return
	case d.Status != 0 && d.After <= says:
		c.refuse(d.Status, "")
		return
	}
	buf := buffers.Get().(*[]byte)
	b := v.plain((*buf)[:0])
	c.tokens(a.output())
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, b)
	*buf = b
	buffers.Put(buf)
}

// stream sends the events of an answer at its pace.
func (c *call) stream(a *answer, v voice) {
	flusher, ok := c.w.(interface{ FlushError() error })
	if !ok {
		c.refuse(http.StatusInternalServerError, "this server cannot stream")
		return
	}
	h := c.w.Header()
	h["Content-Type"] = v.kind()
	h["Cache-Control"] = noCache
	c.begun(http.StatusOK)
	o := &stream{c: c, w: c.w, f: flusher, buf: make([]byte, 0, 512)}
	v.begin(o)

	d, n := &a.dir, a.says[0].n
	next := c.from.Add(d.First)
	paced := d.First > 0 || d.Interval > 0
	for i := 0; ; i++ {
		switch {
		case i == d.Cut:
			c.abort()
		case i == d.Stall:
			c.sleepUntil(time.Time{})
			return
		case d.Status != 0 && i == d.After:
			v.fail(o, d.Status)
			c.check(o)
			return
		}
		if i == n {
			break
		}
		if paced {
			if !c.sleepUntil(next) {
				return
			}
			// The schedule is absolute, so pauses do not add up; after a
			// client that did not read, it begins anew instead of rushing.
			if next = next.Add(d.Interval); d.Interval > 0 && time.Since(next) > d.Interval {
				next = time.Now()
			}
		} else if c.gone() {
			return
		}
		v.piece(o, i)
		c.tokens(int64(len(a.says)))
		if !c.check(o) {
			return
		}
	}
	v.end(o)
	c.check(o)
}

// check accounts for a client that no longer takes what is written.
func (c *call) check(o *stream) bool {
	if o.err != nil {
		c.leave()
		return false
	}
	return true
}

// sleepUntil waits for an instant, for ever if it is zero. False means that the
// client has gone or the simulation stops; the call is then accounted for.
func (c *call) sleepUntil(at time.Time) bool {
	var fire <-chan time.Time
	if !at.IsZero() {
		pause := time.Until(at)
		if pause <= 0 {
			return !c.gone()
		}
		if c.timer == nil {
			c.timer = time.NewTimer(pause)
		} else {
			c.timer.Reset(pause)
		}
		fire = c.timer.C
	}
	select {
	case <-fire:
		return true
	case <-c.done:
		c.leave()
		return false
	}
}

// gone looks without waiting.
func (c *call) gone() bool {
	select {
	case <-c.done:
		c.leave()
		return true
	default:
		return false
	}
}

// abort breaks the connection off without the end that the protocol wants.
func (c *call) abort() {
	c.ended(endCut)
	panic(http.ErrAbortHandler)
}

// buffers hold plain bodies while they are rendered.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

var (
	typeJSON   = []string{"application/json"}
	typeSSE    = []string{"text/event-stream; charset=utf-8"}
	noCache    = []string{"no-cache"}
	retryAfter = []string{"1"}
)

// send writes a whole answer.
func (c *call) send(status int, kind []string, body []byte) {
	h := c.w.Header()
	h["Content-Type"] = kind
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.begun(status)
	c.w.WriteHeader(status)
	if _, err := c.w.Write(body); err != nil {
		c.leave()
	}
}
