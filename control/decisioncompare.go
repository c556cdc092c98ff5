package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/incident"
	"andon/playbook"
)

// Bounds of what is kept of a comparison.
const (
	comparedWords = 20 // terms, dependants, warnings: names of each
	comparedEach  = 12 // corrections of a restoration that are looked at one by one
)

// narrowness is how much a correction takes away, as the catalogue ranks it: 1 is
// the least.
func narrowness(cor *correction.Correction) (rank int, reversible string) {
	all := correction.Catalogue()
	k := all[slices.IndexFunc(all, func(k correction.KindInfo) bool { return k.Kind == cor.Kind })]
	rank, reversible = k.Narrowness, k.Reversible
	for _, l := range k.Levels {
		if l.Name == cor.Params.Level {
			rank, reversible = l.Narrowness, cmp.Or(l.Reversible, reversible)
		}
	}
	_, what, _ := strings.Cut(cor.Class(), ".")
	for _, p := range k.Params {
		if p.Name == what && p.Narrowness > 0 {
			rank = p.Narrowness
		}
	}
	return rank, reversible
}

// fallbackWords say what stands in for what a correction refuses.
func (c *Control) fallbackWords(cor *correction.Correction) string {
	switch {
	case cor.Fallback == correction.NoFallback:
		return "none: it refuses"
	case cor.Fallback != "":
		return cor.Fallback
	case cor.Kind != correction.Stop:
		return "none: it refuses or changes the request"
	case len(cor.Scope.Models) == 0:
		return "each model's own"
	}
	models := c.models()
	var out []string
	for i, m := range cor.Scope.Models {
		if i == 3 {
			out = append(out, "…")
			break
		}
		out = append(out, m+": "+cmp.Or(models[m].Fallback, "none"))
	}
	return strings.Join(out, ", ")
}

// saidBriefly cuts what names many things to what a table shows.
func saidBriefly(text string) string {
	if len(text) <= 300 {
		return text
	}
	return strings.ToValidUTF8(text[:300], "") + "…"
}

// optionSeen is an option as it would be carried out now.
type optionSeen struct {
	cors   []correction.Correction // that it applies, checked, as they would be in force
	shares []*float64
	back   *restoredBody
}

// asOption is a correction of an option, as it would be applied at a time.
func (s *state) asOption(d *incident.DecisionOpened, o *incident.Option, cor correction.Correction, now time.Time) correction.Correction {
	if s.within(d.Incident, &cor); d.Incident == "" {
		cor.Incident = ""
	}
	if o.For > 0 {
		cor.ExpiresAt = now.Add(time.Duration(o.For))
	}
	return cor
}

// comparer compares the options of one decision. Nothing is asked twice.
type comparer struct {
	c    *Control
	d    *incident.DecisionOpened
	now  time.Time
	seen map[string]previewView
}

// compare looks at each option: what it takes away, how fast, from whom, what the
// terms say, whose word it needs. It asks every gateway, so nothing is held.
func (c *Control) compare(ctx context.Context, d *incident.DecisionOpened) []incident.Comparison {
	ctx, cancel := context.WithTimeout(ctx, 2*previewTime) // of all previews together
	defer cancel()
	m := comparer{c, d, c.cfg.Now().UTC().Round(0), map[string]previewView{}}
	out := make([]incident.Comparison, len(d.Options))
	for i := range d.Options {
		out[i] = m.option(ctx, &d.Options[i])
	}
	return out
}

func (m *comparer) option(ctx context.Context, o *incident.Option) incident.Comparison {
	c, v := m.c, incident.Comparison{At: m.now}
	var seen optionSeen
	note := func(err error) {
		if err != nil && v.Unfit == "" {
			v.Unfit = curtailed(asProblem(err).Error(), "")
		}
	}
	add := func(e incident.Effect, lift bool) {
		v.Each = append(v.Each, e)
		if lift {
			return
		}
		if e.Narrowness >= v.Narrowness {
			v.Narrowness, v.PerMinute = e.Narrowness, e.Reach.PerMinute
		}
	}
	for i := range o.Apply {
		c.mu.RLock()
		cor := c.state.asOption(m.d, o, o.Apply[i], m.now)
		c.mu.RUnlock()
		checked, err := c.check(cor, m.now)
		if err != nil {
			note(err)
			continue
		}
		e := m.effect(ctx, checked, false)
		checked.AppliedAt = c.early()
		seen.cors, seen.shares = append(seen.cors, checked), append(seen.shares, e.Reach.Share)
		add(e, false)
	}
	lifts := slices.Clone(o.Lift)
	if o.Restore != nil {
		then, err := c.past(ctx, &restoreAsk{Revision: o.Restore.Revision, At: o.Restore.At, Before: o.Restore.Before})
		if note(err); err == nil {
			c.mu.RLock()
			back, _ := c.state.wayBack(then, c.early())
			c.mu.RUnlock()
			seen.back = &back
			if lifts = back.Lift; len(back.Lift)+len(back.Reinstate)+len(back.Change) == 0 {
				note(problem("nothing_to_restore", "what is in force is what was then"))
			}
			for _, cor := range append(slices.Clone(back.Reinstate), back.Change...)[:min(comparedEach, len(back.Reinstate)+len(back.Change))] {
				add(m.effect(ctx, cor, false), false)
			}
		}
	}
	for _, id := range lifts[:min(comparedEach, len(lifts))] {
		c.mu.RLock()
		r, err := c.state.standing(id, c.early())
		var cor correction.Correction
		if err == nil {
			cor = r.Correction
		}
		c.mu.RUnlock()
		if note(err); err == nil {
			add(m.effect(ctx, cor, true), true)
		}
	}
	c.mu.RLock()
	v.Takes = c.state.takes(m.d, o, &seen)
	c.mu.RUnlock()
	return v
}

