package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/playbook"
)

// Matrix is threats × corrections: what answers each threat, how fast, and what
// stands against it.
type Matrix struct {
	Rows []Row `json:"rows"`
}

// Row is what answers one threat.
type Row struct {
	Threat   string   `json:"threat"`
	Severity int      `json:"severity"`
	Models   []string `json:"models"`  // empty: all
	Rungs    []Rung   `json:"rungs"`   // the narrowest first
	Covered  bool     `json:"covered"` // there is a rung that nothing is known to stand against
}

// Whether a rung can be enforced.
const (
	CanYes     = "yes"
	CanNo      = "no"
	CanUnknown = "unknown" // nobody was asked, or no gateway said
)

// Rung is one correction of a playbook.
type Rung struct {
	Playbook  string              `json:"playbook"`
	Step      string              `json:"step"` // by name; "stop_gap" for those that one step applies
	Kind      correction.Kind     `json:"kind"`
	Class     string              `json:"class"` // correction.Class
	Rank      int                 `json:"rank"`  // narrowness, by the catalogue; 1 takes least away
	Scope     string              `json:"scope"`
	P99       *float64            `json:"p99_ms,omitempty"` // time to effect; missing: not measured
	Measured  int                 `json:"measured"`         // times
	Enforced  string              `json:"enforced"`         // yes, no, unknown
	Lacks     []string            `json:"lacks"`            // what stands against it, by gateway
	Partners  []string            `json:"partners_cannot"`  // that serve the model and do not carry out the kind
	Forbidden Orgs                `json:"terms_forbid"`     // whose terms do
	NoticeFor Orgs                `json:"terms_notice"`     // whose terms want notice
	Notice    correction.Duration `json:"notice,omitempty"` // the longest
	DrilledAt Date                `json:"drilled_at,omitzero"`
	Fallback  string              `json:"fallback,omitempty"` // the model that is served instead; "none": nothing

	path string
	cor  *correction.Correction
}

// Orgs are some orgs; of many, a few by name.
type Orgs struct {
	Count int      `json:"count"`
	Names []string `json:"names"` // at most 20
}

func (o *Orgs) add(names ...string) {
	const most = 20
	o.Names = append(o.Names, names[:min(len(names), most-len(o.Names))]...)
	o.Count += len(names)
}

