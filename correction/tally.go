package correction

import "net/netip"

// tally counts how many rules stand under a value. It knows only the values of
// rules that can be indexed in more than one way: a million rules that block one
// user each have no choice, and are no more than counted.
type tally struct {
	texts [numDims]map[string]int32
	ips   map[netip.Prefix]int32
}

func newTally(all *literals) (*tally, error) {
	t := &tally{ips: map[netip.Prefix]int32{}}
	for d := range t.texts {
		t.texts[d] = map[string]int32{}
	}
	for i := range all.len() {
		if ls := all.of(i); len(ls) > 1 {
			if err := t.each(ls, func(d dim, v string) { t.texts[d][v] = 0 }, func(p netip.Prefix) { t.ips[p] = 0 }); err != nil {
				return nil, err
			}
		}
	}
	for i := range all.len() {
		err := t.each(all.of(i), func(d dim, v string) {
			if n, ok := t.texts[d][v]; ok {
				t.texts[d][v] = n + 1
			}
		}, func(p netip.Prefix) {
			if n, ok := t.ips[p]; ok {
				t.ips[p] = n + 1
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// each calls text or prefix for the values of a rule, in the form in which they
// are indexed, where there is anything to count.
func (t *tally) each(ls []literal, text func(dim, string), prefix func(netip.Prefix)) error {
	for _, l := range ls {
		if len(ls) == 1 && len(t.texts[l.dim]) == 0 && (l.dim != dimIP || len(t.ips) == 0) {
			continue
		}
		for _, v := range l.values {
			if l.dim != dimIP {
				text(l.dim, lookupForm(l.dim, v))
				continue
			}
			p, err := parsePrefix(v)
			if err != nil {
				return err
			}
			prefix(p)
		}
	}
	return nil
}

// choose picks what a rule is indexed under: the dimension whose fullest value
// holds the fewest rules, and of equals the first dim. It is -1 if there is none.
func (t *tally) choose(ls []literal) int {
	best := -1
	var bestFull int32
	for i, l := range ls {
		var full int32
		if len(ls) > 1 {
			full = t.fullest(l.dim, l.values)
		}
		if best < 0 || full < bestFull || full == bestFull && l.dim < ls[best].dim {
			best, bestFull = i, full
		}
	}
	return best
}

func (t *tally) fullest(d dim, values []string) int32 {
	var full int32
	for _, v := range values {
		if d != dimIP {
			full = max(full, t.texts[d][lookupForm(d, v)])
		} else if p, err := parsePrefix(v); err == nil {
			full = max(full, t.ips[p])
		}
	}
	return full
}

// lookupForm is the form in which a value is indexed.
func lookupForm(d dim, v string) string {
	if d == dimCountry {
		return country(v)
	}
	return v
}
