package plan

import (
	"fmt"
	"strings"

	"andon/correction"
)

// Words of the inventory.
const (
	RouteGateway = "gateway" // an enforcement point of ours stands in between
	RoutePartner = "partner" // a partner serves, and carries out what we ask
	RouteDirect  = "direct"  // nothing of ours stands in between

	// NoFallback in Model.Fallback says that there is none, for a reason.
	NoFallback = "none"
)

// Kinds are the kinds of correction.
var Kinds = []string{string(correction.Stop), string(correction.Access), string(correction.Use), string(correction.Capability), string(correction.Rate)}

var (
	routes          = []string{RouteGateway, RoutePartner, RouteDirect}
	derivativeKinds = []string{"fine-tune", "alias", "distillation", "adapter"}
)

const day = correction.Duration(24 * 3600e9)

func (c *checker) models() {
	if len(c.p.Models) == 0 {
		c.wrong("models", "missing: a plan is about at least one model")
	}
	c.count("models", len(c.p.Models), MaxEntries)
	seen := map[string]string{} // every name by which a model is called
	once := func(path, name string) {
		c.value(path, name, correction.MaxValueBytes, true)
		if other := seen[name]; other != "" && name != "" {
			c.wrong(path, quote(name)+" is the name of "+other+" already; one name leads to one model")
			return
		}
		seen[name] = strings.TrimSuffix(path, ".name")
	}
	for i := range c.p.Models {
		once(at("models", i, "name"), c.p.Models[i].Name)
	}
	for i := range c.p.Models {
		m, path := &c.p.Models[i], func(field string) string { return at("models", i, field) }
		c.text(path("description"), m.Description, false)
		c.values(path("versions"), m.Versions, correction.MaxValueBytes, false)
		c.refs(path("surfaces"), "surfaces", m.Surfaces, true)
		c.ref(path("owner"), "teams", m.Owner, true)
		c.modelFallback(m, path)
		if c.count(path("derivatives"), len(m.Derivatives), maxRefs) {
			c.derivatives(m, path("derivatives"), once)
		}
	}
	c.fallbackCycles()
}

func (c *checker) modelFallback(m *Model, path func(string) string) {
	c.text(path("no_fallback"), m.NoFallback, m.Fallback == NoFallback)
	switch {
	case m.Fallback == NoFallback:
		return
	case m.NoFallback != "":
		c.wrong(path("no_fallback"), `says why there is no fallback; write fallback: none, or leave it out`)
	}
	if m.Fallback == "" || !c.ref(path("fallback"), "fallbacks", m.Fallback, false) {
		return
	}
	f := c.p.Fallback(m.Fallback)
	if f.Model == m.Name {
		c.wrong(path("fallback"), quote(m.Fallback)+" is this very model; a fallback is another one")
	} else if !contains(f.For, m.Name) {
		c.wrong(path("fallback"), fmt.Sprintf("%s is not for this model; add it to fallbacks[%s].for", quote(m.Fallback), m.Fallback))
	}
}

// derivatives checks the fine-tunes and aliases of a model, and that none leads
// back to itself.
func (c *checker) derivatives(m *Model, path string, once func(path, name string)) {
	of := map[string]string{}
	for _, d := range m.Derivatives {
		of[d.Name] = d.Of
	}
	for i, d := range m.Derivatives {
		once(at(path, i, "name"), d.Name)
		c.word(at(path, i, "kind"), d.Kind, true, derivativeKinds...)
		if d.Of == "" || d.Of == m.Name {
			continue
		}
		if _, known := of[d.Of]; !known {
			names := []string{m.Name}
			for n := range of {
				names = append(names, n)
			}
			c.add(Fault{Position: c.p.Pos(at(path, i, "of")), Path: at(path, i, "of"), Near: near(d.Of, names),
				Detail: quote(d.Of) + " is neither this model nor a derivative of it"})
			continue
		}
		if way := cycle(d.Name, func(n string) string { return of[n] }); way != nil && way[0] == d.Name {
			c.wrong(at(path, i, "of"), "a cycle: "+arrows(way)+"; a derivative is made of something that was there before")
		}
	}
}