// String names a few.
func (o *Orgs) String() string {
	if more := o.Count - shownNames; more > 0 {
		return strings.Join(o.Names[:shownNames], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(o.Names, ", ")
}

const stopGapStep = "stop_gap"

// open says whether a name stands for what is known only on the day.
func open(name string) bool { return strings.Contains(name, variable) }

// Bounds of what is judged, so that a plan of the size that is loaded takes no
// longer than some seconds. They are far beyond what people can keep in order.
const (
	maxShifts = 5000       // of all rosters
	maxWork   = 20_000_000 // rungs × models and terms, and those that name orgs × orgs under terms
)

// tooLarge says why a plan can not be judged; "" if it can.
func (g *gate) tooLarge() string {
	shifts, orgs := 0, 0
	for i := range g.p.Rosters {
		shifts += len(g.p.Rosters[i].Shifts)
	}
	for i := range g.p.Terms {
		orgs += len(g.p.Terms[i].Orgs)
	}
	rungs, named := 0, 0
	for j := range g.p.Playbooks {
		all, some := size(&g.p.Playbooks[j])
		times := 1
		for i := range g.p.Threats {
			if g.answersTo(j, &g.p.Threats[i]) {
				times++
			}
		}
		rungs, named = rungs+all*times, named+some*times
	}
	switch {
	case shifts > maxShifts:
		return fmt.Sprintf("its rosters have %d shifts; at most %d are judged", shifts, maxShifts)
	case rungs*(len(g.p.Models)+len(g.p.Terms))+named*orgs > maxWork:
		return fmt.Sprintf("%d corrections answer threats of %d models under %d terms for %d orgs: more than can be judged; share playbooks, or make several plans", rungs, len(g.p.Models), len(g.p.Terms), orgs)
	}
	return ""
}

// size is how many corrections a playbook has at most, and how many of them name
// orgs.
func size(b *playbook.Playbook) (all, named int) {
	add := func(c *correction.Correction) {
		if all++; c != nil && len(c.Scope.Orgs) > 0 {
			named += len(c.Scope.Orgs)
		}
	}
	for i := range b.Steps {
		add(b.Steps[i].Correction)
	}
	if b.StopGap != nil {
		for i := range b.StopGap.Corrections {
			add(&b.StopGap.Corrections[i])
		}
	}
	return all, named
}

// answersTo says whether a playbook answers a threat.
func (g *gate) answersTo(book int, t *Threat) bool {
	b := &g.p.Playbooks[book]
	return slices.Contains(t.Playbooks, b.Name) || slices.Contains(b.Threats, t.Name)
}

// cover makes the matrix.
func (g *gate) cover() Matrix {
	m := Matrix{Rows: []Row{}}
	for i := range g.p.Threats {
		t := &g.p.Threats[i]
		row := Row{Threat: t.Name, Severity: t.Severity, Models: t.Models, Rungs: []Rung{}}
		if row.Models == nil {
			row.Models = []string{}
		}
		for j := range g.p.Playbooks {
			if g.answersTo(j, t) {
				row.Rungs = append(row.Rungs, g.rungs(j, t.Models)...)
			}
		}
		slices.SortStableFunc(row.Rungs, func(a, b Rung) int {
			return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(wide(a.cor), wide(b.cor)))
		})
		row.Covered = slices.ContainsFunc(row.Rungs, func(r Rung) bool { return r.Enforced != CanNo })
		m.Rows = append(m.Rows, row)
	}
	return m
}

// wide orders scopes of one rank: those that name subjects first, then those that
// name anything, then everything.
func wide(c *correction.Correction) int {
	s := &c.Scope
	switch {
	case s.All:
		return 2
	case len(s.Orgs)+len(s.Users)+len(s.Keys)+len(s.Tiers)+len(s.IPs)+len(s.Countries)+len(s.Attributes)+len(s.Lists) > 0, s.When != "":
		return 0
	}
	return 1
}

// rungs are the corrections of a playbook, as they answer a threat to models.
func (g *gate) rungs(book int, models []string) []Rung {
	b := &g.p.Playbooks[book]
	drilled := g.drilled(b)
	var out []Rung
	add := func(step, path string, c *correction.Correction) {
		r := Rung{Playbook: b.Name, Step: step, Kind: c.Kind, Class: c.Class(), Rank: playbook.Narrowness(c), Scope: c.Scope.String(),
			DrilledAt: drilled, Lacks: []string{}, Partners: []string{}, Forbidden: Orgs{Names: []string{}}, NoticeFor: Orgs{Names: []string{}}, cor: c, path: path}
		for _, s := range g.seen.Speeds {
			if s.Class == r.Class {
				p99 := s.P99
				r.P99, r.Measured = &p99, s.Count
			}
		}
		r.Enforced, r.Lacks = g.enforced(c, models)
		r.Partners = g.partnersCannot(c, models)
		g.permit(&r)
		r.Fallback = g.instead(c, models)
		out = append(out, r)
	}
	if b.StopGap != nil {
		for i := range b.StopGap.Corrections {
			add(stopGapStep, ref("playbooks", book, "stop_gap.corrections["+strconv.Itoa(i)+"]"), &b.StopGap.Corrections[i])
		}
	}
	for i := range b.Steps {
		if c := b.Steps[i].Correction; c != nil {
			add(b.Steps[i].Name, ref("playbooks", book, "steps["+strconv.Itoa(i)+"].correction"), c)
		}
	}
	return out
}

func ref(section string, i int, field string) string {
	return section + "[" + strconv.Itoa(i) + "]." + field
}

// drilled is the last drill of a playbook: as the plan says, or as was seen.
func (g *gate) drilled(b *playbook.Playbook) Date {
	at, _ := time.Parse("2006-01-02", b.TestedAt) // another form was refused when the plan was loaded
	for _, d := range g.seen.Drills {
		if d.Playbook == b.Name && d.At.After(at) {
			at = d.At
		}
	}
	return Date{at.UTC().Truncate(24 * time.Hour)}
}

// concerned are the models that a correction reaches, of those that a threat is
// about; all models of the plan if neither says.
func (g *gate) concerned(c *correction.Correction, models []string) []*Model {
	var out []*Model
	for i := range g.p.Models {
		m := &g.p.Models[i]
		if len(models) > 0 && !slices.ContainsFunc(models, m.Called) {
			continue
		}
		if names := c.Scope.Models; len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return open(n) || m.Called(n) }) {
			continue
		}
		out = append(out, m)
	}
	return out
}

