package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level says what a finding means for whoever wants to deploy.
type Level string

// The levels.
const (
	Blocking Level = "blocking" // not ready, unless it is waived
	Warning  Level = "warning"
	Note     Level = "note"
)

// weight is what one check of a level counts in the score.
var weight = map[Level]int{Blocking: 10, Warning: 3, Note: 1}

// MaxWaiver is how long a finding can be waived at most.
const MaxWaiver = 90 * 24 * time.Hour

// Waiver is a decision to be content with a finding until an instant.
type Waiver struct {
	ID      string    `json:"id"`
	Rule    string    `json:"rule"`
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"`
}

// Finding is one gap between the plan and what it takes to be ready.
type Finding struct {
	Rule    string   `json:"rule"` // of Rules, by id
	Level   Level    `json:"level"`
	Subject string   `json:"subject"` // what it is about: "surface/batch"; with Rule, what a waiver names
	Message string   `json:"message"`
	Do      string   `json:"do"`
	At      Position `json:"at,omitzero"`
	Waiver  *Waiver  `json:"waiver,omitempty"` // while it is waived it does not block
}

// Blocks says whether the finding stands between the plan and being ready.
func (f *Finding) Blocks() bool { return f.Level == Blocking && f.Waiver == nil }

// Tally is how often a rule was asked, and how often it was not met.
type Tally struct {
	Rule   string `json:"rule"`
	Level  Level  `json:"level"`
	Title  string `json:"title"`
	Asked  int    `json:"asked"`
	Failed int    `json:"failed"`
}

// NotMade is a check that what was seen does not suffice for.
type NotMade struct {
	Rule  string `json:"rule"`
	Level Level  `json:"level"`
	Title string `json:"title"`
	Why   string `json:"why"`
}

// Score is the share of checks that were passed, by weight.
type Score struct {
	Value  int    `json:"value"`  // percent, rounded down
	Passed int    `json:"passed"` // weight
	Total  int    `json:"total"`  // weight
	How    string `json:"how"`
}

// Cover is how much of the year ahead somebody is on call.
type Cover struct {
	Subject   string    `json:"subject"`
	Rosters   []string  `json:"rosters"`
	Uncovered int64     `json:"uncovered_minutes"` // in the year ahead
	Gaps      int       `json:"gaps"`
	First     time.Time `json:"first,omitzero"` // begin of the first gap
}

// Report is the outcome of a check.
type Report struct {
	Org      string    `json:"org"`
	Version  string    `json:"version,omitempty"` // of the plan, if it is one that was put in force
	At       time.Time `json:"at"`
	Observed bool      `json:"observed"` // against what a control plane sees; false: the plan alone
	Ready    bool      `json:"ready"`    // nothing blocks
	Blocking int       `json:"blocking"` // findings, those that are waived left out
	Warnings int       `json:"warnings"`
	Notes    int       `json:"notes"`
	Waived   int       `json:"waived"`
	Score    Score     `json:"score"`
	Findings []Finding `json:"findings"` // what blocks first, what is waived last
	NotMade  []NotMade `json:"not_made"`
	Checks   []Tally   `json:"checks"` // by rule
	Matrix   Matrix    `json:"matrix"`
	Cover    []Cover   `json:"cover"`
}

// Check holds a plan against what it takes to be ready, and against what was
// seen. It depends on nothing else: the same plan, observations and time give
// the same report. The plan is one that was loaded; what does not lead anywhere
// in it is a finding all the same.
func Check(p *Plan, seen Observed, now time.Time) Report {
	g := &gate{p: p, seen: &seen, now: now.UTC(), tallies: make([]Tally, len(rules)), skipped: map[string]string{}}
	for i, r := range rules {
		g.tallies[i] = Tally{Rule: r.ID, Level: r.Level, Title: r.Title}
	}
	why := g.tooLarge()
	g.ask(ruleTooLarge, "plan", "", why != "", "%s", why)
	if why != "" { // what can not be judged is not ready
		g.matrix = Matrix{Rows: []Row{}}
		return g.report()
	}
	g.index()
	g.matrix = g.cover()
	for _, room := range []func(*gate){(*gate).head, (*gate).routes, (*gate).threats, (*gate).triggers, (*gate).playbooksReady,
		(*gate).fallbacks, (*gate).rosters, (*gate).authority, (*gate).dependants, (*gate).terms, (*gate).retention} {
		room(g)
	}
	return g.report()
}

