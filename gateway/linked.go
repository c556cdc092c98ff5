package gateway

import (
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/order"
)

// linkedMost bounds what is remembered of callers that were told of.
const linkedMost = 4096

// linkedSeen remembers which callers were told of.
type linkedSeen struct {
	mu   sync.Mutex
	told map[string]bool
}

// first reports whether something is told for the first time. It forgets all once
// it holds too many: then the control plane hears it again.
func (l *linkedSeen) first(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told[what] {
		return false
	}
	if l.told == nil || len(l.told) >= linkedMost {
		l.told = map[string]bool{}
	}
	l.told[what] = true
	return true
}

// linkRefused tells the control plane by what a refused caller could be recognised,
// where a block links accounts. It does so only where identity comes from a trusted
// proxy: of its own keys the control plane knows more.
func (x *exchange) linkRefused(c *call, why *reason) {
	g := x.g
	if g.cfg.Identity.Mode != "header" || g.cfg.Bus == nil || c.caller == nil {
		return
	}
	for _, r := range why.refused {
		cor := r.Correction
		if len(cor.Params.Linked) == 0 {
			continue
		}
		m := order.Linked{Gateway: g.cfg.Name, Correction: cor.ID, Key: c.caller.key}
		for _, name := range cor.Params.Linked {
			if name == "org" {
				m.Org = c.caller.org
			}
			for _, a := range c.caller.attributes {
				if v, ok := strings.CutPrefix(a, name+"="); ok && v != "" && name != "org" {
					m.Attributes = append(m.Attributes, a)
				}
			}
		}
		for _, v := range append(slices.Clone(m.Attributes), "org="+c.caller.org) {
			if slices.Contains(cor.Links, v) {
				m.Via = v
			}
		}
		// A user that only the body names is somebody else's, and so are the attributes.
		if m.Via == "" && len(cor.Scope.Users) > 0 && !slices.ContainsFunc(cor.Scope.Users, func(u string) bool {
			return correction.FoldUser(u) == correction.FoldUser(c.caller.user)
		}) {
			continue
		}
		if m.Org == "" && len(m.Attributes) == 0 || !g.linked.first(cor.ID+"\x00"+m.Org+"\x00"+strings.Join(m.Attributes, "\x00")) {
			continue
		}
		data, err := json.Marshal(m)
		if err == nil {
			err = g.cfg.Bus.Publish(order.SubjectLinked, data)
		}
		if err != nil {
			g.log.Warn("linked accounts were not told of", "correction", cor.ID, "error", err)
		}
	}
}
