package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/incident"
)

// recordVerb is one step on an incident or a triage case: POST below it.
type recordVerb struct {
	use, short, long, example string
	args                      []string // beside the id: fields of the body
	path                      string
	flags                     []recordFlag
	undo                      func(id string, args []string) string // "": there is nothing to undo
}

// recordFlag is a field of the body, as a flag.
type recordFlag struct {
	name, field, help string
	read              func(text string) (any, error) // nil: the text itself
	many, yes         bool
}

var (
	textFlag   = recordFlag{name: "text", field: "text", help: "in words"}
	reasonFlag = recordFlag{name: "reason", field: "reason", help: "why"}
)

var incidentVerbs = []recordVerb{
	{use: "note ID TEXT", short: "Write a note", args: []string{"text"}, path: "notes", example: `  andon incident note i-7 "the caller uses two keys" --ref c-5
  andon incident note i-7 "the reporter is …" --personal`,
		flags: []recordFlag{{name: "ref", field: "refs", help: "what it rests on: c-5, a-1, a URL", many: true}, {name: "personal", field: "personal", help: "holds personal data: it is kept apart and can be erased", yes: true}}},
	{use: "status ID STATUS", short: "Move on, or back: investigating, contained, recovering, resolved", args: []string{"to"}, path: "status", flags: []recordFlag{reasonFlag},
		undo: func(id string, _ []string) string {
			return `andon incident status ` + id + ` investigating --reason "…"`
		}},
	{use: "severity ID [SEVERITY]", short: "Add facts of harm, or set the severity", args: []string{"?severity"}, path: "severity", example: "  andon incident severity i-7 --harm rights:suspected\n  andon incident severity i-7 2",
		flags: []recordFlag{{name: "harm", field: "harm", help: "fact, `HARM[:known|suspected|ruled_out]`: " + strings.Join(harmNames(), ", "), many: true}, {name: "reason", field: "reason", help: "why; needed to lower"}}},
	{use: "role ID ROLE OPERATOR", short: "Give a role; the commander hands over", args: []string{"role", "operator"}, path: "roles", example: "  andon incident role i-7 commander op-3 --text \"two keys blocked; see h-1\"",
		flags: []recordFlag{{name: "end", field: "end", help: "the role ends", yes: true}, {name: "text", field: "text", help: "what is handed over"}}},
	{use: "hypothesis ID [TEXT]", short: "State a hypothesis, or change one (--change h-1)", args: []string{"?text"}, path: "hypotheses",
		flags: []recordFlag{{name: "change", field: "id", help: "`hypothesis` to change"}, {name: "confidence", field: "confidence", help: "0 to 1", read: readNumber}, {name: "status", field: "status", help: "open, confirmed, refuted or set_aside"},
			{name: "for", field: "for", help: "what speaks for it", many: true, read: readEvidence}, {name: "against", field: "against", help: "what speaks against it", many: true, read: readEvidence}, reasonFlag}},
	{use: "time ID NAME [VALUE]", short: "Say when something was, as far as it is known", long: "Say when something was, as far as it is known. NAME is one of " + strings.Join(incident.TimeNames, ", ") + ".\nVALUE is written as far as it is known: 2026, 2026-11, 2026-11-26, 2026-11-26T14Z, 2026-11-26T14:05Z or with seconds.", args: []string{"name", "?value"}, path: "times",
		example: "  andon incident time i-7 started_at 2026-11-25T14Z --reason \"first wrong answer in the logs\"\n  andon incident time i-7 ended_at --status unknown --reason \"logs were lost\"",
		flags:   []recordFlag{{name: "status", field: "status", help: "known, estimated or unknown"}, {name: "precision", field: "precision", help: "year to second; default as it is written"}, reasonFlag}},
	{use: "task ID [TEXT]", short: "Set a task, or change one (--change k-1 --status done)", args: []string{"?text"}, path: "tasks",
		flags: []recordFlag{{name: "change", field: "id", help: "`task` to change"}, {name: "owner", field: "owner", help: "operator or team"}, {name: "due", field: "due", help: "when, RFC 3339"},
			{name: "status", field: "status", help: "open, done or dropped"}, reasonFlag}},
	{use: "describe ID", short: "Correct the title", path: "describe", flags: []recordFlag{{name: "title", field: "title", help: "one line"}}},
	{use: "near-miss ID PATTERN", short: "Say that no harm came of it, and what stopped it", args: []string{"pattern"}, path: "near-miss", flags: []recordFlag{{name: "barrier", field: "barrier", help: "what stopped it"}, textFlag}},
	{use: "mark ID TLP", short: "Say how far it may go: TLP label, and who needs to know", args: []string{"tlp"}, path: "marking", example: "  andon incident mark i-7 RED --operator op-1,op-3",
		flags: []recordFlag{{name: "operator", field: "operators", help: "`ids` of operators who need to know", many: true}, {name: "team", field: "teams", help: "teams that need to", many: true}, {name: "role", field: "roles", help: "roles that need to", many: true},
			{name: "entry", field: "entry", help: "one `entry` of the timeline only", read: readEntry}, {name: "reason", field: "reason", help: "why; needed to loosen"}}},
	{use: "merge ID INTO", short: "Merge it into another; both keep their history", args: []string{"into"}, path: "merge", flags: []recordFlag{reasonFlag, {name: "confirm", field: "confirm", help: "even if people lose sight of it", yes: true}},
		undo: func(id string, a []string) string {
			return "andon incident reopen " + id + ` --reason "…"  (` + a[0] + " keeps the severity that it has)"
		}},
	{use: "reopen ID", short: "Take a closed incident up again; one that was merged comes out of the other", path: "reopen", flags: []recordFlag{reasonFlag, {name: "commander", field: "commander", help: "operator who leads; default you"}},
		undo: func(id string, _ []string) string { return "andon incident close " + id + ` … --text "…"` }},
}

