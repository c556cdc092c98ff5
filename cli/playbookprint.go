package cli

import (
	"fmt"
	"strings"
	"time"
)

// printRun prints a run.
func (c *command) printRun(r *shownRun) error {
	now := c.Now()
	what := r.Playbook
	if r.StopGap != nil {
		what = "stop-gap of " + what
	}
	c.printf("%s  %s  %s  begun %s, in the name of %s", r.ID, what, r.State, until(r.StartedAt, now), c.person(r.By))
	if r.Incident != "" {
		c.printf("  %s", r.Incident)
	}
	if r.From != "" {
		c.printf("  after %s", r.From)
	}
	c.printf("\n%s\n", r.Reason)
	if r.Note != "" {
		c.printf("%s: %s\n", r.State, r.Note)
	}
	if r.Changed {
		c.printf("the plan in force has another playbook of this name, or none; this run goes on as it began\n")
	}
	states := map[string]string{}
	for _, k := range r.Corrections {
		states[k.ID] = k.State
	}
	var rows [][]string
	for i := range r.Steps {
		s := &r.Steps[i]
		mark, where := "[ ]", s.State
		switch s.State {
		case "done":
			mark, where = "[x]", "by "+c.person(s.By)
			if s.Auto {
				where = "by itself"
			}
			if s.Choice != "" {
				where = s.Choice + ", " + where
			}
			if s.Correction != "" {
				where = s.Correction + " " + states[s.Correction] + ", " + where
			}
			if s.Evidence != "" {
				where = s.Evidence + ", " + where
			}
			where += " " + until(s.SettledAt, now)
		case "skipped":
			mark, where = "[-]", "left out: "+s.Note
		case "passed over":
			mark, where = "[-]", "not needed"
		case "failed":
			mark, where = "[!]", s.Note
		case "waiting":
			where = "after " + strings.Join(s.Before, ", ")
		case "ready":
			mark, where = "[>]", "waits for "+s.Who
			switch {
			case s.Kind == "evidence" && s.Held != "":
				mark, where = "[!]", "not taken: "+s.Held
			case s.Kind == "evidence":
				where = "is being taken"
			case s.Held != "":
				mark, where = "[!]", "held: "+s.Held
			}
			if !s.Due.IsZero() {
				where += ", " + until(s.Due, now)
			}
			if s.Default != "" {
				where += ": " + s.Default
			}
		}
		rows = append(rows, []string{mark, c.cut(s.Name, 24), c.cut(s.What, 40), c.cut(where, 46)})
	}
	if len(rows) > 0 {
		table(c.Stdout, rows)
	}
	if g := r.StopGap; g != nil {
		for _, k := range r.Corrections {
			c.printf("  %s  %s  ends %s\n", k.ID, k.State, until(k.ExpiresAt, now))
		}
		switch {
		case g.Choice != "":
			c.printf("decided: %s\n", g.Choice)
		case g.Overdue:
			c.printf("OVERDUE: a decision was due %s; it stands on until somebody decides\n", until(g.DecideBy, now))
		default:
			c.printf("to be decided %s", until(g.DecideBy, now))
			if g.Then == "lapse" {
				c.printf("; if nobody does, it ends %s\n", until(g.ExpiresAt, now))
			} else {
				c.printf("; if nobody does, it stands on and alarms\n")
			}
		}
		if g.Next != "" {
			c.printf("replaced by %s\n", g.Next)
		}
	}
	for _, e := range r.Exit {
		mark, by := "[ ]", ""
		if !e.MetAt.IsZero() {
			mark, by = "[x]", "  "+until(e.MetAt, now)+": "+e.Evidence
		}
		c.printf("%s over when (%d)  %s%s\n", mark, e.N, e.Text, c.cut(by, 60))
	}
	c.printPending(r.Pending, r)
	if r.State == "running" {
		c.printf("to stop its steps: %s (what is in force stays; andon lift ends it)\n", quoteAll([]string{"runs", "pause", r.ID, "--reason", "…"}))
	}
	if r.State == "aborted" || r.State == "ended" {
		var left []string
		for _, k := range r.Corrections {
			if k.State == "active" || k.State == "scheduled" {
				left = append(left, k.ID)
			}
		}
		if len(left) > 0 {
			c.printf("still in force: %s; to end one: andon lift %s --reason …\n", strings.Join(left, ", "), left[0])
		}
	}
	return nil
}

