package control

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"andon/order"
)

// listView is a named list as the API shows it: never its entries, which are
// not kept.
type listView struct {
	Name        string      `json:"name"`
	Dimension   string      `json:"dimension"`
	Entries     int64       `json:"entries"`
	Bytes       int64       `json:"bytes"`
	Digest      order.Hash  `json:"digest"`
	Revision    uint64      `json:"revision"` // that its last change made
	Since       time.Time   `json:"since"`
	By          string      `json:"by"`
	Action      string      `json:"action"`
	Reason      string      `json:"reason"`
	Source      string      `json:"source_sha256,omitempty"` // of the text that was loaded; missing: changed since
	Entry       uint64      `json:"entry"`                   // in the ledger
	Changed     *int64      `json:"changed,omitempty"`       // in an answer to add and remove: how many entries were
	Lost        string      `json:"lost,omitempty"`          // why the control plane can not read it any more
	Corrections []string    `json:"corrections"`             // that name it and are not gone
	Points      []listPoint `json:"points"`
}

// listPoint is where an enforcement point stands with a list.
type listPoint struct {
	Name    string     `json:"name"`
	State   string     `json:"state"`
	Percent int        `json:"percent,omitempty"` // of what it fetches
	Digest  order.Hash `json:"digest,omitzero"`   // of the version that it decides by
	Stale   bool       `json:"stale,omitempty"`   // its lease has run out; this is what it said last
	Error   string     `json:"error,omitempty"`
}

// The states of a point as to one list.
const (
	listHeld    = "held"    // it decides by this version
	listOld     = "old"     // it decides by another version until this one is whole
	listLoading = "loading" // it has none; corrections that name the list are not in force there yet
	listLost    = "lost"    // it had one and can not read it; it takes everybody for listed until it has this one
	listUnknown = "unknown" // it has not said
)

func viewPoint(p *point, l *listRecord, now time.Time) listPoint {
	h, told := p.lists[l.Name]
	v := listPoint{Name: p.name, Percent: h.Percent, Digest: h.Digest, Stale: !now.Before(p.lease), Error: short(h.Error)}
	switch {
	case !told:
		v.State = listUnknown
	case h.Digest == l.Digest:
		v.State = listHeld
	case !h.Digest.IsZero():
		v.State = listOld
	case h.Lost:
		v.State = listLost
	default:
		v.State = listLoading
	}
	return v
}

// viewList shows a list. The caller holds mu.
func (c *Control) viewList(l *listRecord, naming []string, now time.Time) listView {
	v := listView{Name: l.Name, Dimension: l.Dimension, Entries: l.Entries, Bytes: l.Bytes, Digest: l.Digest, Revision: l.revision,
		Since: l.since, By: l.by, Action: l.body.Action, Reason: l.body.Reason, Source: l.body.Source, Entry: l.entry, Corrections: naming, Points: []listPoint{}}
	if err := c.shelf.lost(l.Digest); err != nil {
		v.Lost = "its content can not be read; load it anew"
	}
	for _, p := range c.points {
		v.Points = append(v.Points, viewPoint(p, l, now))
	}
	slices.SortFunc(v.Points, func(a, b listPoint) int { return strings.Compare(a.Name, b.Name) })
	return v
}

func (c *Control) listView(name string) (listView, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	l := c.state.lists[name]
	if l == nil {
		return listView{}, noList(name)
	}
	return c.viewList(l, c.state.naming()[name], c.cfg.Now()), nil
}

func (c *Control) replyList(cl *call, status int, name string) error {
	v, err := c.listView(name)
	if err != nil {
		return err
	}
	return cl.reply(status, v)
}

func (c *Control) getList(cl *call) error {
	if err := cl.op.may("list.read"); err != nil {
		return err
	}
	return c.replyList(cl, http.StatusOK, cl.r.PathValue("name"))
}

type listList struct {
	Revision uint64     `json:"revision"`
	Lists    []listView `json:"lists"`
}

func (c *Control) getLists(cl *call) error {
	if err := cl.op.may("list.read"); err != nil {
		return err
	}
	c.mu.RLock()
	out := listList{Revision: c.state.revision, Lists: []listView{}}
	naming, now := c.state.naming(), c.cfg.Now()
	for _, ref := range c.state.listRefs() {
		out.Lists = append(out.Lists, c.viewList(c.state.lists[ref.Name], naming[ref.Name], now))
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, out)
}
