package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/incident"
)

func (c *command) incidentCmds() []*cobra.Command {
	inc := group("incident", "Open, lead, contain, understand and close an incident", c.incidentOpenCmd(), c.incidentListCmd(), c.incidentShowCmd(), c.incidentTimelineCmd(),
		c.incidentSplitCmd(), c.incidentAttachCmd(), c.incidentFetchCmd(), c.incidentDetachCmd(), c.incidentCloseCmd(), c.incidentPatternsCmd())
	inc.Aliases = []string{"incidents"}
	inc.Long = `Open, lead, contain, understand and close an incident.
  open → investigating → contained → recovering → resolved → closed
Contained takes a correction of the incident that is in force (--incident ID), or a
decision. Severity follows harm, and is never below what the facts say. Whoever has
no need to know is told that nothing is there.`
	for i := range incidentVerbs {
		inc.AddCommand(c.recordCmd("incident", "/incidents/", &incidentVerbs[i]))
	}
	sig := group("signal", "Send what was observed, and look at it", c.signalSendCmd(), c.signalListCmd(), c.signalShowCmd(), c.signalOutcomesCmd())
	sig.Aliases = []string{"signals"}
	cases := group("cases", "Triage: what signals mean, before they are an incident", c.caseListCmd(), c.caseShowCmd(), c.caseOpenCmd())
	cases.Aliases = []string{"case"}
	for i := range caseVerbs {
		cases.AddCommand(c.recordCmd("cases", "/cases/", &caseVerbs[i]))
	}
	return []*cobra.Command{inc, sig, cases}
}

// incidentText is an incident as the control plane shows it.
type incidentText struct {
	ID          string           `json:"id"`
	Title       string           `json:"title"`
	Kind        string           `json:"kind"`
	Entry       string           `json:"entry"`
	Status      string           `json:"status"`
	Severity    string           `json:"severity"`
	Assumed     bool             `json:"severity_assumed"`
	Lead        string           `json:"commander"`
	OpenedAt    time.Time        `json:"opened_at"`
	OpenedBy    string           `json:"opened_by"`
	ClosedAt    time.Time        `json:"closed_at"`
	Closing     string           `json:"closing"`
	FirstSignal time.Time        `json:"first_signal_at"`
	Subject     incident.Subject `json:"subject"`
	TLP         string           `json:"tlp"`
	Restricted  bool             `json:"restricted"`
	InForce     int              `json:"corrections_in_force"`
	MergedInto  string           `json:"merged_into"`
	Harm        []incident.Fact  `json:"harm"`
	Roles       []struct {
		Role     string    `json:"role"`
		Operator string    `json:"operator"`
		From     time.Time `json:"from"`
		Until    time.Time `json:"until"`
	} `json:"roles"`
	Times []struct {
		Name    string             `json:"name"`
		History []incident.TimeSet `json:"history"`
	} `json:"times"`
	Warnings    []string              `json:"time_warnings"`
	Hypotheses  []incident.Hypothesis `json:"hypotheses"`
	Tasks       []incident.Task       `json:"tasks"`
	Attachments []struct {
		incident.Attachment
		TLP      string `json:"tlp"`
		Incident string `json:"incident"`
	} `json:"attachments"`
	Corrections []struct {
		ID    string `json:"id"`
		Says  string `json:"says"`
		State string `json:"state"`
		Owner string `json:"owner"`
	} `json:"corrections"`
	Cases     []string           `json:"cases"`
	Merged    []string           `json:"merged"`
	SplitFrom string             `json:"split_from"`
	Splits    []string           `json:"splits"`
	Entries   int                `json:"entries"`
	Next      []string           `json:"next"`
	Missing   []string           `json:"missing"`
	NearMiss  *incident.NearMiss `json:"near_miss"`
}

// severityText is the severity, and whether somebody said it.
func (v *incidentText) severityText() string {
	if v.Assumed {
		return v.Severity + " (assumed)"
	}
	return v.Severity
}