// gate collects what a check finds.
type gate struct {
	p    *Plan
	seen *Observed
	now  time.Time

	surfaces map[string]*Surface
	teams    map[string]*Team
	fallback map[string]*Fallback
	points   map[string]*Gateway
	served   map[string]*Served
	roles    map[string]roleSet // of people: by accounts if they were seen, else by teams
	byTeams  map[string]roleSet
	models   map[string]*Model // by name, and by those of derivatives
	naming   map[string][]int  // threats that name a model, by it
	rulings  []answered        // see answers
	matrix   Matrix

	tallies  []Tally
	findings []Finding
	skipped  map[string]string // rule → why
	covers   []Cover
}

// ask is one check. bad says that it is not met; then the message says how.
func (g *gate) ask(rule, subject, path string, bad bool, format string, args ...any) {
	i := ruleIndex[rule]
	r, t := &rules[i], &g.tallies[i]
	if r.needs != nil {
		if why := r.needs(g.seen); why != "" {
			g.skipped[rule] = why
			return
		}
	}
	t.Asked++
	if !bad {
		return
	}
	t.Failed++
	f := Finding{Rule: rule, Level: r.Level, Subject: subject, Message: fmt.Sprintf(format, args...), Do: r.Do, At: g.p.Pos(path)}
	for j := range g.seen.Waivers {
		w := &g.seen.Waivers[j]
		if w.Rule == rule && w.Subject == subject && g.now.Before(w.Until) && (f.Waiver == nil || f.Waiver.Until.Before(w.Until)) {
			f.Waiver = w
		}
	}
	g.findings = append(g.findings, f)
}

// How the score is made, for whoever reads it.
const scoreHow = "share of checks passed; one that blocks counts 10, one that warns 3, a note 1; a waived finding counts as not passed, a check that could not be made not at all"

func (g *gate) report() Report {
	r := Report{Org: g.p.Org, At: g.now, Observed: g.seen.Made(), Findings: g.findings, NotMade: []NotMade{}, Checks: g.tallies, Matrix: g.matrix, Cover: g.covers}
	r.Score.How = scoreHow
	for _, t := range g.tallies {
		r.Score.Passed += (t.Asked - t.Failed) * weight[t.Level]
		r.Score.Total += t.Asked * weight[t.Level]
	}
	if r.Score.Total > 0 {
		r.Score.Value = 100 * r.Score.Passed / r.Score.Total
	}
	for i := range g.findings {
		switch f := &g.findings[i]; {
		case f.Waiver != nil:
			r.Waived++
		case f.Level == Blocking:
			r.Blocking++
		case f.Level == Warning:
			r.Warnings++
		default:
			r.Notes++
		}
	}
	r.Ready = r.Blocking == 0
	for _, rule := range rules {
		why := g.skipped[rule.ID]
		if why == "" && rule.needs != nil { // nothing in the plan called for it, or the whole was skipped
			why = rule.needs(g.seen)
		}
		if why != "" {
			r.NotMade = append(r.NotMade, NotMade{rule.ID, rule.Level, rule.Title, why})
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(place(&a), place(&b)), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Subject, b.Subject))
	})
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	if r.Cover == nil {
		r.Cover = []Cover{}
	}
	return r
}

// place is where a finding stands in a report.
func place(f *Finding) int {
	switch {
	case f.Waiver != nil:
		return 3
	case f.Level == Blocking:
		return 0
	case f.Level == Warning:
		return 1
	}
	return 2
}

// over says whether a day is past. A day that is not given is not.
func (g *gate) over(d Date) bool { return !d.IsZero() && !g.now.Before(d.AddDate(0, 0, 1)) }

// old says whether a day is longer ago than d allows. A day that is not given is not.
func (g *gate) old(d Date, age time.Duration) bool { return !d.IsZero() && g.now.Sub(d.Time) > age }

// few are names as a sentence lists them, a few of them.
func few(all []string) string {
	if len(all) > shownNames {
		return strings.Join(all[:shownNames], ", ") + fmt.Sprintf(" and %d more", len(all)-shownNames)
	}
	return strings.Join(all, ", ")
}

// shownNames is how many names a message lists.
const shownNames = 4
