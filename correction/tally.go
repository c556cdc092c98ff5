package correction

import "net/netip"

// tally counts how many rules stand under a value. It knows only the values of
// rules that can be indexed in more than one way: a million rules that block one
// user each have no choice, and are no more than counted.
type tally struct {
	texts [numDims]map[string]int32
	ips   map[netip.Prefix]int32
}

func newTally(rules []Rule) (*tally, error) {
	t := &tally{ips: map[netip.Prefix]int32{}}
	for d := range t.texts {
		t.texts[d] = map[string]int32{}
	}
	for i := range rules {
		if c := rules[i].Correction; ways(c) > 1 {
			if err := t.each(c, func(d dim, v string) { t.texts[d][v] = 0 }, func(p netip.Prefix) { t.ips[p] = 0 }); err != nil {
				return nil, err
			}
		}
	}
	for i := range rules {
		err := t.each(rules[i].Correction, func(d dim, v string) {
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

// ways is in how many dimensions a rule can be indexed.
func ways(c *Correction) int {
	n := 0
	literals(c, func(dim, []string) { n++ })
	return n
}

// each calls text or prefix for the values of a correction, in the form in
// which they are indexed, where there is anything to count.
func (t *tally) each(c *Correction, text func(dim, string), prefix func(netip.Prefix)) error {
	counting := ways(c) > 1
	var err error
	literals(c, func(d dim, values []string) {
		if !counting && len(t.texts[d]) == 0 && (d != dimIP || len(t.ips) == 0) {
			return
		}
		for _, v := range values {
			if d != dimIP {
				text(d, lookupForm(d, v))
				continue
			}
			p, e := parsePrefix(v)
			if e != nil {
				err = e
				return
			}
			prefix(p)
		}
	})
	return err
}

// choose picks the dimension under which a rule is indexed: the one whose
// fullest value holds the fewest rules, and of equals the first dim. ok is
// false if the rule has none.
func (t *tally) choose(c *Correction) (best dim, ok bool) {
	counting := ways(c) > 1
	var bestFull int32
	literals(c, func(d dim, values []string) {
		var full int32
		if counting {
			full = t.fullest(d, values)
		}
		if !ok || full < bestFull || full == bestFull && d < best {
			best, bestFull, ok = d, full, true
		}
	})
	return best, ok
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
