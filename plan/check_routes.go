package plan

import (
	"slices"
)

// unknownCallers is the share of traffic without an org from which on it is a finding.
const unknownCallers = 0.1

// routes checks that every way to a model leads past something that obeys.
func (g *gate) routes() {
	for i := range g.p.Surfaces {
		s, subject := &g.p.Surfaces[i], "surface/"+g.p.Surfaces[i].Name
		g.ask(ruleDirect, subject, ref("surfaces", i, "route"), s.Route == RouteDirect, "nothing of ours stands in between: no correction reaches it")
		if s.Route != RouteGateway {
			continue
		}
		for j, name := range s.Gateways {
			subject, at := subject+"/"+name, ref("surfaces", i, "gateways")+index(j)
			w := g.points[name]
			g.ask(ruleUnknownGateway, subject, at, w == nil, "gateway %s was never seen", name)
			if w != nil {
				g.ask(ruleStaleGateway, subject, at, w.State == "stale" || w.State == "refused", "gateway %s is %s", name, w.State)
			}
		}
	}
	for i := range g.p.Partners {
		p, subject := &g.p.Partners[i], "partner/"+g.p.Partners[i].Name
		g.ask(rulePartnerControls, subject, ref("partners", i, "controls"), len(p.Controls) == 0, "no correction is agreed with it")
		g.ask(rulePartnerWithin, subject, ref("partners", i, "within"), p.Within == 0, "it has not agreed how soon it acts")
	}
	for i := range g.p.Models {
		g.model(i)
	}
	g.unplanned()
	if t := g.seen.Traffic; t != nil {
		for _, u := range t.Unknown {
			if u.Dimension == "orgs" {
				g.ask(ruleUnknownCallers, "traffic/orgs", "", u.Share > unknownCallers, "the org of %.0f %% of requests is not known: a correction for one org does not reach them", 100*u.Share)
			}
		}
	}
}

// model checks the ways to one model.
func (g *gate) model(i int) {
	m, subject := &g.p.Models[i], "model/"+g.p.Models[i].Name
	internal, points := false, false
	for _, name := range m.Surfaces {
		if s := g.surfaces[name]; s != nil {
			internal = internal || s.Internal
			points = points || s.Route == RouteGateway
		}
	}
	g.ask(ruleNoInternal, subject, ref("models", i, "surfaces"), !internal, "no surface is for internal use: how your own people use it is not under control")
	if !points {
		return
	}
	g.ask(ruleUnservedModel, subject, ref("models", i, "name"), g.served[m.Name] == nil, "no gateway serves it")
	for j, d := range m.Derivatives {
		g.ask(ruleDerivative, "derivative/"+d.Name, ref("models", i, "derivatives")+index(j)+".name", g.served[d.Name] == nil && !g.versioned(m.Name, d.Name), "no gateway knows it as %s's", m.Name)
	}
	var versions []string
	for _, w := range g.seen.Gateways {
		for _, v := range w.Versions[m.Name] {
			if !slices.Contains(versions, v) {
				versions = append(versions, v)
			}
		}
	}
	slices.Sort(versions)
	for _, v := range versions {
		g.ask(ruleVersion, subject+"/"+v, ref("models", i, "versions"), !slices.Contains(m.Versions, v), "gateways serve version %s, which the plan does not have", v)
	}
}

// versioned says whether a gateway serves a name as a version of a model.
func (g *gate) versioned(model, name string) bool {
	return slices.ContainsFunc(g.seen.Gateways, func(w Gateway) bool { return slices.Contains(w.Versions[model], name) })
}

// unplanned checks what was seen and is not in the plan.
func (g *gate) unplanned() {
	for _, s := range g.seen.Models {
		g.ask(ruleUnplannedModel, "model/"+s.Name, "models", g.models[s.Name] == nil, "gateways serve it, and the plan does not know it")
	}
	for _, w := range g.seen.Gateways {
		used := slices.ContainsFunc(g.p.Surfaces, func(s Surface) bool { return slices.Contains(s.Gateways, w.Name) })
		g.ask(ruleUnplannedPoint, "gateway/"+w.Name, "surfaces", !used, "no surface of the plan names it")
	}
}

func index(i int) string { return at("", i, "") }
