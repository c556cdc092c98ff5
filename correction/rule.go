package correction

import (
	"math"
	"time"

	"cel.dev/cel-go/cel"
)

// Rule is one correction of a Policy.
type Rule struct {
	Correction *Correction // read-only

	// A block of one user among a million is met once and never warm in a
	// cache: what is needed to judge it fits into one cache line.
	start, end int64  // in force from start until just before end, Unix ns
	rank       uint32 // place among all rules, most severe first
	act        act
	shadow     bool
	settled    dim     // what the index will have matched; numDims: nothing
	compiled   bool    // all fields are filled in
	detail     *detail // nil if the index has settled all
}

// detail is what remains to be asked of a rule that the index has found.
type detail struct {
	reach  []cond      // the other dimensions of the scope; in first if that is all
	first  [1]cond     // beside the rest, so that most rules take one allocation
	when   cel.Program // nil if there is none
	linked *linked     // nil if nobody is
	listed *spared     // allow_only: who is allowed
	except *spared     // nil if nobody is
	share  uint64      // see shareLimit
	due    int64       // actDrain: when live requests end as well; actAcknowledge: the deadline; Unix ns
	effect *effect     // nil if the act says all
}

// act is what a rule does to a request that it reaches.
type act uint8

const (
	actNothing act = iota
	actWaiting     // names a list that is missing
	actRefuse
	actRefuseNew // L1
	actFreeze    // L0
	actDrain     // L2
	actDisable
	actClamp
	actFilter // of capability, and an inferred use
	actPin
	actAcknowledge
	actLimit
)

// compile fills a rule in. settled is the dimension that the index will have
// matched before the rule is looked at; ls is all that it could have been.
func (r *Rule) compile(settled dim, ls []literal, lists Lists) error {
	c := r.Correction
	r.settled, r.detail, r.compiled = settled, nil, true
	r.start, r.end = start(c), math.MaxInt64
	if !c.ExpiresAt.IsZero() {
		r.end = nanos(c.ExpiresAt)
	}
	r.shadow = c.Mode == Shadow
	if len(c.Scope.Lists) > 0 && lists.missing(c.Scope.Lists) {
		r.act = actWaiting
		return nil
	}

	d := detail{share: shareLimit(c.Share)}
	r.act = d.setAct(c)
	var room [2]cond
	reach, err := d.setReach(c, settled, ls, lists, room[:0])
	if err != nil {
		return err
	}
	if c.Scope.When != "" {
		if d.when, err = compileWhen(c.Scope.When); err != nil {
			return err
		}
	}
	if c.allowOnly() {
		if d.listed, err = newSpared(&c.Scope, func(d *dimension) bool { return d.subject }, lists); err != nil {
			return err
		}
	}
	if c.Except != nil {
		if d.except, err = newSpared(c.Except, func(*dimension) bool { return true }, lists); err != nil {
			return err
		}
		if c.Except.When != "" {
			if d.except.when, err = compileWhen(c.Except.When); err != nil {
				return err
			}
		}
	}
	if len(reach) > 0 || d.needed(r.act) {
		own := d
		own.reach = append(own.first[:0], reach...)
		r.detail = &own
	}
	return nil
}

// setReach compiles the dimensions of the scope that are left to ask: into reach,
// and where accounts are linked the subjects apart.
func (d *detail) setReach(c *Correction, settled dim, ls []literal, lists Lists, reach []cond) ([]cond, error) {
	if len(c.Links) > 0 {
		d.linked = newLinked(c.Links)
	}
	add := func(cd cond, err error) error {
		if d.linked != nil && cd.dim.subject() {
			d.linked.subjects = append(d.linked.subjects, cd)
		} else {
			reach = append(reach, cd)
		}
		return err
	}
	for _, l := range ls {
		if l.dim == settled { // and who is found by a link has it
			continue
		}
		if err := add(newCond(l.dim, l.values, false)); err != nil {
			return nil, err
		}
	}
	if c.Scope.Unknown == include {
		for i, l := range c.Scope.lists() {
			if len(*l) == 0 || !dimensions[i].unknown {
				continue
			}
			if err := add(newCond(dimensions[i].dim, *l, true)); err != nil {
				return nil, err
			}
		}
	}
	if len(c.Scope.Lists) > 0 && !c.allowOnly() {
		if err := add(newListCond(c.Scope.Lists, lists, c.Scope.Unknown == include)); err != nil {
			return nil, err
		}
	}
	return reach, nil
}

// needed says whether a rule with this detail asks anything of a request, or
// has anything to say about it, beyond its act and the dimensions of its scope.
func (d *detail) needed(a act) bool {
	return d.when != nil || d.listed != nil || d.except != nil || d.linked != nil || d.share != math.MaxUint64 || d.effect != nil || a == actDrain
}

// setAct says what a correction does, and fills in with what.
func (d *detail) setAct(c *Correction) act {
	switch c.Kind {
	case Stop:
		switch c.Level() {
		case 0:
			return actFreeze
		case 1:
			return actRefuseNew
		case 2:
			drain := time.Duration(c.Params.Drain)
			if drain == 0 {
				drain = DefaultDrain
			}
			from := began(c)
			if d.due = from + int64(drain); d.due < from {
				d.due = math.MaxInt64
			}
			return actDrain
		}
	case Use:
		switch {
		case c.Params.Basis == inferred:
			d.effect = &effect{filter: inferredFilter(&c.Params)}
			return actFilter
		case c.Params.Action == acknowledge:
			d.effect = newAcknowledged(c.Acknowledged)
			d.due = nanos(c.Params.AcknowledgeBy)
			return actAcknowledge
		}
	case Capability:
		switch {
		case c.Params.Disable != nil:
			d.effect = newDisable(c.Params.Disable)
			return actDisable
		case c.Params.Clamp != nil:
			d.effect = newClamp(c.Params.Clamp)
			return actClamp
		case c.Params.Filter != nil:
			d.effect = &effect{filter: c.Params.Filter.effective()}
			return actFilter
		}
		return actPin
	case Rate:
		return actLimit
	}
	return actRefuse
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
