package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/gateway/limit"
	"andon/gateway/record"
	"andon/order"
)

// A snapshot is this gateway's part of the evidence: what it was, and what it did,
// as a correction altered it. It is made when it is asked for, on a goroutine of
// the bus; no request and no order waits for it.

// snapshot answers the control plane. What it has not signed, what is for another
// gateway and what is old gets no answer: it may be somebody who wants to read
// prompts.
func (a *agent) snapshot(m bus.Msg) {
	q, err := order.OpenSnapshotAsk(m.Data, a.follower.Trust())
	now, _ := a.g.clock.span()
	fresh := q.At.UnixNano() >= now.Early-int64(order.SnapshotFresh) && q.At.UnixNano() <= now.Late+int64(order.SnapshotFresh)
	if err != nil || q.Gateway != a.g.cfg.Name || !fresh {
		a.g.log.Warn("refused to give evidence", "error", err, "for", printable(q.Gateway), "asked_at", q.At)
		return
	}
	s := a.g.evidence(&q)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.do(ctx, func() { s.Trouble = a.trouble }); err != nil {
		s.Missing = append(s.Missing, order.SnapshotGap{What: "trouble", Why: "the agent was busy"})
	}
	data, err := json.Marshal(s, json.Deterministic(true), json.FormatNilSliceAsNull(false))
	if err == nil && len(data) > q.Bytes { // what callers wrote had more to be escaped than was thought
		for i := range s.Prompts {
			for j := range s.Prompts[i].Prompts {
				if p := &s.Prompts[i].Prompts[j]; p.Text != "" {
					p.Text, p.Why = "", "the answer had no more room for texts"
				}
			}
		}
		data, err = json.Marshal(s, json.Deterministic(true), json.FormatNilSliceAsNull(false))
	}
	if err != nil || len(data) > q.Bytes {
		a.g.log.Error("evidence cannot be given", "bytes", len(data), "allowed", q.Bytes, "error", err)
		return
	}
	if err := m.Respond(data); err != nil {
		a.g.log.Error("evidence was not sent", "bytes", len(data), "error", err)
	}
}

// evidence makes the answer to an ask.
func (g *Gateway) evidence(q *order.SnapshotAsk) *order.Snapshot {
	_, mono := g.clock.span()
	s := &order.Snapshot{Gateway: g.cfg.Name, Boot: g.boot, Version: Version, At: time.Now().UTC(), Stale: g.lease.over(mono), Missing: []order.SnapshotGap{}}
	if left := g.lease.until.Load(); left > mono {
		s.LeaseMS = (left - mono) / int64(time.Millisecond)
	}
	wanted := func(name string) bool { return len(q.Models) == 0 || slices.Contains(q.Models, name) }
	now := g.current.Load()
	if now == nil {
		s.Missing = append(s.Missing, order.SnapshotGap{What: "ruling", Why: "this gateway has no valid order yet"})
	} else {
		s.Revision, s.Head, s.Lists = now.revision, now.head, g.agent.lists.report(now)
	}
	rl := now.as()
	until := s.At
	if q.Revision > 0 {
		switch x, ok := g.captures.of(q.Revision); {
		case ok:
			rl, until = x.before, x.at
			s.Captured = g.captured(&x, wanted)
			if rl == nil {
				s.Missing = append(s.Missing, order.SnapshotGap{What: "ruling", Why: "the order was the first one here"})
			}
		case rl != nil && rl.revision < q.Revision:
			s.Missing = append(s.Missing, order.SnapshotGap{What: "captured", Why: "the order has not come here yet: what is told is as it stands"})
		default:
			s.Missing = append(s.Missing, order.SnapshotGap{What: "captured", Why: "this gateway no longer knows what stood before the order, or had it when it started"})
		}
	}
	if rl != nil {
		s.Ruling = g.ruled(rl, wanted, &s.Missing)
	}
	s.Models, s.Detectors = g.served(wanted), g.detects()
	s.InFlight = g.flying(wanted)
	s.Limits = g.used(rl, wanted, g.limits.Now(mono))
	s.Decisions = g.decisions.until(until, min(max(q.Refusals, 0), order.MaxSnapshotRefusals), wanted)
	if g.recorder == nil {
		s.Missing = append(s.Missing, order.SnapshotGap{What: "rates", Why: "calls are not recorded here (gateway.record.requests: 0)"})
	}
	for _, r := range g.recorder.Rates(until.Add(-time.Hour), wanted) {
		m := order.SnapshotRate{Minute: r.Minute, Outcomes: map[string]int64{}}
		for o, n := range r.Outcomes {
			if n > 0 {
				m.Outcomes[record.OutcomeNames[o]] = n
			}
		}
		s.Rates = append(s.Rates, m)
	}
	if !q.Prompts {
		return s
	}
	if g.cfg.SystemPrompts == promptsOff {
		s.Missing = append(s.Missing, order.SnapshotGap{What: "system_prompts", Why: "they are not kept here (gateway.system_prompts: off)"})
		return s
	}
	rest, _ := json.Marshal(s) // plain data
	room := q.Bytes - len(rest) - 64<<10
	for _, m := range g.order {
		if wanted(m.as) {
			s.Prompts = append(s.Prompts, m.prompts.report(m.Name, &room))
		}
	}
	return s
}

