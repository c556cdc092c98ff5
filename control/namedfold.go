package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// The types of entries that change named lists. Both make a revision. The entries
// of a list are not in the ledger: its digest is.
const (
	typeListPut     = "list.put"
	typeListRemoved = "list.removed"
)

// listBody is a list as it is from now on, and how it came about.
type listBody struct {
	List    order.ListRef `json:"list"`
	Action  string        `json:"action"`            // loaded, added or removed
	Changed int64         `json:"changed,omitempty"` // entries that were added or removed
	Source  string        `json:"source,omitempty"`  // loaded: hex SHA-256 of the text
	Reason  string        `json:"reason"`
}

// listRemovedBody names a list that is no more.
type listRemovedBody struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// listRecord is a named list as it is.
type listRecord struct {
	order.ListRef
	body     listBody // of its last entry
	since    time.Time
	by       string
	entry    uint64
	revision uint64
}

func (s *state) foldList(e ledger.Entry, o *order.Order) (func(), error) {
	b, err := read[listBody](e.Body)
	if err != nil {
		return nil, err
	}
	old := s.lists[b.List.Name]
	switch {
	case b.List.Name == "" || b.List.Dimension == "" || b.List.Digest.IsZero() || b.List.Entries < 1 || b.List.Bytes < 1:
		return nil, fmt.Errorf("list %q is not whole: %w", b.List.Name, errForm)
	case old != nil && old.Dimension != b.List.Dimension:
		return nil, fmt.Errorf("list %q is of %s: %w", b.List.Name, old.Dimension, errForm)
	}
	o.PutLists = []order.ListRef{b.List}
	return func() {
		if old != nil {
			s.weight -= weigh(old.ListRef)
		}
		s.lists[b.List.Name] = &listRecord{ListRef: b.List, body: b, since: e.At.UTC(), by: e.Actor, entry: e.Seq, revision: s.revision}
		s.weight += weigh(b.List)
	}, nil
}

func (s *state) foldListRemoved(e ledger.Entry, o *order.Order) (func(), error) {
	b, err := read[listRemovedBody](e.Body)
	if err != nil {
		return nil, err
	}
	old := s.lists[b.Name]
	if old == nil {
		return nil, fmt.Errorf("there is no list %q: %w", b.Name, errForm)
	}
	o.DropLists = []string{b.Name}
	return func() {
		delete(s.lists, b.Name)
		s.weight -= weigh(old.ListRef)
	}, nil
}

// listRefs are the lists in force, by name.
func (s *state) listRefs() []order.ListRef {
	var out []order.ListRef
	for _, l := range s.lists {
		out = append(out, l.ListRef)
	}
	slices.SortFunc(out, func(a, b order.ListRef) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// listNames are the lists that a correction names.
func listNames(c *correction.Correction) []string {
	if c.Except == nil || len(c.Except.Lists) == 0 {
		return c.Scope.Lists
	}
	return slices.Concat(c.Scope.Lists, c.Except.Lists)
}

// naming are the corrections that are not gone and name a list, by the list.
func (s *state) naming() map[string][]string {
	out := map[string][]string{}
	for _, r := range s.list {
		if r.gone != "" {
			continue
		}
		for _, name := range listNames(&r.Correction) {
			if ids := out[name]; len(ids) == 0 || ids[len(ids)-1] != r.ID {
				out[name] = append(ids, r.ID)
			}
		}
	}
	return out
}

// checkLists refuses names of lists that there are not: the correction would
// reach nobody.
func (c *Control) checkLists(cor *correction.Correction) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	check := func(field string, names []string) error {
		for i, n := range names {
			if c.state.lists[n] != nil {
				continue
			}
			p := problem("unknown_list", fmt.Sprintf("there is no list %q; load it first", short(n)))
			p.Field = fmt.Sprintf("%s.lists[%d]", field, i)
			for _, l := range c.state.listRefs() {
				p.Allowed = append(p.Allowed, l.Name)
			}
			return p
		}
		return nil
	}
	if err := check("scope", cor.Scope.Lists); err != nil || cor.Except == nil {
		return err
	}
	return check("except", cor.Except.Lists)
}

// awaits says what keeps a point from enforcing a correction although it holds
// the order: a list that it has not got yet. "" if nothing does. The caller holds
// mu.
func (c *Control) awaits(p *point, cor *correction.Correction) string {
	for _, name := range listNames(cor) {
		switch h, told := p.lists[name]; {
		case !told:
			return fmt.Sprintf("it has not said yet whether it holds the list %s", name)
		case h.Digest.IsZero() && !h.Lost:
			return strings.TrimSuffix(fmt.Sprintf("it is loading the list %s: %d %%: %s", name, h.Percent, short(h.Error)), ": ")
		}
	}
	return ""
}

// awaitsAny is awaits for what a revision changed.
func (c *Control) awaitsAny(p *point, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		r := c.state.corrections[id]
		return r != nil && r.gone == "" && c.awaits(p, &r.Correction) != ""
	})
}