var caseVerbs = []recordVerb{
	{use: "take ID SIGNAL…", short: "Take signals into the case", args: []string{"signals…"}, path: "signals"},
	{use: "assess ID TEXT", short: "Say what it means: the case is triaged", args: []string{"text"}, path: "assess",
		flags: []recordFlag{{name: "severity", field: "severity", help: "SEV-1 to SEV-4", read: readSeverity}, {name: "owner", field: "owner", help: "operator"}}},
	{use: "close ID REASON", short: "Close it: " + strings.Join(incident.CaseClosings, ", "), args: []string{"reason"}, path: "close",
		flags: []recordFlag{textFlag, {name: "of", field: "of", help: "the `case` that it doubles"}}, undo: func(id string, _ []string) string { return "andon cases reopen " + id + ` --reason "…"` }},
	{use: "reopen ID", short: "Take a closed case up again", path: "reopen", flags: []recordFlag{reasonFlag}},
	{use: "join ID INCIDENT", short: "Make it part of an incident", args: []string{"incident"}, path: "join", flags: []recordFlag{reasonFlag}},
}

func readNumber(s string) (any, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no number", s)
	}
	return f, nil
}

func readEntry(s string) (any, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no number of an entry", s)
	}
	return n, nil
}

func readSeverity(s string) (any, error) { return severityFlag(s), nil }

// readEvidence reads "TEXT" or "REF: TEXT", where REF has no blank.
func readEvidence(s string) (any, error) {
	if ref, text, ok := strings.Cut(s, ": "); ok && !strings.Contains(ref, " ") {
		return map[string]string{"ref": ref, "text": text}, nil
	}
	return map[string]string{"text": s}, nil
}

// severityFlag takes 2 and sev-2 for SEV-2.
func severityFlag(s string) string {
	s = strings.ToUpper(s)
	if len(s) == 1 && s >= "1" && s <= "4" {
		return "SEV-" + s
	}
	return s
}

func harmNames() []string {
	out := make([]string, len(incident.Harms))
	for i, h := range incident.Harms {
		out[i] = string(h)
	}
	return out
}

// harmFlag reads facts: "rights:suspected", "death".
func harmFlag(values []string) ([]incident.Fact, error) {
	var out []incident.Fact
	for _, v := range values {
		harm, status, _ := strings.Cut(v, ":")
		if incident.HarmOf[incident.Harm(harm)] == "" {
			return nil, usagef("--harm "+harmNames()[0]+":suspected", "--harm %s: there are %s", harm, strings.Join(harmNames(), ", "))
		}
		out = append(out, incident.Fact{Harm: incident.Harm(harm), Status: status})
	}
	return out, nil
}

// recordCmd is the command of one step.
func (c *command) recordCmd(name, below string, v *recordVerb) *cobra.Command {
	texts, lists, bools := make([]string, len(v.flags)), make([][]string, len(v.flags)), make([]bool, len(v.flags))
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Long: v.long, Example: v.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := v.arguments(name, args)
			if err != nil {
				return err
			}
			for i, f := range v.flags {
				if !cmd.Flags().Changed(f.name) {
					continue
				}
				if err := f.put(body, texts[i], lists[i], bools[i]); err != nil {
					return err
				}
			}
			if v.path == "marking" {
				body = markingBody(body)
			}
			path := below + url.PathEscape(args[0]) + "/" + v.path
			undo := func(id string) string {
				if v.undo == nil {
					return ""
				}
				return v.undo(id, args[1:])
			}
			if name == "cases" {
				return c.caseAct(cmd, path, body, undo)
			}
			return c.incidentAct(cmd, http.MethodPost, path, body, undo)
		},
	}
	for i, f := range v.flags {
		switch {
		case f.yes:
			cmd.Flags().BoolVar(&bools[i], f.name, false, f.help)
		case f.many:
			cmd.Flags().StringArrayVar(&lists[i], f.name, nil, f.help)
		default:
			cmd.Flags().StringVar(&texts[i], f.name, "", f.help)
		}
	}
	return cmd
}

