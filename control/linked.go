package control

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/bus"
	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// Linked accounts: a block with params.linked learns by what its subjects'
// accounts are known, so that who comes back under a new key is caught. It learns
// from the keys that it reaches, and in what they share one step further: from
// keys that are reached through a link, and no more. Each link is an entry of the
// ledger with its reason, and an operator can take it back for good.

const (
	typeLinked   = "correction.linked"   // revision, if it links
	typeUnlinked = "correction.unlinked" // revision

	maxLinks    = 1000 // of one correction, that are learned
	sharedMost  = 20   // keys, or users: a value that more share tells no subject
	maxReported = 1024 // bytes of a link that a gateway reports
)

// linkedBody is what was learned for a correction.
type linkedBody struct {
	ID      string     `json:"id"`
	Links   []linkWhy  `json:"links,omitempty"`
	Refused []linkMany `json:"refused,omitempty"`
}

// linkWhy is a link, and how it was learned.
type linkWhy struct {
	Link    string `json:"link"`              // "org=acme", "device=d-1"
	Key     string `json:"key,omitempty"`     // that has it
	Via     string `json:"via,omitempty"`     // the link that reached this key; "": it is a subject of the block
	Gateway string `json:"gateway,omitempty"` // that refused such a caller, where no key of ours says it
}

// linkMany is a value that does not link: too many share it, or there are too many
// links already.
type linkMany struct {
	Link   string `json:"link"`
	Shared int    `json:"shared"` // by so many keys or users
}

type unlinkedBody struct {
	ID     string `json:"id"`
	Link   string `json:"link"`
	Reason string `json:"reason"`
}

// linkView is a link as the API shows it.
type linkView struct {
	linkWhy
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
}

// linksView is all that is known of a correction's links.
type linksView struct {
	Links    []linkView `json:"links"`
	Refused  []linkMany `json:"refused"`  // values that too many share
	Unlinked []string   `json:"unlinked"` // taken away, and not learned again
}

// links are what a record keeps of them.
type links struct {
	known    []linkView
	refused  []linkMany
	unlinked []string
}

func (l *links) view() *linksView {
	if l == nil {
		return nil
	}
	return &linksView{slices.Clone(l.known), slices.Clone(l.refused), slices.Clone(l.unlinked)}
}

func (l *links) clone() *links {
	if l == nil {
		return &links{known: []linkView{}, refused: []linkMany{}, unlinked: []string{}}
	}
	return &links{slices.Clone(l.known), slices.Clone(l.refused), slices.Clone(l.unlinked)}
}

func (l *links) find(link string) *linkView {
	if l != nil {
		for i := range l.known {
			if l.known[i].Link == link {
				return &l.known[i]
			}
		}
	}
	return nil
}

// subjects is a policy of a correction that asks for nothing but who calls. nil:
// keys do not tell whom it reaches.
func subjects(cor *correction.Correction) *correction.Policy {
	probe := *cor
	probe.ID, probe.Mode, probe.Links, probe.StartsAt, probe.ExpiresAt = "probe", "", nil, time.Time{}, time.Time{}
	who := func(s correction.Scope) correction.Scope {
		s.Models, s.Versions, s.Surfaces, s.Tools, s.UseCases, s.When = nil, nil, nil, nil, nil, ""
		return s
	}
	if probe.Scope = who(probe.Scope); len(probe.Scope.Orgs)+len(probe.Scope.Users)+len(probe.Scope.Keys)+len(probe.Scope.Tiers)+
		len(probe.Scope.IPs)+len(probe.Scope.Countries)+len(probe.Scope.Attributes)+len(probe.Scope.Lists) == 0 {
		probe.Scope.All = true
	}
	if probe.Except != nil {
		spared := who(*probe.Except)
		if probe.Except = &spared; len(spared.Orgs)+len(spared.Users)+len(spared.Keys)+len(spared.Tiers)+len(spared.IPs)+len(spared.Countries)+len(spared.Attributes)+len(spared.Lists) == 0 {
			probe.Except = nil
		}
	}
	p, err := correction.Compile([]correction.Correction{probe})
	if err != nil {
		return nil
	}
	return p
}

