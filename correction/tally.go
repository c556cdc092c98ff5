package correction

import "net/netip"

// tally counts how many rules stand under a value. It knows only the values of
// rules that can be indexed in more than one way: a million rules that block one
// user each have no choice, and are no more than counted.
type tally struct {
	texts  [numDims]map[string]uint32 // place in counts
	ips    map[netip.Prefix]uint32
	counts []int32
	hint   int // how many values a map has room for at first

	// The places of the values of those rules, as they come: looked up once,
	// and taken from here when it is chosen.
	places []uint32
}

func newTally(rules []Rule) (*tally, error) {
	t := &tally{hint: min(len(rules)/8, 128)}
	var room [numDims]literal
	choices := 0
	for i := range rules {
		ls := literals(rules[i].Correction, room[:0])
		if len(ls) < 2 {
			continue
		}
		choices++
		for _, l := range ls {
			if err := t.add(l); err != nil {
				return nil, err
			}
		}
	}
	if choices == 0 || choices == len(rules) {
		return t, nil
	}
	for i := range rules {
		if ls := literals(rules[i].Correction, room[:0]); len(ls) == 1 {
			if err := t.count(ls[0]); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// add counts the values of one dimension of a rule that has a choice.
func (t *tally) add(l literal) error {
	if l.dim == dimIP {
		if t.ips == nil {
			t.ips = make(map[netip.Prefix]uint32, t.hint)
		}
		for _, v := range l.values {
			p, err := parsePrefix(v)
			if err != nil {
				return err
			}
			n, ok := t.ips[p]
			if !ok {
				n = t.place()
				t.ips[p] = n
			}
			t.counts[n]++
			t.places = append(t.places, n)
		}
		return nil
	}
	m := t.texts[l.dim]
	if m == nil {
		m = make(map[string]uint32, t.hint)
		t.texts[l.dim] = m
	}
	for _, v := range l.values {
		v = lookupForm(l.dim, v)
		n, ok := m[v]
		if !ok {
			n = t.place()
			m[v] = n
		}
		t.counts[n]++
		t.places = append(t.places, n)
	}
	return nil
}

// place makes room to count one more value.
func (t *tally) place() uint32 {
	t.counts = append(t.counts, 0)
	return uint32(len(t.counts) - 1)
}

// count counts the values of a rule that has no choice.
func (t *tally) count(l literal) error {
	if l.dim == dimIP {
		if len(t.ips) == 0 {
			return nil
		}
		for _, v := range l.values {
			p, err := parsePrefix(v)
			if err != nil {
				return err
			}
			if n, ok := t.ips[p]; ok {
				t.counts[n]++
			}
		}
		return nil
	}
	m := t.texts[l.dim]
	if len(m) == 0 {
		return nil
	}
	for _, v := range l.values {
		if n, ok := m[lookupForm(l.dim, v)]; ok {
			t.counts[n]++
		}
	}
	return nil
}

// choose picks what a rule is indexed by: the dimension whose fullest value
// holds the fewest rules, and of equals the first dim; numDims if the rule has
// none. It is asked once for each rule, in their order.
func (t *tally) choose(ls []literal) literal {
	switch len(ls) {
	case 0:
		return literal{dim: numDims}
	case 1:
		return ls[0]
	}
	var best literal
	var bestFull int32
	for i, l := range ls {
		var full int32
		for _, n := range t.places[:len(l.values)] {
			full = max(full, t.counts[n])
		}
		t.places = t.places[len(l.values):]
		if i == 0 || full < bestFull || full == bestFull && l.dim < best.dim {
			best, bestFull = l, full
		}
	}
	return best
}

// lookupForm is the form in which a value is indexed.
func lookupForm(d dim, v string) string {
	if d == dimCountry {
		return country(v)
	}
	return v
}
