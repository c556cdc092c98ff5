package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"andon/correction"
	"andon/detect"
	"andon/gateway/filter"
	"andon/wire"
)

// screens are the detectors of the corrections in force, compiled when their
// order arrives, and the guards that calls share. They belong to one ruling.
type screens struct {
	rules map[*correction.Correction]*screen // nobody writes to it: rulings share it

	mu     sync.Mutex // taken once for each combination of rules, then the guard is found without it
	guards sync.Map   // string of ids → *filter.Guard
}

// screen is what one correction looks for.
type screen struct {
	filter *correction.Filter
	rule   filter.Rule
	err    error // it cannot look: what it should look at is refused
}

// newScreens compiles what is new, and takes over the rest from the ruling
// before: all of it at once where nothing that looks has come or gone, as under
// most orders.
func (g *Gateway) newScreens(rl, before *ruling) *screens {
	var old map[*correction.Correction]*screen
	if before != nil && before.screens != nil {
		old = before.screens.rules
	}
	var looking []*correction.Rule
	kept := 0
	rl.policy.Each(func(r *correction.Rule) bool {
		if r.Filter() != nil || r.DisabledFeatures()&wire.AllTools != 0 || len(r.DisabledTools()) > 0 {
			looking = append(looking, r)
			if old[r.Correction] != nil {
				kept++
			}
		}
		return true
	})
	if kept == len(looking) && kept == len(old) {
		return &screens{rules: old}
	}
	s := &screens{rules: make(map[*correction.Correction]*screen, len(looking))}
	for _, r := range looking {
		sc := old[r.Correction]
		if sc == nil {
			sc = g.newScreen(r)
		}
		s.rules[r.Correction] = sc
	}
	return s
}

func (g *Gateway) newScreen(r *correction.Rule) *screen {
	id := r.Correction.ID
	sc := &screen{filter: r.Filter()}
	if sc.filter == nil {
		sc.rule = filter.Rule{ID: id, Tools: r.DisabledFeatures() & wire.AllTools, ToolNames: r.DisabledTools(), Action: filter.Cut}
	} else if sc.rule, sc.err = g.look(id, sc.filter); sc.err != nil {
		g.log.Error("a filter can not look for what it should: what it reaches is refused", "correction", id, "error", sc.err)
	}
	return sc
}

var filterActions = map[string]filter.Action{"block": filter.Block, "redact": filter.Redact, "cut": filter.Cut, "reroute": filter.Reroute, "hold": filter.Hold}

// look compiles a correction's filter.
func (g *Gateway) look(id string, f *correction.Filter) (filter.Rule, error) {
	r := filter.Rule{ID: id, Action: filterActions[f.Action], Threshold: f.Threshold, FailOpen: f.OnError == "pass"}
	if f.Detector == correction.DetectorPatterns {
		set, err := detect.Compile(detect.Spec{Literals: f.Patterns, Regexps: f.Regexps, Fold: !f.Exact})
		r.Set = set
		return r, err
	}
	c := g.detectors[f.Detector]
	if c == nil {
		return r, fmt.Errorf("this gateway's configuration declares no detector %q", f.Detector)
	}
	r.Classifier = c
	return r, nil
}

// guards are what a request, or its answer, is held against: the calls that
// wait for a person apart from the rest, since they may go on.
type guards struct{ hold, main *filter.Guard }

func (p guards) none() bool { return p.hold == nil && p.main == nil }

// guards returns what the verdict asks for. It returns the rule that cannot
// look, if there is one.
func (rl *ruling) guards(v *correction.Verdict, input bool) (p guards, broken *correction.Rule) {
	if len(v.Filters) == 0 && (input || len(v.Guards) == 0) {
		return guards{}, nil
	}
	var hold, main []*screen
	for _, r := range v.Filters {
		sc := rl.screens.rules[r.Correction]
		if sc == nil || sc.err != nil {
			return guards{}, r
		}
		if d := sc.filter.Direction; d != "both" && (d == "input") != input {
			continue
		}
		if sc.rule.Action == filter.Hold {
			hold = append(hold, sc)
		} else {
			main = append(main, sc)
		}
	}
	if !input {
		for _, r := range v.Guards {
			if sc := rl.screens.rules[r.Correction]; sc != nil {
				main = append(main, sc)
			}
		}
	}
	return guards{rl.screens.guard(hold), rl.screens.guard(main)}, nil
}

