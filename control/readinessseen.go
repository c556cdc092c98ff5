package control

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/incident"
	"andon/order"
	"andon/plan"
	"andon/playbook"
)

// observed is what this control plane sees, of the moment. It answers from memory,
// but for the traffic: that gateways are asked for, while no lock is held.
func (c *Control) observed(ctx context.Context, traffic bool) plan.Observed {
	o := plan.Observed{Gateways: []plan.Gateway{}, Models: []plan.Served{}, Speeds: []plan.Speed{}, Accounts: []plan.Account{}}
	if traffic {
		o.Traffic = c.traffic(ctx)
	}
	for name, m := range c.models() {
		o.Models = append(o.Models, plan.Served{Name: name, Version: m.Version, Fallback: m.Fallback, Upstream: m.Upstream,
			Configured: slices.ContainsFunc(c.cfg.Models, func(i ModelInfo) bool { return i.Name == name })})
	}
	slices.SortFunc(o.Models, func(a, b plan.Served) int { return strings.Compare(a.Name, b.Name) })
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := c.cfg.Now()
	o.At = c.recordTime(c.state)
	o.Waivers = c.state.activeWaivers(o.At)
	for _, name := range slices.Sorted(maps.Keys(c.points)) {
		p := c.points[name]
		o.Gateways = append(o.Gateways, plan.Gateway{Name: name, State: p.state(now, c.state.revision), Revision: p.revision,
			Features: slices.Clone(p.Features), Models: slices.Clone(p.Models), Detectors: slices.Clone(p.detectors), Versions: maps.Clone(p.versions)})
	}
	for _, class := range slices.Sorted(maps.Keys(c.state.effects)) {
		if v := c.state.effects[class].view(); v != nil && strings.Contains(class, ".") {
			o.Speeds = append(o.Speeds, plan.Speed{Class: class, P50: v.P50, P99: v.P99, Count: v.Count, At: v.At})
		}
	}
	o.Orgs, o.Drills = c.state.orgsSeen(now), c.state.drills()
	for _, id := range c.state.operatorList {
		if op := c.state.operators[id]; op.active() {
			o.Accounts = append(o.Accounts, plan.Account{Name: op.name, Roles: op.roles.List()})
		}
	}
	return o
}

// orgsSeen are the orgs that have keys in force, with the highest criticality
// that those say.
func (s *state) orgsSeen(now time.Time) []plan.OrgSeen {
	byName := map[string]*plan.OrgSeen{}
	for _, k := range s.keyList {
		if !k.revokedAt.IsZero() || !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
			continue
		}
		o := byName[k.Org]
		if o == nil {
			o = &plan.OrgSeen{Name: k.Org}
			byName[k.Org] = o
		}
		o.Keys++
		for _, a := range k.Attributes {
			if v, ok := strings.CutPrefix(a, "criticality="); ok && slices.Index(plan.Criticalities, v) > slices.Index(plan.Criticalities, o.Criticality) {
				o.Criticality = v
			}
		}
	}
	out := []plan.OrgSeen{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out
}

// drills are the last times that playbooks were run to their end as an exercise.
func (s *state) drills() []plan.Drill {
	last := map[string]time.Time{}
	for _, r := range s.playbook.runs {
		if r.State != playbook.Over || r.Incident == "" {
			continue
		}
		if in := s.book().Incident(r.Incident); in != nil && in.Kind == incident.Exercise && r.EndedAt.After(last[r.Playbook.Name]) {
			last[r.Playbook.Name] = r.EndedAt
		}
	}
	out := []plan.Drill{}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		out = append(out, plan.Drill{Playbook: name, At: last[name]})
	}
	return out
}

// trafficTime bounds how long gateways are asked what they have recorded.
const trafficTime = 3 * time.Second

// noOrg is an org that nobody is: with it in an except a preview says how many
// requests are of no known org.
const noOrg = "readiness.invalid"

// traffic asks every live gateway for the peak of each model, and of how many
// requests the org is not known: by the preview of a limit that nothing reaches.
// Nil if none answers, or none has recorded anything.
func (c *Control) traffic(ctx context.Context) *plan.Traffic {
	limit := int64(1) << 40
	ask, err := json.Marshal(correction.Correction{Kind: correction.Rate, Scope: correction.Scope{All: true}, Except: &correction.Scope{Orgs: []string{noOrg}}, Reason: "readiness",
		Params: correction.Params{Metric: "requests", Limit: &limit, Window: correction.Duration(time.Second), Per: "model"}})
	if err != nil {
		return nil
	}
	t := &plan.Traffic{Peaks: []plan.Peak{}, Unknown: []plan.Unknown{}}
	peaks, unknown := map[string]int64{}, map[string]int64{}
	for _, data := range c.gatherWithin(ctx, trafficTime, order.SubjectLive, ask, c.livePoints()) {
		var p order.Preview
		if err := json.Unmarshal(data, &p); err != nil || p.Recorded <= 0 {
			continue
		}
		t.Requests += p.Recorded
		if t.Since.IsZero() || p.Since.Before(t.Since) {
			t.Since = p.Since
		}
		if p.Until.After(t.Until) {
			t.Until = p.Until
		}
		for _, x := range p.Peaks {
			peaks[x.Model] += x.Requests
		}
		for _, k := range p.Known {
			unknown[k.Dimension] += k.Unknown
		}
	}
	if t.Requests == 0 {
		return nil
	}
	for _, m := range slices.Sorted(maps.Keys(peaks)) {
		t.Peaks = append(t.Peaks, plan.Peak{Model: m, Second: peaks[m]})
	}
	for _, d := range slices.Sorted(maps.Keys(unknown)) {
		t.Unknown = append(t.Unknown, plan.Unknown{Dimension: d, Share: part(unknown[d], t.Requests)})
	}
	return t
}
