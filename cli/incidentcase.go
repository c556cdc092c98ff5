package cli

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/incident"
)

// signalText is a signal as the control plane shows it.
type signalText struct {
	ID         string           `json:"id"`
	Type       string           `json:"type"`
	Source     string           `json:"source"`
	Title      string           `json:"title"`
	Severity   string           `json:"severity"`
	Subject    incident.Subject `json:"subject"`
	ObservedAt time.Time        `json:"observed_at"`
	LastAt     time.Time        `json:"last_at"`
	Count      int              `json:"count"`
	Case       string           `json:"case"`
	TLP        string           `json:"tlp"`
	Exercise   bool             `json:"exercise"`
	By         string           `json:"by"`
	Text       string           `json:"text"`
	Data       jsontext.Value   `json:"data"`
	Repeated   bool             `json:"repeated"`
}

// triageText is a triage case as the control plane shows it.
type triageText struct {
	ID       string       `json:"id"`
	Title    string       `json:"title"`
	Status   string       `json:"status"`
	Severity string       `json:"severity"`
	Owner    string       `json:"owner"`
	TLP      string       `json:"tlp"`
	Exercise bool         `json:"exercise"`
	Signals  []signalText `json:"signals"`
	Count    int          `json:"signal_count"`
	Repeats  int          `json:"repeats"`
	Incident string       `json:"incident"`
	Closing  string       `json:"closing"`
	Of       string       `json:"of"`
	OpenedAt time.Time    `json:"opened_at"`
	Entries  []struct {
		At    time.Time `json:"at"`
		Actor string    `json:"actor"`
		Text  string    `json:"text"`
	} `json:"timeline"`
}

func (c *command) signalSendCmd() *cobra.Command {
	var body incident.SignalSpec
	var severity, observed, data string
	var mark markFlags
	cmd := &cobra.Command{
		Use: "send TITLE --type TYPE --source SOURCE", Short: "Send what was observed; a triage case looks into it", Args: exactly(1),
		Example: `  andon signal send "refusals fell by half" --type drift --source monitor --model sim-large --dedup drift-17
  andon signal send "provider's alert" --type safety.alert --source provider --data alert.json`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			body.Title, body.Severity = args[0], incident.Severity(severityFlag(severity))
			if observed != "" {
				if body.ObservedAt, err = time.Parse(time.RFC3339, observed); err != nil {
					return usagef("--observed "+c.Now().UTC().Format(time.RFC3339), "--observed %s is no time", observed)
				}
			}
			if data != "" {
				if body.Data, err = c.dataFile(data); err != nil {
					return err
				}
			}
			if body.Marking, err = mark.marking(); err != nil {
				return err
			}
			return send(c, cmd, http.MethodPost, "/signals", body, func(v *signalText) error {
				again := ""
				if v.Repeated {
					again = fmt.Sprintf("  (it was there already; %d times now)", v.Count)
				}
				c.printf("%s  %s  %s%s\n", v.ID, dash(v.Case), v.Title, again)
				if v.Case != "" {
					c.printf("next: andon cases show %s\nundo: andon cases close %s false_positive --text \"…\"\n", v.Case, v.Case)
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Type, "type", "", "kind of observation (required)")
	f.StringVar(&body.Source, "source", "", "who or what observed (required)")
	f.StringVar(&body.Text, "text", "", "more words")
	f.StringVar(&severity, "severity", "", "SEV-1 to SEV-4: a hint")
	f.StringVar(&body.Dedup, "dedup", "", "`key`: the same one again is the same signal")
	f.StringVar(&observed, "observed", "", "when, RFC 3339; default now")
	f.StringVar(&data, "data", "", "`file` with a JSON object, - for standard input")
	f.StringSliceVar(&body.Subject.Models, "model", nil, "`models` that it is about")
	f.StringSliceVar(&body.Subject.Orgs, "org", nil, "`organisations` that it is about")
	f.BoolVar(&body.Exercise, "exercise", false, "of an exercise")
	mark.add(cmd)
	return cmd
}

// dataFile reads a bounded file, or standard input.
func (c *command) dataFile(name string) (jsontext.Value, error) {
	var from io.Reader = c.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read data: %w", err)
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, incident.MaxData+1))
	switch v := jsontext.Value(data); {
	case err != nil:
		return nil, fmt.Errorf("read data: %w", err)
	case len(data) > incident.MaxData:
		return nil, usagef("", "%s has more than %d bytes", name, incident.MaxData)
	case !v.IsValid() || v.Kind() != '{':
		return nil, usagef("", "%s holds no JSON object", name)
	}
	return data, nil
}

func (c *command) signalListCmd() *cobra.Command {
	q := map[string]*string{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Signals, the youngest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/signals?"+encoded(q), "signals", "", []string{"ID", "CASE", "TYPE", "SOURCE", "TITLE", "HINT", "TIMES", "LAST"}, func(v *signalText) []string {
				return []string{v.ID, dash(v.Case), c.cut(v.Type, 16), c.cut(v.Source, 16), c.cut(v.Title, 36), dash(v.Severity), strconv.Itoa(v.Count), until(v.LastAt, c.Now())}
			})
		},
	}
	filters(cmd, q, "type", "source", "case", "model", "after", "limit")
	return cmd
}

