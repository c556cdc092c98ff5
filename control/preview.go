package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/order"
)

// previewTime bounds how long gateways may take for one preview.
const previewTime = 5 * time.Second

// How many names a preview shows.
const (
	shownDependants = 50
	shownOrgs       = 20
)

// previewView is what a correction would do, computed by the gateways on what
// they have recorded and what runs there now. It holds only what was measured.
type previewView struct {
	Coverage       coverageView    `json:"coverage"`
	Requests       *int64          `json:"requests,omitempty"`  // recorded ones that it would have refused, limited or changed
	Reached        *int64          `json:"reached,omitempty"`   // recorded ones in its scope
	Refused        *int64          `json:"refused,omitempty"`   // of Requests
	Limited        *int64          `json:"limited,omitempty"`   // of Requests
	Changed        *int64          `json:"changed,omitempty"`   // of Requests
	Undecided      *int64          `json:"undecided,omitempty"` // of Reached: the record does not say
	Already        *int64          `json:"already,omitempty"`   // of Requests: refused, limited or cut as it was
	ShareOfTraffic *float64        `json:"share_of_traffic,omitempty"`
	Users          *int64          `json:"users,omitempty"`
	Orgs           *int64          `json:"orgs,omitempty"`
	Keys           *int64          `json:"keys,omitempty"`
	Estimated      []string        `json:"estimated,omitempty"` // of the three: those that are estimates
	LiveStreams    *int64          `json:"live_streams,omitempty"`
	ByModel        []reachView     `json:"by_model,omitempty"`
	ByOrg          []reachView     `json:"by_org,omitempty"`
	Dependants     []dependantView `json:"dependants,omitempty"`
	Terms          []termsView     `json:"terms,omitempty"`     // of customers that do not permit it, or not without notice
	HoldDown       []heldDependant `json:"hold_down,omitempty"` // dependants that get their fallback first
	Unknown        []string        `json:"unknown"`             // what nobody measured, or could judge
	Warnings       []warning       `json:"warnings,omitempty"`
}

// coverageView says what the figures of a preview rest on.
type coverageView struct {
	Basis      string          `json:"basis"`    // "recorded traffic and running requests", or less
	Points     int             `json:"points"`   // live enforcement points
	Answered   int             `json:"answered"` // of them
	Recorded   int64           `json:"recorded"` // requests that were looked at
	Since      time.Time       `json:"since,omitzero"`
	Until      time.Time       `json:"until,omitzero"`
	Lost       int64           `json:"lost"` // requests that had no room in a record
	Records    []recordView    `json:"records"`
	Dimensions []dimensionView `json:"dimensions"`
	Notes      []string        `json:"notes"`
}

// recordView is what one gateway has recorded.
type recordView struct {
	Name     string    `json:"name"`
	Requests int64     `json:"requests"`
	Since    time.Time `json:"since,omitzero"`
}

// dimensionView says for how much traffic the value of a dimension that the
// scope asks for is unknown, and what happens to that.
type dimensionView struct {
	Dimension string  `json:"dimension"`
	Unknown   int64   `json:"unknown"` // requests
	Share     float64 `json:"share"`   // of those recorded
	Rule      string  `json:"rule"`    // excluded | included | refused | not spared
}

// reachView is how much of somebody's traffic is touched.
type reachView struct {
	Name     string  `json:"name"`
	Requests int64   `json:"requests"`
	Of       int64   `json:"of"`    // all that was recorded
	Share    float64 `json:"share"` // of it
}

// dependantView is a caller whose traffic is touched.
type dependantView struct {
	Key         string  `json:"key,omitempty"` // missing: callers without one
	Org         string  `json:"org,omitempty"`
	Criticality string  `json:"criticality"` // of the key's attribute, or "unknown"
	Requests    int64   `json:"requests"`
	Share       float64 `json:"share"` // of its own traffic
}

