package control

import (
	"strings"
	"sync"

	"andon/bus"
)

// What may wait of one gateway on one subject. More than that is dropped like any
// message that is lost: gateways repeat what counts.
const (
	maxWaiting      = 256
	maxWaitingBytes = 32 << 20
)

// lanes hands on what gateways say in their own names, each gateway's in order, and
// no gateway's behind another's: one that floods a subject, or whose messages take
// long, keeps nobody waiting but itself.
type lanes struct {
	f    func(bus.Msg)
	full func(speaker string)

	mu sync.Mutex
	of map[string]*lane // of those who have something waiting, or being handled
}

type lane struct {
	wait  []bus.Msg
	bytes int
}

// take is a subscription's function. It waits for nothing.
func (l *lanes) take(m bus.Msg) {
	who := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.of[who]
	switch {
	case at == nil:
		at = &lane{}
		if l.of == nil {
			l.of = map[string]*lane{}
		}
		l.of[who] = at
		go l.run(who, at)
	case len(at.wait) >= maxWaiting || len(at.wait) > 0 && at.bytes+len(m.Data) > maxWaitingBytes:
		l.full(who)
		return
	}
	at.wait, at.bytes = append(at.wait, m), at.bytes+len(m.Data)
}

// run handles what waits in one lane, and ends with it.
func (l *lanes) run(who string, at *lane) {
	for {
		l.mu.Lock()
		if len(at.wait) == 0 {
			delete(l.of, who)
			l.mu.Unlock()
			return
		}
		m := at.wait[0]
		at.wait, at.bytes = at.wait[1:], at.bytes-len(m.Data)
		l.mu.Unlock()
		l.f(m)
	}
}

// lane makes what gateways say in their own names wait for each gateway's own alone.
func (c *Control) lane(subject string, f func(bus.Msg)) func(bus.Msg) {
	l := &lanes{f: f, full: func(who string) {
		c.metrics.alarms.Inc()
		if text := subject + " of " + short(who) + " is flooded"; c.complaints.first(text) {
			c.log.Error("ALARM: a gateway says more than can be taken in; the rest is dropped, and no other gateway waits for it", "gateway", short(who), "subject", subject)
		}
	}}
	return l.take
}