// reaches says whether a policy refuses who holds a key, for a use.
func reaches(p *correction.Policy, k *order.Key, uses []string, v *correction.Verdict) bool {
	q := correction.Request{Org: k.Org, Key: k.ID, Tier: k.Tier, Surface: k.Surface, Attributes: k.Attributes, UseCases: uses}
	if k.User != "" {
		q.Users = []string{k.User}
		if f := correction.FoldUser(k.User); f != k.User {
			q.Folded = []string{f}
		}
	}
	p.Decide(&q, correction.At(time.Unix(1<<30, 0)), v)
	return !v.Allowed()
}

// linkValues are the links that somebody could be known by.
func linkValues(cor *correction.Correction, org string, attributes []string) (out []string) {
	for _, name := range cor.Params.Linked {
		if name == "org" && org != "" {
			out = append(out, "org="+org)
		}
		for _, a := range attributes {
			if n, v, _ := strings.Cut(a, "="); n == name && name != "org" && v != "" {
				out = append(out, a)
			}
		}
	}
	// What is the only subject of the block reaches as it is.
	s := &cor.Scope
	given := len(s.Users) + len(s.Keys) + len(s.Tiers) + len(s.IPs) + len(s.Countries) + len(s.Lists)
	return slices.DeleteFunc(out, func(l string) bool {
		org, isOrg := strings.CutPrefix(l, "org=")
		return isOrg && slices.Contains(s.Orgs, org) && given+len(s.Attributes) == 0 ||
			!isOrg && slices.Contains(s.Attributes, l) && given+len(s.Orgs) == 0
	})
}

// learnLinks finds what a block can learn from the keys, and from those that are
// about to be made. Revoked keys still say who their subjects were, but share
// nothing.
func (s *state) learnLinks(r *record, more ...order.Key) *linkedBody {
	if len(r.Params.Linked) == 0 || r.gone != "" {
		return nil
	}
	p := subjects(&r.Correction)
	if p == nil {
		return nil
	}
	keys, sharing := make([]*order.Key, 0, len(s.keyList)+len(more)), 0
	for i := range more {
		keys = append(keys, &more[i])
	}
	for _, k := range s.keyList {
		if k.revokedAt.IsZero() {
			keys = append(keys, &k.Key)
		}
	}
	sharing = len(keys)
	for _, k := range s.keyList {
		if !k.revokedAt.IsZero() {
			keys = append(keys, &k.Key)
		}
	}
	l := &learning{r: r, b: linkedBody{ID: r.ID}, shared: map[string]int{}}
	for _, k := range keys[:sharing] {
		for _, v := range linkValues(&r.Correction, k.Org, k.Attributes) {
			l.shared[v]++
		}
	}
	var v correction.Verdict
	var first []string // links of the subjects themselves
	for _, known := range r.linkList() {
		if known.Via == "" {
			first = append(first, known.Link)
		}
	}
	for _, k := range keys {
		if reaches(p, k, nil, &v) {
			for _, value := range linkValues(&r.Correction, k.Org, k.Attributes) {
				if l.learn(linkWhy{Link: value, Key: k.ID}) {
					first = append(first, value)
				}
			}
		}
	}
	for _, k := range keys {
		values := linkValues(&r.Correction, k.Org, k.Attributes)
		via := slices.IndexFunc(values, func(v string) bool { return slices.Contains(first, v) && l.shared[v] <= sharedMost })
		if via < 0 {
			continue
		}
		for _, value := range values {
			l.learn(linkWhy{Link: value, Key: k.ID, Via: values[via]})
		}
	}
	if len(l.b.Links)+len(l.b.Refused) == 0 {
		return nil
	}
	return &l.b
}

// learning is what one look at the keys adds to a correction.
type learning struct {
	r      *record
	b      linkedBody
	shared map[string]int
}

// learn adds a link unless it is there, was taken away, or tells no subject.
func (l *learning) learn(w linkWhy) bool {
	if l.r.links.find(w.Link) != nil || slices.ContainsFunc(l.b.Links, func(h linkWhy) bool { return h.Link == w.Link }) {
		return false
	}
	if l.r.links != nil && slices.Contains(l.r.links.unlinked, w.Link) {
		return false
	}
	if n := l.shared[w.Link]; n > sharedMost || len(l.r.linkList())+len(l.b.Links) >= maxLinks {
		same := func(m linkMany) bool { return m.Link == w.Link }
		if (l.r.links == nil || !slices.ContainsFunc(l.r.links.refused, same)) && !slices.ContainsFunc(l.b.Refused, same) && len(l.b.Refused) < maxLinks {
			l.b.Refused = append(l.b.Refused, linkMany{w.Link, n})
		}
		return false
	}
	l.b.Links = append(l.b.Links, w)
	return true
}