// printPending says what people have to do, with the command. r is the run, if it
// is one.
func (c *command) printPending(list []pendingRun, r *shownRun) {
	for i := range list {
		p := &list[i]
		var options []string
		if r != nil {
			if r.StopGap != nil {
				options = r.StopGap.Options
			}
			for _, s := range r.Steps {
				if s.Name == p.Step {
					options = s.Options
				}
			}
		}
		if options == nil {
			options = []string{"CHOICE"}
		}
		when := ""
		if !p.Due.IsZero() {
			when = " (" + until(p.Due, c.Now()) + ")"
			if p.Late {
				when = " (late: " + until(p.Due, c.Now()) + ")"
			}
		}
		c.printf("next%s: %s\n      %s\n", when, c.cut(p.What, 100), p.command(options))
	}
}

// simulated is what a correction of a simulation would do.
type simulated struct {
	Refused   string   `json:"refused"`
	Roles     []string `json:"roles"`
	Approvals int      `json:"approvals"`
	Preview   *struct {
		Requests       *int64   `json:"requests"`
		ShareOfTraffic *float64 `json:"share_of_traffic"`
		LiveStreams    *int64   `json:"live_streams"`
		Orgs           *int64   `json:"orgs"`
	} `json:"preview"`
}

// simulation is a walk through a playbook.
type simulation struct {
	Playbook   string    `json:"playbook"`
	StartAt    time.Time `json:"start"`
	EarliestAt time.Time `json:"earliest"`
	LatestAt   time.Time `json:"latest"`
	Critical   []string  `json:"critical"`
	Refused    []string  `json:"refused"`
	Steps      []struct {
		Step     string     `json:"step"`
		What     string     `json:"what"`
		Who      string     `json:"who"`
		State    string     `json:"state"`
		Earliest time.Time  `json:"earliest"`
		Critical bool       `json:"critical"`
		Effect   *simulated `json:"effect"`
	} `json:"steps"`
	StopGap *struct {
		For         string      `json:"for"`
		Then        string      `json:"then"`
		What        []string    `json:"what"`
		Corrections []simulated `json:"corrections"`
	} `json:"stop_gap"`
}

// printSimulation prints a walk through a playbook.
func (c *command) printSimulation(v *simulation) error {
	reach := func(e *simulated) string {
		switch {
		case e == nil:
			return "-"
		case e.Refused != "":
			return "REFUSED"
		case e.Preview == nil || e.Preview.ShareOfTraffic == nil:
			return "not measured"
		}
		out := fmt.Sprintf("%.1f %% of traffic", 100**e.Preview.ShareOfTraffic)
		if n := e.Preview.LiveStreams; n != nil && *n > 0 {
			out += ", " + plural(*n, "stream")
		}
		return out
	}
	if g := v.StopGap; g != nil {
		c.printf("stop-gap, for %s:\n", g.For)
		for i, w := range g.What {
			c.printf("  %s  (%s)\n", c.cut(w, 70), reach(&g.Corrections[i]))
		}
	}
	rows := [][]string{{"", "STEP", "WHAT", "AT +", "WHO", "REACH"}}
	for i := range v.Steps {
		s := &v.Steps[i]
		mark, at := " ", span(s.Earliest.Sub(v.StartAt))
		if s.Critical {
			mark = "*"
		}
		if s.State != "done" {
			at = "not needed"
		}
		rows = append(rows, []string{mark, c.cut(s.Step, 20), c.cut(s.What, 38), at, c.cut(s.Who, 20), reach(s.Effect)})
	}
	if len(v.Steps) > 0 {
		table(c.Stdout, rows)
		c.printf("through after %s if people act at once, %s if they use up their time; * decides about it\n", span(v.EarliestAt.Sub(v.StartAt)), span(v.LatestAt.Sub(v.StartAt)))
	}
	for _, r := range v.Refused {
		c.printf("would be refused: %s\n", r)
	}
	c.printf("nothing was applied\n")
	return nil
}