// enforced says whether the gateways of the models can enforce a correction, and
// what is missing where.
func (g *gate) enforced(c *correction.Correction, models []string) (can string, lacks []string) {
	lacks = []string{}
	if !g.seen.Made() {
		return CanUnknown, lacks
	}
	var points []playbook.Point
	for _, m := range g.concerned(c, models) {
		for _, s := range m.Surfaces {
			surface := g.surfaces[s]
			if surface == nil || surface.Route != RouteGateway {
				continue
			}
			for _, name := range surface.Gateways {
				if w := g.points[name]; w != nil && !slices.ContainsFunc(points, func(p playbook.Point) bool { return p.Name == name }) {
					points = append(points, w.point())
				}
			}
		}
	}
	if len(points) == 0 {
		return CanUnknown, lacks
	}
	if lacks = append(lacks, playbook.Lacks(c, points)...); len(lacks) > 0 {
		return CanNo, lacks
	}
	if slices.ContainsFunc(points, func(p playbook.Point) bool { return len(p.Features) == 0 }) {
		return CanUnknown, lacks
	}
	return CanYes, lacks
}

// partnersCannot are the partners that serve a model which the correction reaches
// and do not carry out its kind.
func (g *gate) partnersCannot(c *correction.Correction, models []string) []string {
	out := []string{}
	for _, m := range g.concerned(c, models) {
		for _, name := range m.Surfaces {
			s := g.surfaces[name]
			if s == nil || s.Route != RoutePartner || len(c.Scope.Surfaces) > 0 && !slices.Contains(c.Scope.Surfaces, name) {
				continue
			}
			if p := g.p.Partner(s.Partner); p != nil && !slices.Contains(p.Controls, string(c.Kind)) && !slices.Contains(out, p.Name) {
				out = append(out, p.Name)
			}
		}
	}
	return out
}

// permit says what agreements have against a rung.
func (g *gate) permit(r *Rung) {
	for i := range g.p.Terms {
		t := &g.p.Terms[i]
		says := t.Says(r.cor.Kind, r.cor.Params.Level)
		to := &r.NoticeFor
		switch says.Word {
		case Forbidden:
			to = &r.Forbidden
		case WithNotice:
		default:
			continue
		}
		before := to.Count
		if !named(r.cor) {
			to.add(t.Orgs...)
		} else {
			for _, org := range t.Orgs {
				if reaches(r.cor, org) {
					to.add(org)
				}
			}
		}
		if says.Word == WithNotice && to.Count > before {
			r.Notice = max(r.Notice, says.Notice)
		}
	}
}

// named says whether a correction is for some orgs alone.
func named(c *correction.Correction) bool { return len(c.Scope.Orgs) > 0 }

// reaches says whether a correction may reach an org: only a list of orgs tells
// that it does not.
func reaches(c *correction.Correction, org string) bool {
	return !named(c) || slices.ContainsFunc(c.Scope.Orgs, func(o string) bool { return open(o) || o == org })
}

// instead is the model that answers while a correction stands: its own fallback;
// for a stop that names none that of the models.
func (g *gate) instead(c *correction.Correction, models []string) string {
	if c.Fallback != "" || c.Kind != correction.Stop {
		return c.Fallback
	}
	var names []string
	for _, m := range g.concerned(c, models) {
		name := NoFallback
		if f := g.fallback[m.Fallback]; f != nil {
			name = f.Model
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Speed is the measured time to effect in words.
func (r *Rung) Speed() string {
	if r.P99 == nil {
		return "not measured"
	}
	if *r.P99 < 10 {
		return fmt.Sprintf("%.1f ms", *r.P99)
	}
	return fmt.Sprintf("%.0f ms", *r.P99)
}

// Permitted is what agreements say, in words.
func (r *Rung) Permitted() string {
	var parts []string
	if r.Forbidden.Count > 0 {
		parts = append(parts, "not for "+r.Forbidden.String())
	}
	if r.NoticeFor.Count > 0 {
		parts = append(parts, "notice "+r.Notice.String()+" for "+r.NoticeFor.String())
	}
	if len(parts) == 0 {
		return "yes"
	}
	return strings.Join(parts, "; ")
}