// cycle follows next from a name. It returns the way back to a name that it came
// by, beginning and ending with that; nil if there is an end.
func cycle(from string, next func(string) string) []string {
	index := map[string]int{}
	var way []string
	for n := from; n != ""; n = next(n) {
		if i, been := index[n]; been {
			return append(way[i:], n)
		}
		index[n] = len(way)
		way = append(way, n)
	}
	return nil
}

func arrows(way []string) string {
	if len(way) > 8 {
		way = append(append([]string{}, way[:7]...), "…", way[len(way)-1])
	}
	return strings.Join(way, " → ")
}

// fallbackCycles refuses models that stand in for each other in a circle: if all
// of them have to stop, nothing says what is served.
func (c *checker) fallbackCycles() {
	next := map[string]string{}
	for i := range c.p.Models {
		if f := c.p.Fallback(c.p.Models[i].Fallback); f != nil {
			next[c.p.Models[i].Name] = f.Model
		}
	}
	said := map[string]bool{}
	for i := range c.p.Models {
		m := &c.p.Models[i]
		way := cycle(m.Name, func(n string) string { return next[n] })
		if way == nil || way[0] != m.Name || said[m.Name] || next[m.Name] == m.Name {
			continue
		}
		for _, n := range way {
			said[n] = true
		}
		c.wrong(at("models", i, "fallback"), "a cycle: "+arrows(way)+"; give one of them fallback: none, and say why")
	}
}

func (c *checker) surfaces() {
	c.entries("surfaces", len(c.p.Surfaces), func(i int) string { return c.p.Surfaces[i].Name })
	for i := range c.p.Surfaces {
		s, path := &c.p.Surfaces[i], func(field string) string { return at("surfaces", i, field) }
		c.word(path("route"), s.Route, true, routes...)
		c.values(path("gateways"), s.Gateways, maxLine, s.Route == RouteGateway)
		if s.Route != RouteGateway && len(s.Gateways) > 0 {
			c.wrong(path("gateways"), "belongs to a surface of route gateway")
		}
		c.ref(path("partner"), "partners", s.Partner, s.Route == RoutePartner)
		if s.Route != RoutePartner && s.Partner != "" {
			c.wrong(path("partner"), "belongs to a surface of route partner")
		}
		c.ref(path("owner"), "teams", s.Owner, true)
	}
	c.entries("partners", len(c.p.Partners), func(i int) string { return c.p.Partners[i].Name })
	for i := range c.p.Partners {
		p, path := &c.p.Partners[i], func(field string) string { return at("partners", i, field) }
		c.refs(path("contacts"), "contacts", p.Contacts, true)
		c.count(path("controls"), len(p.Controls), len(Kinds))
		for j, k := range p.Controls {
			c.word(at(path("controls"), j, ""), k, true, Kinds...)
		}
		c.distinct(path("controls"), p.Controls)
		c.length(path("within"), p.Within, correction.Duration(1e9), 30*day, false)
	}
}

func (c *checker) fallbacks() {
	c.entries("fallbacks", len(c.p.Fallbacks), func(i int) string { return c.p.Fallbacks[i].Name })
	for i := range c.p.Fallbacks {
		f, path := &c.p.Fallbacks[i], func(field string) string { return at("fallbacks", i, field) }
		if f.Name == NoFallback {
			c.wrong(path("name"), `"none" means that there is no fallback; give it another name`)
		}
		c.ref(path("model"), "models", f.Model, true)
		c.refs(path("for"), "models", f.For, true)
		if contains(f.For, f.Model) && f.Model != "" {
			c.wrong(path("for"), quote(f.Model)+" would stand in for itself")
		}
		if !(f.Capacity > 0 && f.Capacity <= 1e9) {
			c.wrong(path("capacity"), fmt.Sprintf("%v is out of bounds; give the requests a second that it carries, as tested: more than 0, at most 1e9", f.Capacity))
		}
		c.refs(path("shares_with"), "threats", f.SharesWith, false)
		c.text(path("differences"), f.Differences, true)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