// next is what to do now, in one line.
func (v *incidentText) next() string {
	switch {
	case v.MergedInto != "":
		return "andon incident show " + v.MergedInto
	case v.Status == "closed":
		return ""
	case v.Assumed:
		return `say what harm there is: andon incident severity ` + v.ID + ` --harm limited_harm:suspected`
	case slices.Contains(v.Next, "contained") && v.InForce == 0 && v.Kind == "incident":
		return `contain it: andon propose, or andon stop MODEL --incident ` + v.ID + ` --reason "…"`
	case slices.Contains(v.Next, "contained"):
		return "andon incident status " + v.ID + " contained"
	case v.Status == "resolved" && len(v.Missing) > 0:
		return "before it can be closed: " + strings.Join(v.Missing, "; ")
	case v.Status == "resolved":
		return "andon incident close " + v.ID + ` resolved --text "…"`
	case v.Status == "contained":
		return "andon incident status " + v.ID + " recovering"
	case v.Status == "recovering":
		return "andon incident status " + v.ID + " resolved"
	}
	return ""
}

// printIncident prints an incident, to be read at three in the morning.
func (c *command) printIncident(v *incidentText) error {
	now := c.Now()
	head := v.ID + "  " + strings.ToUpper(v.Status) + "  " + v.severityText() + "  " + v.Title
	if v.Kind == "exercise" {
		head += "  (EXERCISE: nothing is refused)"
	}
	c.printf("%s\n", head)
	row := func(name, value string) {
		if value != "" {
			c.printf("%-14s %s\n", name, value)
		}
	}
	since, what := v.OpenedAt, "since it was opened"
	if !v.FirstSignal.IsZero() && v.FirstSignal.Before(since) {
		since, what = v.FirstSignal, "since the first signal"
	}
	if end := v.ClosedAt; end.IsZero() {
		row("clock", span(now.Sub(since))+" "+what+" ("+since.Format(time.RFC3339)+")")
	} else {
		row("clock", span(end.Sub(since))+" "+what+"; closed "+until(end, now)+" as "+v.Closing)
	}
	var force []string
	for _, x := range v.Corrections {
		if x.State == "active" || x.State == "scheduled" {
			s := x.ID + " " + x.Says
			if x.Owner != "" {
				s += " (owner " + c.person(x.Owner) + ")"
			}
			force = append(force, s)
		}
	}
	if len(force) == 0 {
		force = []string{"none of this incident"}
	}
	for i, s := range force {
		row([]string{"in force", ""}[min(i, 1)], s)
	}
	lead := c.person(v.Lead)
	if lead == "" {
		lead = "nobody"
	}
	for _, r := range v.Roles {
		if r.Until.IsZero() && r.Role != "commander" {
			lead += ", " + c.person(r.Operator) + " " + r.Role
		}
	}
	row("led by", lead)
	row("next", v.next())
	var harm []string
	for _, f := range v.Harm {
		harm = append(harm, strings.ReplaceAll(string(f.Harm), "_", " ")+" "+strings.ReplaceAll(f.Status, "_", " "))
	}
	row("harm", strings.Join(harm, ", "))
	row("about", strings.Join(slices.Concat(v.Subject.Models, v.Subject.Orgs, v.Subject.Surfaces, v.Subject.Threats), ", "))
	marking := "TLP:" + v.TLP
	if v.Restricted {
		marking += ", need to know"
	}
	row("marking", marking)
	if v.NearMiss != nil {
		row("near miss", v.NearMiss.Pattern+"; stopped by "+v.NearMiss.Barrier)
	}
	for _, l := range []struct {
		name string
		ids  []string
	}{{"cases", v.Cases}, {"merged in", v.Merged}, {"split off", v.Splits}} {
		row(l.name, strings.Join(l.ids, ", "))
	}
	row("part of", v.SplitFrom)
	for _, h := range v.Hypotheses {
		row("hypothesis", fmt.Sprintf("%s %s, %s (%.2f): %s; %d for, %d against", h.ID, h.Status, h.Words, h.Confidence, h.Text, len(h.For), len(h.Against)))
	}
	for _, t := range v.Tasks {
		s := t.ID + " " + t.Status + ": " + t.Text
		if t.Owner != "" {
			s += " (" + c.person(t.Owner) + ")"
		}
		if !t.Due.IsZero() && t.Status == "open" {
			s += ", due " + until(t.Due, now)
		}
		row("task", s)
	}
	for _, a := range v.Attachments {
		s := a.ID + " " + a.Name + ", " + a.Media + ", " + strconv.FormatInt(a.Size, 10) + " bytes"
		if !a.RemovedAt.IsZero() {
			s += ", removed"
		}
		row("file", s)
	}
	for _, t := range v.Times {
		if n := len(t.History); n > 0 {
			x := t.History[n-1]
			s := "unknown"
			if !x.Value.IsZero() {
				s = timeText(x)
			}
			row(strings.TrimSuffix(t.Name, "_at"), s)
		}
	}
	for _, w := range v.Warnings {
		row("check", w)
	}
	row("timeline", strconv.Itoa(v.Entries)+" in all: andon incident timeline "+v.ID)
	return nil
}