func (c *Control) postPreview(cl *call) error {
	if err := cl.op.may("correction.preview"); err != nil {
		return err
	}
	cor, _, err := cl.decodeCorrection()
	if err != nil {
		return err
	}
	if err := c.vet(&cor); err != nil {
		return err
	}
	if cor, err = c.check(cor, c.cfg.Now().UTC().Round(0)); err != nil {
		return err
	}
	c.mu.RLock()
	err = c.state.checkIncident(cl.op, &cor)
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	v, err := c.preview(cl.r.Context(), &cor)
	if err != nil {
		return err
	}
	v.Warnings = c.warnings(&cor)
	c.mu.RLock()
	v.Terms, v.HoldDown = c.state.termsAgainst(&cor), c.state.holdDown(&cor)
	v.Warnings = append(v.Warnings, c.state.holdWarnings(&cor, nil, false)...)
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// preview asks every live gateway, and joins what they say.
func (c *Control) preview(ctx context.Context, cor *correction.Correction) (previewView, error) {
	v := previewView{Coverage: coverageView{Points: c.livePoints()}, Unknown: []string{}}
	ask, err := json.Marshal(cor)
	if err != nil {
		return v, err
	}
	var m merged
	for _, data := range c.gatherWithin(ctx, previewTime, order.SubjectLive, ask, v.Coverage.Points) {
		var p order.Preview
		if err := json.Unmarshal(data, &p); err != nil {
			c.log.Warn("a gateway's preview cannot be read", "error", err)
			continue
		}
		m.add(&p)
	}
	if c.unserved(cor) {
		m.Refused, m.Changed = m.Refused+m.Changed, 0 // a record does not know what other versions there are
	}
	m.view(&v, cor)
	for i := range v.Dependants { // what the keys say now counts, whatever they said when they called
		c.criticality(&v.Dependants[i])
	}
	return v, nil
}

func (c *Control) criticality(d *dependantView) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k := c.state.keys[d.Key]
	if k == nil {
		return
	}
	for _, a := range k.Attributes {
		if v, ok := strings.CutPrefix(a, "criticality="); ok {
			d.Criticality = v
		}
	}
}

// merged is what several gateways have answered.
type merged struct {
	order.Preview
	records []recordView
	users   map[string]*order.Sketch // by the key of the pseudonyms: others cannot be compared
	models  map[string]*order.Reach
	orgs    map[string]*order.Reach
	keys    map[string]*order.Reach
	known   map[string]int64
}

func (m *merged) add(p *order.Preview) {
	if m.users == nil {
		m.users, m.known = map[string]*order.Sketch{}, map[string]int64{}
		m.models, m.orgs, m.keys = map[string]*order.Reach{}, map[string]*order.Reach{}, map[string]*order.Reach{}
	}
	m.records = append(m.records, recordView{p.Gateway, p.Recorded, p.Since})
	if p.Recorded > 0 && (m.Since.IsZero() || p.Since.Before(m.Since)) {
		m.Since = p.Since
	}
	if p.Until.After(m.Until) {
		m.Until = p.Until
	}
	for to, n := range map[*int64]int64{&m.Recorded: p.Recorded, &m.Lost: p.Lost, &m.Requests: p.Requests, &m.Reached: p.Reached, &m.Refused: p.Refused,
		&m.Limited: p.Limited, &m.Changed: p.Changed, &m.Undecided: p.Undecided, &m.Already: p.Already, &m.LiveStreams: p.LiveStreams} {
		*to += n
	}
	if m.users[p.Pseudonyms] == nil {
		m.users[p.Pseudonyms] = &order.Sketch{}
	}
	m.users[p.Pseudonyms].Merge(&p.Users)
	m.Orgs.Merge(&p.Orgs)
	m.Keys.Merge(&p.Keys)
	join(m.models, p.Models)
	join(m.orgs, p.ByOrg)
	join(m.keys, p.ByKey)
	for _, k := range p.Known {
		m.known[k.Dimension] += k.Unknown
	}
	for _, list := range []struct{ to, from *[]string }{{&m.Unknown, &p.Unknown}, {&m.Notes, &p.Notes}} {
		for _, s := range *list.from {
			if !slices.Contains(*list.to, s) {
				*list.to = append(*list.to, s)
			}
		}
	}
}

func join(m map[string]*order.Reach, list []order.Reach) {
	for _, r := range list {
		have := m[r.Name]
		if have == nil {
			m[r.Name] = &r
			continue
		}
		have.Requests += r.Requests
		have.Of += r.Of
		have.Org, have.Criticality = cmp.Or(have.Org, r.Org), cmp.Or(have.Criticality, r.Criticality)
	}
}