func (r *record) linkList() []linkView {
	if r.links == nil {
		return nil
	}
	return r.links.known
}

// keyed drafts what a new key brings to the blocks that link accounts.
func (s *state) keyed(k order.Key) (drafts []draft, weight int) {
	for _, r := range s.list {
		if !r.concerns(&k) {
			continue // what the other keys teach is learned already
		}
		if b := s.learnLinks(r, k); b != nil {
			drafts = append(drafts, draft{typeLinked, *b})
			weight += weigh(b.Links)
		}
	}
	return drafts, weight
}

// concerns says whether a key is of a subject of a block that links accounts, or of
// one that is linked to it.
func (r *record) concerns(k *order.Key) bool {
	if len(r.Params.Linked) == 0 || r.gone != "" {
		return false
	}
	values := linkValues(&r.Correction, k.Org, k.Attributes)
	if len(values) == 0 {
		return false
	}
	for _, l := range r.linkList() {
		if slices.Contains(values, l.Link) {
			return true
		}
	}
	var v correction.Verdict
	p := subjects(&r.Correction)
	return p != nil && reaches(p, k, nil, &v)
}

// foldLinked takes in what was learned, or taken away.
func (s *state) foldLinked(e ledger.Entry, o *order.Order) (func(), error) {
	var id, action, reason string
	var apply func(l *links)
	if e.Type == typeLinked {
		b, err := read[linkedBody](e.Body)
		if err != nil {
			return nil, err
		}
		id, action = b.ID, "linked"
		apply = func(l *links) {
			for _, w := range b.Links {
				l.known = append(l.known, linkView{w, e.At.UTC(), e.Seq})
				l.refused = slices.DeleteFunc(l.refused, func(m linkMany) bool { return m.Link == w.Link })
			}
			l.refused = append(l.refused, b.Refused...)
		}
		switch n := len(b.Links); n {
		case 0:
			action = ""
		case 1:
			reason = "1 link learned"
		default:
			reason = fmt.Sprintf("%d links learned", n)
		}
	} else {
		b, err := read[unlinkedBody](e.Body)
		if err != nil {
			return nil, err
		}
		id, action, reason = b.ID, "unlinked", b.Link+": "+b.Reason
		apply = func(l *links) {
			l.known = slices.DeleteFunc(l.known, func(v linkView) bool { return v.Link == b.Link || v.Via == b.Link })
			l.unlinked = append(l.unlinked, b.Link)
		}
	}
	r := s.corrections[id]
	if r == nil || r.gone != "" {
		return nil, fmt.Errorf("correction %q is not in force: %w", id, errForm)
	}
	l := r.links.clone()
	apply(l)
	next := r.Correction
	next.Links = nil
	for _, v := range l.known {
		next.Links = append(next.Links, v.Link)
	}
	slices.Sort(next.Links)
	if action == "" {
		return func() { r.links = l }, nil
	}
	o.Put = []correction.Correction{issued(next)}
	return func() {
		r.links = l
		s.replace(r, next, e, action, reason)
	}, nil
}

// replace puts another form of a correction in force.
func (s *state) replace(r *record, next correction.Correction, e ledger.Entry, action, reason string) {
	r.Correction, r.measured = next, nil
	r.revision, r.changed = s.revision, e.At.UTC()
	r.history = append(r.history, change{e.At.UTC(), e.Actor, action, reason, e.Seq})
	s.weight -= r.weight
	r.weight = weigh(&next)
	s.weight += r.weight
}