// guard returns the guard of a combination of rules; most calls under one
// ruling meet the same few.
func (s *screens) guard(list []*screen) *filter.Guard {
	if len(list) == 0 {
		return nil
	}
	var key strings.Builder
	for _, sc := range list {
		key.WriteString(sc.rule.ID)
		key.WriteByte(0)
	}
	if g, ok := s.guards.Load(key.String()); ok {
		return g.(*filter.Guard)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.guards.Load(key.String()); ok {
		return g.(*filter.Guard)
	}
	rules := make([]filter.Rule, len(list))
	for i, sc := range list {
		rules[i] = sc.rule
	}
	g, err := filter.New(rules)
	if err != nil {
		panic("gateway: " + err.Error()) // each rule looks for something
	}
	s.guards.Store(key.String(), g)
	return g
}

// ruleOf finds the rule of a hit among those of a verdict.
func ruleOf(v *correction.Verdict, id string) *correction.Rule {
	for _, list := range [...][]*correction.Rule{v.Filters, v.Guards} {
		for _, r := range list {
			if r.Correction.ID == id {
				return r
			}
		}
	}
	return nil
}

// screenInput holds the request against the filters on prompts. It returns why
// it is refused, and the model that may serve instead.
func (x *exchange) screenInput(c *call, rl *ruling) (*reason, string) {
	if why := x.decideRequests(c, rl); why != nil {
		return why, ""
	}
	if c.model.account && c.req.Brings && !c.req.Generates {
		x.tell(c, rl)
	}
	p, broken := rl.guards(&x.verdict, true)
	if broken != nil {
		return cannotLook(rl, broken), ""
	}
	if p.none() || p == x.screened || x.rt.Upgrade {
		return nil, "" // or it was looked at, before it was decided anew; or there are only events to come
	}
	if x.env.Form || x.rt.Body == wire.BodyAny {
		rule := x.verdict.Filters[0]
		return &reason{ruling: rl, refused: []*correction.Rule{rule}, detail: "A filter on prompts is in force for now, and can not look into this kind of body."}, ""
	}
	ctx, stop := c.wait(x.r.Context())
	defer stop()
	if _, hit := p.hold.Input(ctx, x.wr, x.rt, x.body); hit != nil {
		rule := ruleOf(&x.verdict, hit.ID)
		if hit.Cause == filter.Unreadable || !x.await(c, rule, "input", x.excerpt(rl, rule, x.body, true)) {
			return x.found(rl, rule, hit), ""
		}
	}
	out, hit := p.main.Input(ctx, x.wr, x.rt, x.body)
	if hit != nil {
		rule := ruleOf(&x.verdict, hit.ID)
		return x.found(rl, rule, hit), x.instead(c, rule, hit)
	}
	if len(out) != len(x.body) || len(out) > 0 && &out[0] != &x.body[0] {
		x.body = append(x.body[:0:0], out...)
		if err := x.wr.Read(x.rt, x.body, &x.env); err != nil {
			return &reason{status: http.StatusBadRequest, code: "cannot_redact", detail: err.Error()}, ""
		}
		if x.env.Model == "" {
			x.env.Model = x.rt.Model
		}
		x.redacted = true
	}
	x.screened = p
	return nil, ""
}

// tell adds the filters on prompts of every model of the provider to those of a
// call that leaves texts there without saying for which.
func (x *exchange) tell(c *call, rl *ruling) {
	now, _ := x.g.clock.span()
	var v correction.Verdict
	for _, m := range x.g.order {
		if m.Upstream != c.model.Upstream || m.as != m.Name {
			continue
		}
		q := c.req
		m.describe(&q)
		rl.policy.Decide(&q, now, &v)
		for _, r := range v.Filters {
			if !slices.Contains(x.verdict.Filters, r) {
				x.verdict.Filters = append(x.verdict.Filters, r)
			}
		}
	}
}

// instead is the model that a filter sends a call to.
func (x *exchange) instead(c *call, rule *correction.Rule, hit *filter.Hit) string {
	if hit.Action != filter.Reroute {
		return ""
	}
	switch f := rule.Correction.Fallback; f {
	case "":
		return c.model.Fallback
	case correction.NoFallback:
		return ""
	default:
		return f
	}
}

// found says why a find refuses or ends a call, without a word of the text.
func (x *exchange) found(rl *ruling, rule *correction.Rule, hit *filter.Hit) *reason {
	why := &reason{ruling: rl, refused: []*correction.Rule{rule}}
	switch hit.Cause {
	case filter.Unreadable, filter.TooMuch:
		why.detail = "A filter that is in force for now can not look at this text."
	case filter.Failed:
		why.detail = "A filter that is in force for now could not judge this text: its classifier failed."
		x.g.log.Warn("a classifier failed, and its filter refuses", "request", x.id, "correction", hit.ID, "error", hit.Err)
	}
	x.g.metrics.filtered.WithLabelValues(string(hit.Cause)).Inc()
	return why
}

// excerpt is what a person is shown of a text that is held.
func (x *exchange) excerpt(rl *ruling, rule *correction.Rule, data []byte, input bool) []byte {
	texts, ok := x.wr.(wire.Texts)
	if !ok {
		return nil
	}
	var scratch []byte
	var pieces []wire.Piece
	if input {
		pieces = texts.AppendInputs(nil, x.rt, data, &scratch)
	} else {
		pieces = texts.AppendPieces(nil, x.rt, data, &scratch)
	}
	var all []byte
	for i := range pieces {
		all = append(all, pieces[i].Text...)
		if len(pieces[i].Text) > 0 && pieces[i].Whole() {
			all = append(all, '\n')
		}
	}
	at := 0
	if set := rl.screens.rules[rule.Correction].rule.Set; set != nil {
		sc := set.Scanner()
		if m, ok := sc.Write(all); ok {
			at = int(m.Start)
		} else if m, ok = sc.End(); ok {
			at = int(m.Start)
		}
	}
	from := max(0, min(at, len(all))-mostShown/2)
	return all[from:min(len(all), from+mostShown)]
}

// screenPlain holds a whole answer against the filters. It returns what may go
// out, or why nothing does and the model that may serve instead.
func (x *exchange) screenPlain(c *call, body []byte) (out []byte, why *reason, fallback string) {
	rl, v := x.again(c)
	p, broken := rl.guards(v, false)
	if broken != nil {
		return nil, cannotLook(rl, broken), ""
	}
	if p.none() {
		return body, nil, ""
	}
	ctx, stop := c.wait(x.r.Context())
	defer stop()
	if _, hit := p.hold.Plain(ctx, x.wr, x.rt, body); hit != nil {
		x.answer.hit = hit
		rule := ruleOf(v, hit.ID)
		if hit.Cause == filter.Unreadable || !x.await(c, rule, "output", x.excerpt(rl, rule, body, false)) {
			return nil, x.found(rl, rule, hit), ""
		}
		rl, v = x.again(c) // it may have waited for minutes
		if p, broken = rl.guards(v, false); broken != nil {
			return nil, cannotLook(rl, broken), ""
		}
	}
	out, hit := p.main.Plain(ctx, x.wr, x.rt, body)
	if hit != nil {
		x.answer.hit = hit
		rule := ruleOf(v, hit.ID)
		return nil, x.found(rl, rule, hit), x.instead(c, rule, hit)
	}
	return out, nil, ""
}

// screensPlain reports whether an answer has to be read to its end before any
// of it goes out, because something may be found in it.
func (x *exchange) screensPlain(c *call) bool {
	rl, v := x.again(c)
	p, broken := rl.guards(v, false)
	return broken != nil || !p.none()
}

func cannotLook(rl *ruling, rule *correction.Rule) *reason {
	return &reason{ruling: rl, refused: []*correction.Rule{rule}, detail: "A filter that is in force for now can not look at this."}
}
