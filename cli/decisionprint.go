package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/authority"
	"andon/incident"
)

// decisionWidth is how wide a line of a decision is, in characters.
const decisionWidth = 118

func (c *command) decisionListCmd() *cobra.Command {
	var state, inc string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Decisions, the youngest first, and what playbooks ask", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for k, v := range map[string]string{"state": state, "incident": inc} {
				if v != "" {
					q.Set(k, v)
				}
			}
			path := "/decisions"
			if len(q) > 0 {
				path += "?" + q.Encode()
			}
			return show(c, cmd, path, c.printDecisions)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", strings.Join(incident.DecisionStates, ", "))
	cmd.Flags().StringVar(&inc, "incident", "", "only of this incident")
	return cmd
}

// decisionList is what there is to decide.
type decisionList struct {
	Decisions []struct {
		ID       string    `json:"id"`
		Incident string    `json:"incident"`
		Question string    `json:"question"`
		State    string    `json:"state"`
		Deadline time.Time `json:"deadline"`
		Overdue  bool      `json:"overdue"`
		Approval string    `json:"approval"`
		Default  string    `json:"default"`
		Chosen   string    `json:"chosen"`
		By       string    `json:"by"`
		At       time.Time `json:"at"`
	} `json:"decisions"`
	Choices []struct {
		ID       string    `json:"id"`
		Run      string    `json:"run"`
		Step     string    `json:"step"`
		Question string    `json:"question"`
		Options  []string  `json:"options"`
		Default  string    `json:"default"`
		Due      time.Time `json:"due"`
		Late     bool      `json:"late"`
	} `json:"choices"`
	After string `json:"after"`
}

func (c *command) printDecisions(list *decisionList) error {
	if len(list.Decisions)+len(list.Choices) == 0 {
		c.printf("there is nothing to decide\nandon decide open --threat THREAT --model MODEL\n")
		return nil
	}
	if len(list.Decisions) > 0 {
		rows := [][]string{{"ID", "STATE", "INCIDENT", "QUESTION", "WHAT", "WHEN"}}
		for _, d := range list.Decisions {
			state, what, when := d.State, "else "+d.Default, until(d.Deadline, c.Now())
			switch {
			case d.State != incident.DecisionOpen:
				what, when = d.Chosen+" ("+c.person(d.By)+")", until(d.At, c.Now())
			case d.Approval != "":
				what = "waits for " + d.Approval
			case d.Overdue:
				state = "OVERDUE"
			}
			rows = append(rows, []string{d.ID, state, or(d.Incident, "-"), c.cut(d.Question, 40), c.cut(what, 32), when})
		}
		table(c.Stdout, rows)
	}
	if list.After != "" {
		c.printf("there are more, older than %s\n", list.After)
	}
	for i, x := range list.Choices {
		if i == 0 {
			c.printf("asked by playbooks:\n")
		}
		late := ""
		if x.Late {
			late = "  OVERDUE"
		}
		what := x.Run + " " + x.Step
		if x.Step == "" {
			what = "stop-gap " + x.Run
		}
		var options []string
		for n, o := range x.Options {
			options = append(options, strconv.Itoa(n+1)+" "+o)
		}
		c.printf("  %s  %s (%s; default %s), %s%s\n    andon decide do %s N --reason \"…\"\n", what, c.cut(x.Question, 60), strings.Join(options, " | "), or(x.Default, "none"), until(x.Due, c.Now()), late, x.ID)
	}
	return nil
}

func or(s, without string) string {
	if s == "" {
		return without
	}
	return s
}

