package plan

import (
	"time"

	"andon/authority"
	"andon/playbook"
)

// Observed is what a control plane has seen. The zero value means that nobody
// was asked.
type Observed struct {
	At       time.Time `json:"at,omitzero"` // zero: nobody was asked
	Gateways []Gateway `json:"gateways"`
	Models   []Served  `json:"models"`
	Speeds   []Speed   `json:"speeds"`
	Drills   []Drill   `json:"drills"`
	Orgs     []OrgSeen `json:"orgs"`
	Accounts []Account `json:"accounts"`
	Traffic  *Traffic  `json:"traffic,omitempty"` // missing: no gateway answered, or none has recorded anything
	Waivers  []Waiver  `json:"waivers"`           // in force
}

// Made says whether a control plane was asked at all.
func (o *Observed) Made() bool { return !o.At.IsZero() }

// Gateway is an enforcement point, as it describes itself.
type Gateway struct {
	Name      string              `json:"name"`
	State     string              `json:"state"` // synced, sent, stale, refused
	Revision  uint64              `json:"revision"`
	Features  []string            `json:"features"`
	Models    []string            `json:"models"`
	Detectors []string            `json:"detectors"`
	Versions  map[string][]string `json:"versions,omitempty"`
}

// Served is a model that gateways serve.
type Served struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"` // the control plane's configuration says what follows
	Version    string `json:"version,omitempty"`
	Fallback   string `json:"fallback,omitempty"` // a model
	Upstream   string `json:"upstream,omitempty"` // the provider that serves it
}

// Speed is what a class of corrections took until every live gateway enforced it.
type Speed struct {
	Class string    `json:"class"` // correction.Class
	P50   float64   `json:"p50_ms"`
	P99   float64   `json:"p99_ms"`
	Count int       `json:"count"`
	At    time.Time `json:"at"` // of the last one
}

// Drill is when a playbook was last run as an exercise.
type Drill struct {
	Playbook string    `json:"playbook"`
	At       time.Time `json:"at"`
}

// OrgSeen is an org that has keys.
type OrgSeen struct {
	Name        string `json:"name"`
	Keys        int    `json:"keys"`                  // that are in force
	Criticality string `json:"criticality,omitempty"` // the highest that its keys say
}

// Account is somebody who can give commands.
type Account struct {
	Name  string           `json:"name"`
	Roles []authority.Role `json:"roles"`
}

// Traffic is what gateways have recorded lately.
type Traffic struct {
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Requests int64     `json:"requests"`
	Peaks    []Peak    `json:"peaks"`   // by model
	Unknown  []Unknown `json:"unknown"` // by dimension
}

// Peak is the most requests for a model within one second. Where several
// gateways serve it their peaks are added, so it may be above what came at once.
type Peak struct {
	Model  string `json:"model"`
	Second int64  `json:"per_second"`
}

// Unknown is the share of requests of which a dimension is not known.
type Unknown struct {
	Dimension string  `json:"dimension"` // "orgs", "users", "keys"
	Share     float64 `json:"share"`
}

// roleSet is what somebody is trusted with.
type roleSet = authority.Set

// point is the gateway as package playbook asks for it.
func (w *Gateway) point() playbook.Point {
	return playbook.Point{Name: w.Name, Models: w.Models, Features: w.Features, Detectors: w.Detectors, Versions: w.Versions}
}

// What a rule needs to be asked.
const (
	noServer  = "no control plane was asked"
	noTraffic = "no gateway has recorded any traffic, or none answered"
	noKeys    = "no keys were issued: gateways know callers by other means"
)

func needsServer(o *Observed) string {
	if !o.Made() {
		return noServer
	}
	return ""
}

func needsTraffic(o *Observed) string {
	switch {
	case !o.Made():
		return noServer
	case o.Traffic == nil || o.Traffic.Requests == 0:
		return noTraffic
	}
	return ""
}

func needsKeys(o *Observed) string {
	switch {
	case !o.Made():
		return noServer
	case len(o.Orgs) == 0:
		return noKeys
	}
	return ""
}

// index makes the plan's and the observations' names findable.
func (g *gate) index() {
	g.surfaces, g.teams, g.fallback = map[string]*Surface{}, map[string]*Team{}, map[string]*Fallback{}
	g.points, g.served, g.byTeams = map[string]*Gateway{}, map[string]*Served{}, map[string]roleSet{}
	g.models, g.naming = map[string]*Model{}, map[string][]int{}
	for i := range g.p.Surfaces {
		g.surfaces[g.p.Surfaces[i].Name] = &g.p.Surfaces[i]
	}
	for i := range g.p.Teams {
		t := &g.p.Teams[i]
		g.teams[t.Name] = t
		for _, m := range t.Members {
			g.byTeams[m] |= authority.SetOf(t.Roles...)
		}
	}
	for i := range g.p.Fallbacks {
		g.fallback[g.p.Fallbacks[i].Name] = &g.p.Fallbacks[i]
	}
	for i := range g.p.Models {
		m := &g.p.Models[i]
		g.models[m.Name] = m
		for _, d := range m.Derivatives {
			g.models[d.Name] = m
		}
	}
	for i := range g.p.Threats {
		for _, m := range g.p.Threats[i].Models {
			g.naming[m] = append(g.naming[m], i)
		}
	}
	for i := range g.seen.Gateways {
		g.points[g.seen.Gateways[i].Name] = &g.seen.Gateways[i]
	}
	for i := range g.seen.Models {
		g.served[g.seen.Models[i].Name] = &g.seen.Models[i]
	}
	g.roles = g.byTeams
	if g.seen.Made() {
		g.roles = map[string]roleSet{}
		for _, a := range g.seen.Accounts {
			g.roles[a.Name] = authority.SetOf(a.Roles...)
		}
	}
}
