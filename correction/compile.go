package correction

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
)

// Policy is a compiled set of corrections. It is immutable, and safe for any
// number of concurrent callers. It keeps the corrections that it was compiled
// from, which nobody may change afterwards.
type Policy struct {
	rules   []Rule // most severe first, then by id
	ix      index
	changes []int64 // instants at which a verdict may change, ascending
}

// Rule is one correction of a Policy.
type Rule struct {
	Correction *Correction // read-only

	// A block of one user among a million is met once and never warm in a
	// cache: what is needed to judge it fits into one cache line.
	start, end int64  // in force from start until just before end, Unix ns
	rank       uint32 // place in Policy.rules
	act        act
	shadow     bool
	detail     *detail // nil if the index has settled all
}

// detail is what remains to be asked of a rule that the index has found.
type detail struct {
	reach   []cond      // the other dimensions of the scope
	when    cel.Program // nil if there is none
	listed  *spared     // allow_only: who is allowed
	except  *spared     // nil if nobody is
	share   uint64      // see shareLimit
	drained int64       // actDrain: when live requests end as well, Unix ns
	clamp   int64       // actClamp, in tokens
	disable Features    // actRefuseUsing
}

// act is what a rule does to a request that it reaches.
type act uint8

const (
	actNothing act = iota // L0
	actRefuse
	actRefuseNew   // L1
	actDrain       // L2
	actRefuseUsing // capability disable
	actClamp
	actLimit
)

// severity orders refusals: stop by descending level, access, use, capability,
// rate.
func severity(c *Correction) int {
	switch c.Kind {
	case Stop:
		return 6 - c.Level()
	case Access:
		return 7
	case Use:
		return 8
	case Capability:
		return 9
	}
	return 10
}

const severities = 11

// Compile makes a policy. Ids have to differ; their order in cs does not
// matter. It checks what Validate checks about kind, parameters and scope, so
// that nothing in an order is silently not enforced, but knows no bound on the
// number of values, no reason and no current time. A stop at L5 or L6 is
// compiled like L4. One bad correction makes all of them fail: the caller keeps
// the policy it has.
func Compile(cs []Correction) (*Policy, error) {
	if len(cs) >= int(isList) {
		return nil, fmt.Errorf("compile corrections: %d are too many", len(cs))
	}
	p := &Policy{rules: make([]Rule, 0, len(cs))}
	if err := p.order(cs); err != nil {
		return nil, err
	}
	t, err := newTally(p.rules)
	if err != nil {
		return nil, fmt.Errorf("compile corrections: %w", err)
	}
	chosen := make([]dim, len(p.rules))
	var sizes [numDims]int
	for i := range p.rules {
		r := &p.rules[i]
		d, ok := t.choose(r.Correction)
		if !ok {
			d = numDims
		} else {
			literals(r.Correction, func(have dim, values []string) {
				if have == d {
					sizes[d] += len(values)
				}
			})
		}
		chosen[i] = d
		if err := r.compile(d); err != nil {
			return nil, fmt.Errorf("compile correction %s: %w", quote(r.Correction.ID), err)
		}
	}
	for d, n := range sizes {
		if n > 0 && dim(d) != dimIP {
			p.ix.texts[d] = make(map[string]posting, n)
		}
	}
	for i := range p.rules {
		if err := p.index(uint32(i), chosen[i]); err != nil {
			return nil, fmt.Errorf("compile correction %s: %w", quote(p.rules[i].Correction.ID), err)
		}
	}
	p.ix.link()
	p.findChanges()
	return p, nil
}

// order checks the corrections and makes a rule of each, in order of severity
// and id.
func (p *Policy) order(cs []Correction) error {
	var groups [severities][]*Correction
	ascending := true
	for i := range cs {
		c := &cs[i]
		if err := c.check(false); err != nil {
			return fmt.Errorf("compile correction %s: %w", quote(c.ID), err)
		}
		if i > 0 && cs[i-1].ID >= c.ID {
			ascending = false
		}
		s := severity(c)
		groups[s] = append(groups[s], c)
	}
	if !ascending {
		seen := make(map[string]struct{}, len(cs))
		for i := range cs {
			if _, ok := seen[cs[i].ID]; ok {
				return fmt.Errorf("compile corrections: id %s stands for more than one", quote(cs[i].ID))
			}
			seen[cs[i].ID] = struct{}{}
		}
	}
	for _, g := range groups {
		slices.SortFunc(g, func(a, b *Correction) int { return cmp.Compare(a.ID, b.ID) })
		for _, c := range g {
			p.rules = append(p.rules, Rule{Correction: c, rank: uint32(len(p.rules))})
		}
	}
	return nil
}