// filters adds flags that go into the query as they are.
func filters(cmd *cobra.Command, q map[string]*string, names ...string) {
	help := map[string]string{"after": "`id` that the last page ended with", "limit": "at most so many", "status": "only in this status; open is new or triaged", "owner": "only of this operator"}
	for _, n := range names {
		text := help[n]
		if text == "" {
			text = "only of this " + n
		}
		q[n] = cmd.Flags().String(n, "", text)
	}
}

func encoded(q map[string]*string) string {
	out := url.Values{}
	for _, n := range slices.Sorted(maps.Keys(q)) {
		if *q[n] != "" {
			out.Set(n, *q[n])
		}
	}
	return out.Encode()
}

func (c *command) more(shown, total int, after string) {
	if after != "" {
		c.printf("%d of %d; more: --after %s\n", shown, total, after)
	}
}

func (c *command) signalShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "One signal, with its text and data", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/signals/"+url.PathEscape(args[0]), func(v *signalText) error {
				c.printf("%s  %s  %s  from %s\n%s\nobserved %s, %d times, last %s; sent by %s; case %s; TLP:%s\n", v.ID, v.Type, dash(v.Severity), v.Source, v.Title,
					v.ObservedAt.Format(time.RFC3339), v.Count, until(v.LastAt, c.Now()), c.person(v.By), dash(v.Case), v.TLP)
				if v.Text != "" {
					c.printf("%s\n", v.Text)
				}
				if len(v.Data) > 0 {
					_ = v.Data.Indent()
					c.printf("%s\n", v.Data)
				}
				return nil
			})
		},
	}
}

func (c *command) signalOutcomesCmd() *cobra.Command {
	return &cobra.Command{
		Use: "outcomes", Short: "How often each source was right", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/signals/outcomes", "outcomes", "", []string{"SOURCE", "TYPE", "SIGNALS", "REPEATS", "CASES", "OPEN", "PROMOTED", "RIGHT", "CLOSED"}, func(o *incident.Outcome) []string {
				right := "-"
				if o.Precision != nil {
					right = fmt.Sprintf("%.0f %%", *o.Precision*100)
				}
				var closed []string
				for _, k := range slices.Sorted(maps.Keys(o.Closed)) {
					closed = append(closed, fmt.Sprintf("%s %d", k, o.Closed[k]))
				}
				return []string{c.cut(o.Source, 20), c.cut(o.Type, 20), strconv.Itoa(o.Signals), strconv.Itoa(o.Repeats), strconv.Itoa(o.Cases), strconv.Itoa(o.Open), strconv.Itoa(o.Promoted), right, c.cut(strings.Join(closed, ", "), 30)}
			})
		},
	}
}