// timeText is a time as precisely as it is known.
func timeText(t incident.TimeSet) string {
	form := map[string]string{"year": "2006", "month": "2006-01", "day": "2006-01-02", "hour": "2006-01-02 15h", "minute": "2006-01-02 15:04"}[t.Precision]
	if form == "" {
		form = "2006-01-02 15:04:05"
	}
	s := t.Value.UTC().Format(form)
	if t.Precision != "year" && t.Precision != "month" && t.Precision != "day" {
		s += " UTC"
	}
	if t.Status == "estimated" {
		s += ", estimated"
	}
	return s
}

func (c *command) incidentOpenCmd() *cobra.Command {
	var severity, text, commander string
	var harm, cases []string
	var finding, exercise bool
	var subject incident.Subject
	var mark markFlags
	cmd := &cobra.Command{
		Use: "open TITLE", Short: "Open an incident, of triage cases or directly", Args: exactly(1),
		Example: `  andon incident open "wrong doses in answers" --model sim-large --harm serious_health:suspected
  andon incident open "drill in November" --exercise
  andon incident open "odd answers" --case t-3`,
		RunE: func(cmd *cobra.Command, args []string) error {
			facts, err := harmFlag(harm)
			if err != nil {
				return err
			}
			m, err := mark.marking()
			if err != nil {
				return err
			}
			body := incident.OpenSpec{Title: args[0], Severity: incident.Severity(severityFlag(severity)), Harm: facts, Text: text, Subject: subject, Marking: m, Cases: cases, Commander: commander}
			if finding {
				body.Entry = incident.EntryFinding
			}
			if exercise {
				body.Kind = incident.Exercise
			}
			err = c.incidentAct(cmd, http.MethodPost, "/incidents", body, func(id string) string { return undoOpen(id, exercise, facts) })
			if err == nil && c.output != "json" {
				c.unknownModels(cmd.Context(), subject.Models)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&severity, "severity", "", "SEV-1 to SEV-4; when unsure, the higher")
	f.StringArrayVar(&harm, "harm", nil, "fact of harm, `HARM[:suspected|known]`: "+strings.Join(harmNames(), ", "))
	f.StringVar(&text, "text", "", "what is known")
	f.StringSliceVar(&cases, "case", nil, "triage `cases` that it comes of")
	f.StringVar(&commander, "commander", "", "operator who leads; default you")
	f.BoolVar(&finding, "finding", false, "a finding, with no harm yet")
	f.BoolVar(&exercise, "exercise", false, "an exercise; that never changes")
	f.StringSliceVar(&subject.Models, "model", nil, "`models` that it is about")
	f.StringSliceVar(&subject.Orgs, "org", nil, "`organisations` that it is about")
	mark.add(cmd)
	return cmd
}

// undoOpen is how an incident that was opened by mistake ends.
func undoOpen(id string, exercise bool, facts []incident.Fact) string {
	if exercise {
		return "andon incident close " + id + ` exercise_ended --text "…"`
	}
	undo := ""
	if incident.FloorOf(facts).Worse(incident.Sev4) { // it holds no false alarm while there is harm
		undo = "andon incident severity " + id
		for _, f := range facts {
			undo += " --harm " + string(f.Harm) + ":ruled_out"
		}
		undo += ` --reason "…", then `
	}
	return undo + "andon incident close " + id + ` false_positive --text "opened by mistake"`
}

// incidentFound is where a search has found its words.
type incidentFound struct {
	Incident string    `json:"incident"`
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	Type     string    `json:"type"`
	Text     string    `json:"text"`
}

// printFound shows where words stand, and up to where was looked.
func (c *command) printFound(found []incidentFound, cut []string, searched int, after string) {
	for _, f := range found {
		c.printf("  %s, entry %d, %s, %s: %s\n", f.Incident, f.Seq, until(f.At, c.Now()), f.Type, c.cut(f.Text, 120))
	}
	if len(cut) > 0 {
		c.printf("only the youngest entries were looked at of %s\n", c.cut(strings.Join(cut, ", "), 200))
	}
	if after != "" {
		c.printf("%d entries looked at, down to %s; older ones: --after %s\n", searched, after, after)
	}
}

func (c *command) incidentListCmd() *cobra.Command {
	var status, severity, model, words, after, limit string
	var all, exercises, texts bool
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Incidents that are not closed, the youngest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if !all && status == "" {
				q.Set("open", "true")
			}
			if exercises {
				q.Set("kind", "all")
			}
			if texts {
				if words == "" {
					return usagef(`andon incident ls --texts --search "wrong dose"`, "--texts says where --search looks")
				}
				q.Set("in", "texts")
			}
			for name, v := range map[string]string{"status": status, "severity": severityFlag(severity), "model": model, "q": words, "after": after, "limit": limit} {
				if v != "" {
					q.Set(name, v)
				}
			}
			var list struct {
				Total     int              `json:"total"`
				Incidents []jsontext.Value `json:"incidents"`
				After     string           `json:"after"`
				Searched  int              `json:"searched"`
				Found     []incidentFound  `json:"found"`
				Cut       []string         `json:"cut"`
			}
			if err := c.fetch(cmd, "/incidents?"+q.Encode(), &list); err != nil {
				return err
			}
			switch {
			case c.output == "json" && texts:
				return c.json(list)
			case c.output == "json":
				return c.json(list.Incidents)
			}
			rows := [][]string{{"ID", "STATUS", "SEVERITY", "TITLE", "LED BY", "IN FORCE", "OPENED"}}
			for _, raw := range list.Incidents {
				var v incidentText
				if err := json.Unmarshal(raw, &v); err != nil {
					return fmt.Errorf("read an incident: %w", err)
				}
				title := c.cut(v.Title, 48)
				if v.Kind == "exercise" {
					title = "[exercise] " + c.cut(v.Title, 37)
				}
				rows = append(rows, []string{v.ID, v.Status, v.severityText(), title, dash(c.person(v.Lead)), strconv.Itoa(v.InForce), until(v.OpenedAt, c.Now())})
			}
			table(c.Stdout, rows)
			if texts {
				c.printFound(list.Found, list.Cut, list.Searched, list.After)
				return nil
			}
			if list.After != "" {
				c.printf("%d of %d; more: --after %s\n", len(list.Incidents), list.Total, list.After)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "closed ones, too")
	f.BoolVar(&exercises, "exercises", false, "exercises, too")
	f.StringVar(&status, "status", "", "only in this status")
	f.StringVar(&severity, "severity", "", "only of this severity")
	f.StringVar(&model, "model", "", "only about this model")
	f.BoolVar(&texts, "texts", false, "look for the words of --search in notes, hypotheses, evidence and the rest of the timeline, too")
	f.StringVarP(&words, "search", "q", "", "`words` that stand in title or subject")
	f.StringVar(&after, "after", "", "`id` that the last page ended with")
	f.StringVar(&limit, "limit", "", "at most so many")
	return cmd
}

func (c *command) incidentShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "One incident: where it stands, what is in force, who leads, what is next", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/incidents/"+url.PathEscape(args[0]), c.printIncident)
		},
	}
}