// view writes what was measured.
func (m *merged) view(v *previewView, cor *correction.Correction) {
	cov := &v.Coverage
	cov.Answered, cov.Recorded, cov.Since, cov.Until, cov.Lost = len(m.records), m.Recorded, m.Since, m.Until, m.Lost
	cov.Records, cov.Dimensions, cov.Notes = []recordView{}, []dimensionView{}, []string{}
	slices.SortFunc(m.records, func(a, b recordView) int { return cmp.Compare(a.Name, b.Name) })
	cov.Records = append(cov.Records, m.records...)
	cov.Notes = append(cov.Notes, m.Notes...)
	if cov.Answered < cov.Points {
		cov.Notes = append(cov.Notes, fmt.Sprintf("%d of %d live gateways did not answer: what they serve is not counted", cov.Points-cov.Answered, cov.Points))
	}
	if len(m.users) > 1 {
		cov.Notes = append(cov.Notes, "gateways keep users under different keys: who calls through several of them counts several times (give all of them the same gateway.pseudonym_key)")
	}
	v.Unknown = append(v.Unknown, m.Unknown...)
	past := []string{"requests", "share_of_traffic", "dependants"}
	switch {
	case cov.Answered == 0:
		cov.Basis = "nothing: no gateway answered"
		v.Unknown = append(v.Unknown, append(past, "live_streams", "users", "orgs", "keys")...)
		return
	case m.Recorded == 0:
		cov.Basis = "running requests"
		v.Unknown = append(v.Unknown, past...)
	default:
		cov.Basis = "recorded traffic and running requests"
		v.Requests, v.Reached, v.Refused, v.Limited, v.Changed = &m.Requests, &m.Reached, &m.Refused, &m.Limited, &m.Changed
		v.Undecided, v.Already = &m.Undecided, &m.Already
		share := part(m.Requests, m.Recorded)
		v.ShareOfTraffic = &share
		m.dependants(v)
	}
	v.LiveStreams = &m.LiveStreams
	var users int64
	exact := true
	for _, s := range m.users {
		n, ok := s.Count()
		users, exact = users+n, exact && ok
	}
	v.Users = &users
	if !exact {
		v.Estimated = append(v.Estimated, "users")
	}
	count := func(name string, s *order.Sketch) *int64 {
		n, ok := s.Count()
		if !ok {
			v.Estimated = append(v.Estimated, name)
		}
		return &n
	}
	v.Orgs, v.Keys = count("orgs", &m.Orgs), count("keys", &m.Keys)
	for name, n := range m.known {
		cov.Dimensions = append(cov.Dimensions, dimensionView{name, n, part(n, m.Recorded), rule(cor, name)})
	}
	slices.SortFunc(cov.Dimensions, func(a, b dimensionView) int { return cmp.Compare(a.Dimension, b.Dimension) })
}

func part(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// rule says what the correction does where the value of a dimension is unknown.
func rule(cor *correction.Correction, dimension string) string {
	switch name, _, _ := strings.Cut(dimension, "."); {
	case !asks(&cor.Scope, name):
		return "not spared"
	case cor.Kind == correction.Access && cor.Params.Mode == "allow_only" && name != "versions" && name != "use_cases":
		return "refused"
	case cor.Scope.Unknown == "include":
		return "included"
	}
	return "excluded"
}

// asks says whether a scope may ask for a dimension: by a list of its own, a named
// list, or an expression.
func asks(s *correction.Scope, name string) bool {
	given := map[string][]string{"versions": s.Versions, "orgs": s.Orgs, "users": s.Users, "keys": s.Keys, "tiers": s.Tiers, "ips": s.IPs,
		"countries": s.Countries, "attributes": s.Attributes, "use_cases": s.UseCases}
	return len(given[name]) > 0 || len(s.Lists) > 0 || s.When != ""
}

// dependants lists who is touched: those that say how critical they are first,
// then by how much of their traffic there is.
func (m *merged) dependants(v *previewView) {
	v.ByModel, v.ByOrg = shares(m.models, shownOrgs), shares(m.orgs, shownOrgs)
	keys := make([]*order.Reach, 0, len(m.keys))
	for _, r := range m.keys {
		keys = append(keys, r)
	}
	slices.SortFunc(keys, func(a, b *order.Reach) int {
		if critical := cmp.Compare(unsaid(a), unsaid(b)); critical != 0 {
			return critical
		}
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Name, b.Name))
	})
	v.Dependants = []dependantView{}
	for _, r := range keys[:min(len(keys), shownDependants)] {
		v.Dependants = append(v.Dependants, dependantView{r.Name, r.Org, cmp.Or(r.Criticality, "unknown"), r.Requests, part(r.Requests, r.Of)})
	}
}

func unsaid(r *order.Reach) int {
	if r.Criticality == "" {
		return 1
	}
	return 0
}

func shares(m map[string]*order.Reach, most int) []reachView {
	list := []reachView{}
	for _, r := range m {
		list = append(list, reachView{r.Name, r.Requests, r.Of, part(r.Requests, r.Of)})
	}
	slices.SortFunc(list, func(a, b reachView) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), most)]
}