// printQuestion prints a decision: the clock, the options side by side, what each
// takes, and the one command to decide; once it is decided, the record.
func (c *command) printQuestion(d *decided) error {
	state := strings.ToUpper(d.State)
	if d.Overdue != "" {
		state = "OVERDUE"
	}
	c.wrapped(tidy(d.ID)+"  "+state+"  ", "  ", d.Question)
	row := func(name, text string) {
		if text != "" {
			c.wrapped(fmt.Sprintf("%-11s", name), "           ", text)
		}
	}
	if d.Incident != "" {
		text := d.Incident + ", TLP:" + d.TLP
		if d.Restricted {
			text += ", need to know"
		}
		row("incident", text)
	}
	if d.Step != "" {
		row("asked by", d.Run+", step "+d.Step)
	} else if d.Run != "" {
		row("asked by", d.Run+", a stop-gap")
	}
	if d.State == incident.DecisionOpen {
		then := "then holds: " + d.title(d.Default)
		switch {
		case d.Run != "" && d.Default == 0:
			then = "then it stands on, overdue, until somebody decides"
		case d.Overdue != "":
			then = "nobody decided, and the default (" + d.title(d.Default) + ") is not carried out: " + d.Overdue
		case d.Manual != "":
			then = "then it alarms and stays open: the default (" + d.title(d.Default) + ") takes a person, for " + d.Manual
		}
		row("clock", until(d.Deadline, c.Now())+" ("+d.Deadline.UTC().Format(time.RFC3339)+"); "+then)
		if d.Approval != "" {
			row("waits", "somebody chose, and others have to agree: andon approvals show "+d.Approval)
		}
		row("known", d.Known)
		row("missing", d.Missing)
		row("waiting", d.Waiting)
	} else {
		c.printMade(d, row)
	}
	if len(d.Options) > 0 && len(d.Options[0].Seen.Takes.Rules) > 0 {
		c.printf("as seen %s:\n", until(d.Options[0].Seen.At, c.Now()))
	}
	c.printOptions(d)
	for _, x := range d.Dissents {
		when := ""
		if x.After {
			when = ", after it was decided"
		}
		if x.Prefer > 0 {
			when += ", for option " + strconv.Itoa(x.Prefer)
		}
		row("dissent", c.person(x.By)+when+": "+x.Text)
	}
	c.printCriteria(d)
	for _, n := range d.Notes {
		row("lacks", n)
	}
	if d.State == incident.DecisionOpen {
		c.printf("decide: andon decide do %s N --reason \"…\"\n", d.ID)
	}
	return nil
}

func (d *decided) title(n int) string {
	if n < 1 || n > len(d.Options) {
		return "?"
	}
	return d.Options[n-1].Title
}

// printMade prints who decided, under which rule, and what came of it.
func (c *command) printMade(d *decided, row func(name, text string)) {
	m := d.Decided
	if m == nil {
		return
	}
	how := ""
	switch {
	case m.Auto:
		how = ", since nobody had by " + d.Deadline.UTC().Format(time.RFC3339)
	case m.Glass:
		how = ", with the glass broken"
	}
	text := fmt.Sprintf("option %d, %s, by %s %s%s", m.Option, d.title(m.Option), c.person(m.By), until(m.At, c.Now()), how)
	if d.Run == "" {
		text += fmt.Sprintf(" (entry %d; rule %s)", m.Entry, strings.Join(m.Takes.Rules, ", "))
	}
	row("decided", text)
	row("because", m.Rationale)
	row("narrower", m.NotNarrower)
	row("broader", m.NotBroader)
	row("known", m.Known)
	row("missing", m.Missing)
	for _, a := range m.Applied {
		row("applied", a.ID+" "+a.State+": "+a.Says)
	}
	if len(m.Lifted) > 0 {
		row("lifted", strings.Join(m.Lifted, ", "))
	}
	if !m.ReviewBy.IsZero() {
		row("review", until(m.ReviewBy, c.Now()))
	}
}

// printChoices prints what a run asks: words of a playbook, and what follows.
func (c *command) printChoices(d *decided) {
	for _, o := range d.Options {
		mark := " "
		if d.Decided != nil && d.Decided.Option == o.N {
			mark = "<"
		} else if d.Decided == nil && d.Default == o.N {
			mark = "*"
		}
		then := ""
		if len(o.Then) > 0 {
			then = "  then: " + strings.Join(o.Then, "; ")
		}
		c.wrapped(fmt.Sprintf("%2d%s ", o.N, mark), "    ", o.Title+then)
	}
}