func (g *Gateway) captured(x *capture, wanted func(string) bool) *order.Captured {
	c := &order.Captured{At: x.at.UTC(), Revision: x.after, Stale: x.stale, InFlight: g.inFlight(x.flight, wanted)}
	if x.before != nil {
		c.Before = x.before.revision
		c.Emergency = x.extra > x.before.extra
	}
	return c
}

// flying counts what runs now.
func (g *Gateway) flying(wanted func(string) bool) []order.InFlight {
	f, now := make(flight, g.captures.places), time.Now()
	g.live.all(func(c *call) { f.count(c, now) })
	return g.inFlight(f.lines(), wanted)
}

// ruled tells of a ruling, and of the corrections in it that can reach the models.
func (g *Gateway) ruled(rl *stood, wanted func(string) bool, missing *[]order.SnapshotGap) order.SnapshotRuling {
	out := order.SnapshotRuling{Revision: rl.revision, Head: rl.head, IssuedAt: rl.issued, Rules: rl.len(), Emergencies: rl.extra, Corrections: []order.SnapshotCorrection{}}
	h := sha256.New()
	more := 0
	rl.each(func(c *correction.Correction) bool {
		data, err := json.Marshal(c, json.Deterministic(true))
		if err != nil {
			return true
		}
		h.Write(data)
		h.Write([]byte{'\n'})
		if !canReach(c, wanted) {
			return true
		}
		if len(out.Corrections) == order.MaxSnapshotCorrections {
			more++
			return true
		}
		x := order.SnapshotCorrection{ID: c.ID, Kind: c.Kind, Shadow: c.Mode == correction.Shadow, Digest: digest(data), Detector: c.Params.Detector}
		if f := c.Params.Filter; f != nil {
			x.Detector = f.Detector
			if f.Detector == correction.DetectorPatterns {
				x.Patterns = digestOf([2][]string{f.Patterns, f.Regexps})
			}
			if sc := rl.screens.rules[c]; sc != nil && sc.err != nil {
				x.Error = sc.err.Error()
			}
		}
		out.Corrections = append(out.Corrections, x)
		return true
	})
	out.Digest = hex.EncodeToString(h.Sum(nil))
	if more > 0 {
		*missing = append(*missing, order.SnapshotGap{What: "ruling.corrections", Why: "there are more than are listed; the digest is of all"})
	}
	return out
}

