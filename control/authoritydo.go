package control

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/order"
)

// The doers of acts on corrections, once others have agreed; see doers.

// liftWhat is a lift that was agreed to.
type liftWhat struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func doLift(c *Control, s *state, op *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[liftWhat](what)
	if err != nil {
		return nil, err
	}
	return c.draftEnd(s, b.ID, b.Reason)
}

// unlinkWhat is a link that is taken back.
type unlinkWhat struct {
	ID   string    `json:"id"`
	Link unlinking `json:"link"`
}

func doUnlink(c *Control, s *state, op *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[unlinkWhat](what)
	if err != nil {
		return nil, err
	}
	return c.draftUnlink(s, b.ID, b.Link)
}

// listWhat is a list's new content, that is on the shelf already.
type listWhat struct {
	Was   order.Hash `json:"was"` // digest that it replaces
	Put   listBody   `json:"put"`
	Names []string   `json:"names,omitempty"` // the corrections that it loosens, and was agreed to for
}

// grewTo refuses a change that would loosen more than those who agreed were asked.
func (s *state) grewTo(name, action string, names []string) error {
	for _, r := range s.listLoosens(name, action) {
		if len(names) > 0 && !slices.Contains(names, r.ID) {
			return problem("unavailable", r.ID+" names the list, too, since this was asked for; nothing was changed by this, ask anew")
		}
	}
	return nil
}

func doList(c *Control, s *state, op *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[listWhat](what)
	if err != nil {
		return nil, err
	}
	old := s.lists[b.Put.List.Name]
	if old == nil || old.Digest != b.Was {
		return nil, problem("unavailable", "the list was changed meanwhile; nothing was changed by this")
	}
	if c.shelf.lost(b.Put.List.Digest) != nil {
		return nil, problem("unavailable", "the new content of the list is gone; load it anew")
	}
	if err := s.grewTo(b.Put.List.Name, b.Put.Action, b.Names); err != nil {
		return nil, err
	}
	return []draft{{typeListPut, b.Put}}, s.room(weigh(b.Put.List))
}

// listLoosens says whether a change of a list could let somebody through who is
// held now, and by which corrections. Where a list spares, it is longer lists that
// loosen.
func (s *state) listLoosens(name, action string) (out []*record) {
	for _, id := range s.naming()[name] {
		r := s.corrections[id]
		spares := r.Params.Mode == allowOnly || r.Except != nil && slices.Contains(r.Except.Lists, name)
		holds := r.Params.Mode != allowOnly && slices.Contains(r.Scope.Lists, name)
		if spares && action != "removed" || holds && action != "added" {
			out = append(out, r)
		}
	}
	return out
}

// loosening are the questions of what loosens several corrections at once.
func (s *state) loosening(rs []*record) (out []authority.Question) {
	for _, r := range rs {
		out = append(out, s.question(authority.Loosen, &r.Correction, r.share()))
	}
	return out
}

// waitingLists are contents that pending acts would put in force: they are kept.
func (s *state) waitingLists() []order.ListRef {
	var out []order.ListRef
	for _, id := range s.authority.actList {
		if p := s.authority.acts[id]; p.state == actOpen && p.Do == "list" {
			if b, err := read[listWhat](p.What); err == nil {
				out = append(out, b.Put.List)
			}
		}
	}
	return out
}