func (c *command) caseListCmd() *cobra.Command {
	q := map[string]*string{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Triage cases, the youngest first; those that are open unless --status says otherwise", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if *q["status"] == "" {
				*q["status"] = "open"
			}
			return list(c, cmd, "/cases?"+encoded(q), "cases", "", []string{"ID", "STATUS", "HINT", "TITLE", "SIGNALS", "OWNER", "BECAME", "OPENED"}, func(v *triageText) []string {
				became := v.Incident
				if became == "" {
					became = v.Closing
				}
				return []string{v.ID, v.Status, dash(v.Severity), c.cut(v.Title, 44), strconv.Itoa(v.Count + v.Repeats), dash(c.person(v.Owner)), dash(became), until(v.OpenedAt, c.Now())}
			})
		},
	}
	filters(cmd, q, "status", "owner", "after", "limit")
	return cmd
}

func (c *command) caseShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "One triage case, with its signals", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/cases/"+url.PathEscape(args[0]), c.printTriage)
		},
	}
}

// printTriage prints a triage case.
func (c *command) printTriage(v *triageText) error {
	exercise := ""
	if v.Exercise {
		exercise = "  (exercise)"
	}
	c.printf("%s  %s  %s  %s%s\n", v.ID, strings.ToUpper(v.Status), dash(v.Severity), v.Title, exercise)
	for _, s := range v.Signals {
		c.printf("  %s  %s  %s from %s, %d times, last %s\n", s.ID, s.Title, s.Type, s.Source, s.Count, until(s.LastAt, c.Now()))
	}
	if n := v.Count - len(v.Signals); n > 0 {
		c.printf("  … %s more: andon signal ls --case %s\n", plural(int64(n), "signal"), v.ID)
	}
	for _, e := range v.Entries {
		c.printf("%s  %-10s %s\n", e.At.UTC().Format("01-02 15:04:05"), c.cut(c.person(e.Actor), 10), c.named(e.Text))
	}
	c.caseNext(v)
	return nil
}

func (c *command) caseNext(v *triageText) {
	switch v.Status {
	case "promoted":
		c.printf("next: andon incident show %s\n", v.Incident)
	case "new":
		c.printf("next: andon cases assess %s \"…\", or andon incident open \"…\" --case %s, or andon cases close %s REASON --text \"…\"\n", v.ID, v.ID, v.ID)
	case "triaged":
		c.printf("next: andon incident open \"…\" --case %s, or andon cases close %s REASON --text \"…\"\n", v.ID, v.ID)
	}
}

// caseAct sends an act and says in few words what it has led to.
func (c *command) caseAct(cmd *cobra.Command, path string, body any, undo func(id string) string) error {
	return send(c, cmd, http.MethodPost, path, body, func(v *triageText) error {
		c.printf("%s  %s  %s  %s\n", v.ID, v.Status, dash(v.Severity), v.Title)
		c.caseNext(v)
		if u := undo(v.ID); u != "" {
			c.printf("undo: %s\n", u)
		}
		return nil
	})
}

func (c *command) caseOpenCmd() *cobra.Command {
	var body incident.CaseSpec
	var severity string
	var mark markFlags
	cmd := &cobra.Command{
		Use: "open TITLE", Short: "Open a triage case by hand", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			body.Title, body.Severity = args[0], incident.Severity(severityFlag(severity))
			if body.Marking, err = mark.marking(); err != nil {
				return err
			}
			return c.caseAct(cmd, "/cases", body, func(id string) string { return "andon cases close " + id + ` no_action --text "…"` })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&body.Signals, "signal", nil, "`signals` that belong to it")
	f.StringVar(&severity, "severity", "", "SEV-1 to SEV-4")
	f.StringVar(&body.Owner, "owner", "", "operator who looks into it")
	f.StringVar(&body.Text, "text", "", "what is known")
	f.BoolVar(&body.Exercise, "exercise", false, "of an exercise")
	mark.add(cmd)
	return cmd
}