// canReach says whether a correction can reach one of the models, as far as its
// scope names models.
func canReach(c *correction.Correction, wanted func(string) bool) bool {
	return len(c.Scope.Models) == 0 || slices.ContainsFunc(c.Scope.Models, wanted)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// digestOf names plain data: SHA-256 of its JSON.
func digestOf(v any) string {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("gateway: encode plain data: " + err.Error())
	}
	return digest(data)
}

// served are the models as they are configured: never a key.
func (g *Gateway) served(wanted func(string) bool) []order.SnapshotModel {
	out := []order.SnapshotModel{}
	for _, m := range g.order {
		if !wanted(m.as) {
			continue
		}
		v := order.SnapshotModel{Name: m.Name, Version: m.Version, Upstream: m.Upstream, Wire: m.wire, UpstreamModel: m.UpstreamModel,
			Base: m.Base, Aliases: m.Aliases, OnStale: string(m.OnStale), Fallback: m.Fallback}
		for _, x := range m.Versions {
			v.Versions = append(v.Versions, x.Version+"="+x.UpstreamModel)
		}
		v.Digest = digestOf(v)
		out = append(out, v)
	}
	return out
}

// detects are the classifiers that filters can name: never a key.
func (g *Gateway) detects() []order.SnapshotDetector {
	out := []order.SnapshotDetector{}
	for _, d := range g.cfg.Detectors {
		name := order.SnapshotDetector{Name: d.Name, Type: d.Type, Model: d.Model}
		d.Key = ""
		name.Digest = digestOf(d)
		out = append(out, name)
	}
	return out
}

// used are the limits that can reach the models, with what is used of them.
func (g *Gateway) used(rl *stood, wanted func(string) bool, now int64) []order.SnapshotLimit {
	out := []order.SnapshotLimit{}
	if rl == nil {
		return out
	}
	place := map[string]int{}
	rl.each(func(c *correction.Correction) bool {
		if c.Kind != correction.Rate || c.Params.Limit == nil || !canReach(c, wanted) || len(out) == order.MaxSnapshotCorrections {
			return true
		}
		v := order.SnapshotLimit{Correction: c.ID, Metric: c.Params.Metric, Limit: *c.Params.Limit, Per: c.Params.Per, Most: []order.SnapshotBucket{}}
		if c.Params.Window > 0 {
			v.Window = c.Params.Window.String()
		}
		place[c.ID] = len(out)
		out = append(out, v)
		return true
	})
	uses := g.limits.Used(now, func(rule string) bool { _, ok := place[rule]; return ok }, order.MaxSnapshotBuckets)
	for id, u := range uses {
		v := &out[place[id]]
		v.Buckets, v.Used = u.Buckets, u.Used
		for _, b := range u.Most {
			v.Most = append(v.Most, order.SnapshotBucket{Value: g.masked(v.Per, b), Used: b.Used})
		}
	}
	return out
}

// masked is what a bucket counts by, with users and addresses as pseudonyms.
func (g *Gateway) masked(per string, b limit.Bucket) string {
	switch {
	case b.Value == "":
		return ""
	case per == "user":
		return g.pseudo.User(b.Value)
	case per == "ip":
		if p, err := netip.ParsePrefix(b.Value); err == nil {
			return g.pseudo.Prefix(p).String()
		}
		if a, err := netip.ParseAddr(b.Value); err == nil {
			return g.pseudo.Addr(a).String()
		}
		return "?"
	}
	return b.Value
}

// until lists what is remembered up to a time, the newest first, of the models
// that are wanted.
func (d *decisions) until(at time.Time, most int, wanted func(string) bool) []order.Decision {
	out := []order.Decision{}
	n := d.next.Load()
	for i := uint64(1); i <= uint64(len(d.ring)) && i <= n && len(out) < most; i++ {
		if x := d.ring[(n-i)%uint64(len(d.ring))].Load(); x != nil && !x.At.After(at) && wanted(x.Model) {
			out = append(out, *x)
		}
	}
	return out
}