// onLinked takes in by what a gateway could recognise a caller that it refused.
// Of keys that control made it knows more itself, so only gateways that take
// identity from a proxy say this.
func (c *Control) onLinked(m bus.Msg) {
	var b order.Linked
	if err := json.Unmarshal(m.Data, &b); err != nil || len(m.Data) > maxBody/64 || len(b.Attributes) > maxKeyAttributes {
		c.log.Warn("a report of linked accounts cannot be read", "error", err)
		return
	}
	if !c.speaks(m, order.SubjectLinked, b.Gateway) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c.mu.RLock()
	r := c.state.corrections[b.Correction]
	var fresh []string
	if r != nil && r.gone == "" && len(r.Params.Linked) > 0 && (b.Via == "" || r.links.find(b.Via) != nil && r.links.find(b.Via).Via == "") {
		for _, v := range linkValues(&r.Correction, b.Org, b.Attributes) {
			settled := r.links != nil && (slices.Contains(r.links.unlinked, v) || slices.ContainsFunc(r.links.refused, func(m linkMany) bool { return m.Link == v }))
			if r.links.find(v) == nil && !settled && len(v) <= maxReported && checkLine("link", v, correction.MaxValueBytes) == nil {
				fresh = append(fresh, v)
			}
		}
	}
	c.mu.RUnlock()
	if len(fresh) == 0 {
		return
	}
	shared := map[string]int{}
	for _, v := range fresh {
		shared[v] = c.sharing(ctx, v)
	}
	_, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) {
		r := s.corrections[b.Correction]
		if r == nil || r.gone != "" {
			return nil, nil
		}
		l := &learning{r: r, b: linkedBody{ID: r.ID}, shared: map[string]int{}}
		for _, v := range fresh {
			l.shared[v] = shared[v]
			l.learn(linkWhy{Link: v, Key: b.Key, Via: b.Via, Gateway: b.Gateway})
		}
		if len(l.b.Links)+len(l.b.Refused) == 0 {
			return nil, nil
		}
		return []draft{{typeLinked, l.b}}, s.room(weigh(l.b.Links))
	})
	if err != nil {
		c.log.Error("linked accounts were not recorded", "correction", b.Correction, "error", err)
	}
}

// sharing is how many have a value: keys that control made, or users in what the
// gateways have recorded.
func (c *Control) sharing(ctx context.Context, value string) int {
	probe := correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Reason: "how many share " + strconv.Quote(short(value))}
	if org, ok := strings.CutPrefix(value, "org="); ok {
		probe.Scope.Orgs = []string{org}
	} else {
		probe.Scope.Attributes = []string{value}
	}
	n := 0
	c.mu.RLock()
	for _, k := range c.state.keyList {
		if k.revokedAt.IsZero() && (slices.Contains(k.Attributes, value) || "org="+k.Org == value) {
			n++
		}
	}
	c.mu.RUnlock()
	v, err := c.preview(ctx, &probe)
	if err != nil {
		return n
	}
	for _, seen := range []*int64{v.Users, v.Keys} {
		if seen != nil {
			n = max(n, int(*seen))
		}
	}
	return n
}

// unlinking is what unlink is asked to do.
type unlinking struct {
	Link   string `json:"link"`
	Reason string `json:"reason"`
}

// unlink takes a link away for good, with what was learned through it.
func (c *Control) unlink(ctx context.Context, op *operator, id string, x unlinking) error {
	if err := op.may("correction.unlink"); err != nil {
		return err
	}
	if err := reasonGiven(x.Reason); err != nil {
		return err
	}
	return c.act(ctx, op, func(s *state) (wanted, error) {
		r, err := s.standing(id, c.early())
		if err != nil {
			return wanted{}, err
		}
		return wanted{question: s.question(authority.Loosen, &r.Correction, r.share()), do: "unlink", subject: id + " " + x.Link,
			says: "take the link " + short(x.Link) + " of " + id + " back", what: unlinkWhat{id, x}, reason: x.Reason}, nil
	})
}

// draftUnlink drafts that a link is taken back. None is drafted if it is gone.
func (c *Control) draftUnlink(s *state, id string, x unlinking) ([]draft, error) {
	r, err := s.standing(id, c.early())
	if err != nil {
		return nil, err
	}
	if len(r.Params.Linked) == 0 {
		return nil, badField("link", id+" does not link accounts")
	}
	if r.links != nil && slices.Contains(r.links.unlinked, x.Link) {
		return nil, nil // gone is gone
	}
	if r.links.find(x.Link) == nil {
		return nil, badField("link", strconv.Quote(short(x.Link))+" is no link of "+id, r.Links[:min(len(r.Links), 50)]...)
	}
	return []draft{{typeUnlinked, unlinkedBody{id, x.Link, x.Reason}}}, nil
}

func (c *Control) postUnlink(cl *call) error { return changeOne(c, cl, "correction.unlink", c.unlink) }