// arguments reads what stands after the id. A field with "?" may be left out; one
// with "…" takes all that follow.
func (v *recordVerb) arguments(name string, args []string) (map[string]any, error) {
	least, most := 1, 1+len(v.args)
	for _, a := range v.args {
		if !strings.HasPrefix(a, "?") {
			least++
		}
		if strings.HasSuffix(a, "…") {
			most = 1 << 10
		}
	}
	if len(args) < least || len(args) > most {
		return nil, usagef("andon "+name+" "+v.use, "%s needed, %d given", plural(int64(least), "argument"), len(args))
	}
	body := map[string]any{}
	for i, field := range v.args {
		if i+1 >= len(args) {
			break
		}
		field = strings.TrimPrefix(field, "?")
		switch {
		case strings.HasSuffix(field, "…"):
			body[strings.TrimSuffix(field, "…")] = args[i+1:]
		case field == "severity":
			body[field] = severityFlag(args[i+1])
		case field == "tlp":
			body[field] = strings.TrimPrefix(strings.ToUpper(args[i+1]), "TLP:")
		default:
			body[field] = args[i+1]
		}
	}
	return body, nil
}

// put writes a flag into the body.
func (f *recordFlag) put(body map[string]any, text string, list []string, yes bool) error {
	read := f.read
	if read == nil {
		read = func(s string) (any, error) { return s, nil }
	}
	switch {
	case f.yes:
		body[f.field] = yes
	case f.field == "harm":
		facts, err := harmFlag(list)
		if err != nil {
			return err
		}
		body[f.field] = facts
	case f.many:
		var out []any
		for _, s := range list {
			if f.read == nil && f.field != "refs" {
				for _, one := range strings.Split(s, ",") {
					out = append(out, one)
				}
				continue
			}
			x, err := read(s)
			if err != nil {
				return usagef("", "--%s: %v", f.name, err)
			}
			out = append(out, x)
		}
		body[f.field] = out
	default:
		x, err := read(text)
		if err != nil {
			return usagef("", "--%s: %v", f.name, err)
		}
		body[f.field] = x
	}
	return nil
}

// markingBody puts the marking together.
func markingBody(flat map[string]any) map[string]any {
	need, marking, body := map[string]any{}, map[string]any{"tlp": flat["tlp"]}, map[string]any{}
	for name, v := range flat {
		switch name {
		case "operators", "teams", "roles":
			need[name] = v
		case "tlp":
		default:
			body[name] = v
		}
	}
	if len(need) > 0 {
		marking["need_to_know"] = need
	}
	body["marking"] = marking
	return body
}

// markFlags are the flags of a marking.
type markFlags struct {
	tlp                     string
	operators, teams, roles []string
}

func (m *markFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.tlp, "tlp", "", "RED, AMBER+STRICT, AMBER (default), GREEN or CLEAR")
	f.StringSliceVar(&m.operators, "need-operator", nil, "`ids` of operators who need to know; everybody else is told that nothing is there")
	f.StringSliceVar(&m.teams, "need-team", nil, "`teams` that need to know")
	f.StringSliceVar(&m.roles, "need-role", nil, "`roles` that need to know")
}

func (m *markFlags) marking() (*incident.Marking, error) {
	if m.tlp == "" && len(m.operators)+len(m.teams)+len(m.roles) == 0 {
		return nil, nil
	}
	out := &incident.Marking{TLP: incident.TLP(strings.TrimPrefix(strings.ToUpper(m.tlp), "TLP:"))}
	if out.TLP != "" && !slices.Contains(incident.TLPs, out.TLP) {
		return nil, usagef("--tlp AMBER", "--tlp %s: there are RED, AMBER+STRICT, AMBER, GREEN and CLEAR", m.tlp)
	}
	if len(m.operators)+len(m.teams)+len(m.roles) > 0 {
		out.Need = &incident.Need{Operators: m.operators, Teams: m.teams, Roles: m.roles}
	}
	return out, nil
}

// incidentAct sends an act and says in few words what it has led to, what is next
// and how it is undone.
func (c *command) incidentAct(cmd *cobra.Command, method, path string, body any, undo func(id string) string) error {
	return send(c, cmd, method, path, body, func(v *incidentText) error { return c.printIncidentAct(v, undo) })
}

func (c *command) printIncidentAct(v *incidentText, undo func(id string) string) error {
	lead := ""
	if v.Lead != "" {
		lead = ", led by " + c.person(v.Lead)
	}
	c.printf("%s  %s  %s  %s%s\n", v.ID, v.Status, v.severityText(), v.Title, lead)
	for _, w := range v.Warnings {
		c.printf("check: %s\n", w)
	}
	if next := v.next(); next != "" {
		c.printf("next: %s\n", next)
	}
	if u := undo(v.ID); u != "" {
		c.printf("undo: %s\n", u)
	}
	return nil
}