// compile fills a rule in. settled is the dimension that the index will have
// matched before the rule is looked at.
func (r *Rule) compile(settled dim) error {
	c := r.Correction
	r.start, r.end = start(c), math.MaxInt64
	if !c.ExpiresAt.IsZero() {
		r.end = nanos(c.ExpiresAt)
	}
	r.shadow = c.Mode == Shadow

	d := detail{share: shareLimit(c.Share)}
	r.act = d.setAct(c)
	var reach []cond
	var err error
	literals(c, func(have dim, values []string) {
		if have == settled || err != nil {
			return
		}
		var cd cond
		if cd, err = newCond(have, values); err == nil {
			reach = append(reach, cd)
		}
	})
	if err != nil {
		return err
	}
	d.reach = reach
	if c.Scope.When != "" {
		if d.when, err = compileWhen(c.Scope.When); err != nil {
			return err
		}
	}
	if c.allowOnly() {
		if d.listed, err = newSpared(&c.Scope, func(d *dimension) bool { return d.subject }); err != nil {
			return err
		}
	}
	if c.Except != nil {
		if d.except, err = newSpared(c.Except, func(*dimension) bool { return true }); err != nil {
			return err
		}
		if c.Except.When != "" {
			if d.except.when, err = compileWhen(c.Except.When); err != nil {
				return err
			}
		}
	}
	if d.needed(r.act) {
		own := d
		r.detail = &own
	}
	return nil
}

// needed says whether a rule with this detail asks anything of a request, or
// has anything to say about it, beyond its act.
func (d *detail) needed(a act) bool {
	return len(d.reach) > 0 || d.when != nil || d.listed != nil || d.except != nil || d.share != math.MaxUint64 ||
		a == actDrain || a == actClamp || a == actRefuseUsing
}

// setAct says what a correction does, and fills in with what.
func (d *detail) setAct(c *Correction) act {
	switch c.Kind {
	case Stop:
		switch c.Level() {
		case 0:
			return actNothing
		case 1:
			return actRefuseNew
		case 2:
			drain := time.Duration(c.Params.Drain)
			if drain == 0 {
				drain = DefaultDrain
			}
			from := began(c)
			if d.drained = from + int64(drain); d.drained < from {
				d.drained = math.MaxInt64
			}
			return actDrain
		}
	case Capability:
		if n, ok := c.Params.Clamp[clampOutputTokens]; ok {
			d.clamp = n
			return actClamp
		}
		for _, name := range c.Params.Disable {
			for _, f := range features {
				if f.Name == name {
					d.disable |= f.bit
				}
			}
		}
		return actRefuseUsing
	case Rate:
		return actLimit
	}
	return actRefuse
}

// index puts a rule under all its values of one dimension.
func (p *Policy) index(rule uint32, d dim) error {
	r := &p.rules[rule]
	if r.act == actNothing {
		return nil
	}
	if d == numDims {
		p.ix.always = append(p.ix.always, rule)
		return nil
	}
	var err error
	literals(r.Correction, func(have dim, values []string) {
		if have != d || err != nil {
			return
		}
		for _, v := range values {
			if d != dimIP {
				p.ix.addText(d, lookupForm(d, v), rule)
				continue
			}
			var pre netip.Prefix
			if pre, err = parsePrefix(v); err != nil {
				return
			}
			p.ix.addPrefix(pre, rule)
		}
	})
	return err
}

// start is when a correction takes force. One that is not put off is in force as
// soon as it is in an order: a gateway whose clock is behind the control plane's
// must not wait for its own to catch up.
func start(c *Correction) int64 {
	if c.StartsAt.IsZero() || !c.StartsAt.After(c.AppliedAt) {
		return math.MinInt64
	}
	return nanos(c.StartsAt)
}

// began is what a drain is counted from: when the correction was accepted, or
// when it was meant to start, whichever is later.
func began(c *Correction) int64 {
	from := int64(math.MinInt64)
	if !c.AppliedAt.IsZero() {
		from = nanos(c.AppliedAt)
	}
	return max(from, start(c))
}

// nanos is a time in Unix nanoseconds, at the bounds of what they can hold.
func nanos(t time.Time) int64 {
	switch y := t.UTC().Year(); {
	case y < 1678:
		return math.MinInt64
	case y > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}