// printOptions prints the options side by side, then what a table has no room for.
func (c *command) printOptions(d *decided) {
	if d.Run != "" {
		c.printChoices(d)
		return
	}
	rows := [][]string{{"", "OPTION", "NARROWNESS", "TRAFFIC", "USERS", "RUNNING", "SERVED/MIN", "IN EFFECT p50/p99", "TAKES"}}
	for i := range d.Options {
		o := &d.Options[i]
		mark := strconv.Itoa(o.N)
		if d.Decided != nil && d.Decided.Option == o.N {
			mark += " <"
		} else if d.Decided == nil && d.Default == o.N {
			mark += " *"
		}
		s := &o.Seen
		row := []string{mark, shorten(tidy(o.Title), 30), "takes nothing", "-", "-", "-", "-", "-", takesWords(&s.Takes)}
		if s.Narrowness > 0 {
			row[2] = strconv.Itoa(s.Narrowness) + " of 15"
		}
		if b := broadest(s); b != nil {
			row[3], row[4], row[5], row[6], row[7] = "not known", "not known", "not known", "not known", "not measured"
			if b.Reach.Share != nil {
				row[3] = percent(*b.Reach.Share)
			}
			if b.Reach.Users != nil {
				row[4] = number(*b.Reach.Users)
			}
			if b.Reach.Streams != nil {
				row[5] = number(*b.Reach.Streams)
			}
			if s.PerMinute != nil {
				row[6] = rateWords(*s.PerMinute)
			}
			if b.Speed != nil {
				row[7] = span(time.Duration(b.Speed.P50*float64(time.Millisecond))) + "/" + span(time.Duration(b.Speed.P99*float64(time.Millisecond)))
			}
			if len(o.Lift) > 0 && len(o.Apply) == 0 || o.Restore != nil {
				row[2], row[6], row[7] = "gives back", "-", "-"
			}
		}
		rows = append(rows, row)
	}
	table(c.Stdout, rows)
	if d.Decided == nil {
		c.printf("* the default\n")
	}
	for i := range d.Options {
		o := &d.Options[i]
		line := func(text string) { c.wrapped("  ", "    ", text) }
		if o.Nothing() || d.Decided != nil && d.Decided.Option != o.N { // once it is decided, the table is enough for the others
			continue
		}
		c.printf("%d  %s\n", o.N, shorten(tidy(o.Title), 100))
		for _, e := range o.Seen.Each {
			back := "; to take it back: " + e.Reversible
			if strings.HasPrefix(e.Reversible, "at once") {
				back = "; lifting gives back all " + e.Reversible
			}
			line(e.Says + "; fallback " + e.Fallback + back)
			for _, w := range [][]string{e.Terms, e.HoldDown, e.Warnings} {
				for _, t := range w {
					line("! " + t)
				}
			}
			if len(e.Reach.Dependants) > 0 {
				line("dependants: " + strings.Join(e.Reach.Dependants, ", "))
			}
			if len(e.Reach.Unknown) > 0 {
				line("not known (" + e.Reach.Basis + "): " + strings.Join(e.Reach.Unknown, ", "))
			}
		}
		if o.Why != "" {
			line("suffices: " + o.Why)
		}
		if o.LeavesOpen != "" {
			line("leaves open: " + o.LeavesOpen)
		}
		t := &o.Seen.Takes
		text := "takes " + either(authority.SetOf(t.Roles...).Names()) + " (rule " + strings.Join(t.Rules, ", ") + ")"
		if len(t.Roles) == 0 {
			text = "NOBODY may: the rules " + strings.Join(t.Rules, ", ") + " leave no role"
		}
		if t.Approvals > 0 {
			text += fmt.Sprintf("; before that %d of %s agree, within %s", t.Approvals, either(authority.SetOf(t.Approvers...).Names()), t.Within)
		}
		if t.Ratify > 0 {
			text += fmt.Sprintf("; afterwards %d ratify it", t.Ratify)
		}
		line(text)
		if o.Seen.Unfit != "" {
			line("! it could not be carried out: " + o.Seen.Unfit)
		}
	}
}

// broadest is the correction of an option that takes most away.
func broadest(s *incident.Comparison) (out *incident.Effect) {
	for i := range s.Each {
		if out == nil || s.Each[i].Narrowness > out.Narrowness {
			out = &s.Each[i]
		}
	}
	return out
}

// takesWords are whose word an option needs, in a column.
func takesWords(t *incident.Takes) string {
	switch {
	case len(t.Roles) == 0:
		return "NOBODY may"
	case t.Approvals > 0:
		return strconv.Itoa(t.Approvals) + " agree first"
	case t.Ratify > 0:
		return strconv.Itoa(t.Ratify) + " ratify"
	}
	return "one person"
}

func (c *command) printCriteria(d *decided) {
	for i, k := range d.Criteria {
		mark, text := "[ ]", k.Text
		if !k.MetAt.IsZero() {
			mark, text = "[x]", k.Text+" ("+c.person(k.By)+" "+until(k.MetAt, c.Now())+": "+k.Evidence+")"
		}
		c.wrapped(fmt.Sprintf("%-11s%s %d  ", "lift if", mark, i+1), "                  ", text)
	}
}

// wrapped prints a text in lines of decisionWidth at most, the first one after a
// prefix and the others after an indent.
func (c *command) wrapped(prefix, indent, text string) {
	line := []rune(prefix)
	begin := len(line)
	for _, word := range strings.Fields(tidy(text)) {
		w := []rune(word)
		for len(line)+1+len(w) > decisionWidth {
			if len(line) > begin { // what is left of the word goes on the next line
				c.printf("%s\n", strings.TrimRight(string(line), " "))
				line, begin = []rune(indent), len([]rune(indent))
				continue
			}
			n := decisionWidth - len(line)
			c.printf("%s\n", string(append(line, w[:n]...)))
			line, w = []rune(indent), w[n:]
		}
		if len(line) > begin {
			line = append(line, ' ')
		}
		line = append(line, w...)
	}
	c.printf("%s\n", strings.TrimRight(string(line), " "))
}

// rateWords writes how many there are in a minute.
func rateWords(n float64) string {
	if n < 10 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return number(int64(n + 0.5))
}