// effect is one correction of an option; lift says that it would be taken back.
func (m *comparer) effect(ctx context.Context, cor correction.Correction, lift bool) incident.Effect {
	c := m.c
	rank, reversible := narrowness(&cor)
	e := incident.Effect{Says: saidBriefly(playbook.CorrectionWords(&cor)), Class: class(&cor), Narrowness: rank, Reversible: reversible, Fallback: c.fallbackWords(&cor)}
	ask := cor
	ask.ID, ask.AppliedAt = "", time.Time{}
	key := string(body(ask))
	p, ok := m.seen[key]
	if !ok {
		var err error
		if p, err = c.preview(ctx, &ask); err != nil {
			p = previewView{Coverage: coverageView{Basis: "nothing: it could not be previewed"}}
		}
		m.seen[key] = p
	}
	e.Reach = reachOf(&p)
	if lift {
		e.Says, e.Reversible = "lift "+cor.ID+" ("+e.Says+")", "it can be applied anew"
		e.Reach.PerMinute = nil
	} else {
		for _, w := range c.warnings(&ask) {
			if w.Code != "terms" {
				e.Warnings = append(e.Warnings, w.Detail)
			}
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.state
	if t := s.effects[e.Class].view(); t != nil && !lift {
		e.Speed = &incident.Speed{P50: t.P50, P99: t.P99, Count: t.Count}
	}
	if lift {
		if w := s.unmetWords(cor.ID); w != "" {
			e.Warnings = append(e.Warnings, strings.Trim(w, " []"))
		}
	} else {
		ask.AppliedAt = c.early()
		for _, w := range s.termsWarnings(&ask) {
			e.Terms = append(e.Terms, w.Detail)
		}
		for _, w := range s.holdWarnings(&ask, nil, false) {
			e.HoldDown = append(e.HoldDown, w.Detail)
		}
	}
	for _, list := range []*[]string{&e.Terms, &e.HoldDown, &e.Warnings} {
		if len(*list) > comparedWords {
			*list = append((*list)[:comparedWords:comparedWords], fmt.Sprintf("and %d more", len(*list)-comparedWords))
		}
	}
	return e
}

// reachOf is what is kept of a preview.
func reachOf(p *previewView) incident.Reach {
	r := incident.Reach{Basis: p.Coverage.Basis, Share: p.ShareOfTraffic, Users: p.Users, Streams: p.LiveStreams}
	if n := p.Coverage.Points - p.Coverage.Answered; n > 0 && p.Coverage.Answered > 0 {
		r.Basis += fmt.Sprintf(" (%d of %d gateways did not answer)", n, p.Coverage.Points)
	}
	if over := p.Coverage.Until.Sub(p.Coverage.Since); p.Reached != nil && over > 0 {
		served := *p.Reached
		if p.Already != nil {
			served -= *p.Already
		}
		rate := float64(max(0, served)) / max(1, over.Minutes()) // a second of traffic is no rate
		r.PerMinute = &rate
	}
	for i, d := range p.Dependants {
		if i == comparedWords {
			r.Dependants = append(r.Dependants, fmt.Sprintf("and %d more", len(p.Dependants)-i))
			break
		}
		r.Dependants = append(r.Dependants, fmt.Sprintf("%s (%s)", cmp.Or(d.Org, d.Key, "callers without a key"), d.Criticality))
	}
	for i, u := range p.Unknown {
		if i == comparedWords {
			break
		}
		r.Unknown = append(r.Unknown, short(u))
	}
	return r
}

// choiceQuestions are what has to be agreed to before an option is carried out:
// that it is decided, and each thing that it gives back.
func (s *state) choiceQuestions(d *incident.DecisionOpened, o *incident.Option, back *restoredBody) []authority.Question {
	out := []authority.Question{{Act: authority.Decide, Severity: s.severityOfIncident(d.Incident)}}
	for _, id := range o.Lift {
		if r := s.corrections[id]; r != nil {
			out = append(out, s.question(authority.Loosen, &r.Correction, r.share()))
		}
	}
	if back != nil {
		out = append(out, s.restoreQuestions(back)...)
	}
	return out
}

// takes is whose word an option needs now. What only tightens waits for nobody.
func (s *state) takes(d *incident.DecisionOpened, o *incident.Option, seen *optionSeen) incident.Takes {
	before := s.ask(s.choiceQuestions(d, o, seen.back)...)
	if o.Tightens() && !o.Loosens() {
		before.Approvals = 0
	}
	var after []authority.Answer
	for i := range seen.cors {
		after = append(after, s.ask(s.question(authority.Tighten, &seen.cors[i], seen.shares[i])))
	}
	return incident.NewTakes(before, after...)
}
