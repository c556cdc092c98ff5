package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/incident"
)

// decided is a decision as the control plane shows it.
type decided struct {
	ID         string    `json:"id"`
	Run        string    `json:"run"`
	Step       string    `json:"step"`
	Incident   string    `json:"incident"`
	TLP        string    `json:"tlp"`
	Restricted bool      `json:"restricted"`
	Question   string    `json:"question"`
	Threat     string    `json:"threat"`
	State      string    `json:"state"`
	OpenedAt   time.Time `json:"opened_at"`
	OpenedBy   string    `json:"opened_by"`
	Entry      uint64    `json:"entry"`
	Deadline   time.Time `json:"deadline"`
	Default    int       `json:"default"`
	Manual     string    `json:"default_manual"`
	Overdue    string    `json:"overdue"`
	Approval   string    `json:"approval"`
	Known      string    `json:"known"`
	Missing    string    `json:"missing"`
	Waiting    string    `json:"cost_of_waiting"`
	Options    []struct {
		N int `json:"n"`
		incident.Option
		Seen incident.Comparison `json:"seen"`
		Then []string            `json:"then"`
	} `json:"options"`
	Decided *struct {
		Option      int            `json:"option"`
		By          string         `json:"by"`
		At          time.Time      `json:"at"`
		Entry       uint64         `json:"entry"`
		Auto        bool           `json:"auto"`
		Glass       bool           `json:"break_glass"`
		Rationale   string         `json:"rationale"`
		NotNarrower string         `json:"why_not_narrower"`
		NotBroader  string         `json:"why_not_broader"`
		Known       string         `json:"known"`
		Missing     string         `json:"missing"`
		ReviewBy    time.Time      `json:"review_by"`
		Takes       incident.Takes `json:"takes"`
		Applied     []struct {
			ID    string `json:"id"`
			Says  string `json:"says"`
			State string `json:"state"`
		} `json:"applied"`
		Lifted []string `json:"lifted"`
	} `json:"decided"`
	Criteria []incident.LiftCriterion `json:"criteria"`
	Dissents []incident.Dissent       `json:"dissents"`
	Notes    []string                 `json:"notes"`
}

func (c *command) decisionCmds() []*cobra.Command {
	cmd := group("decide", "Options side by side, a clock and a default; who decided, on what was known, and who dissented",
		c.decisionOpenCmd(), c.decisionListCmd(), c.decisionShowCmd(), c.decisionCompareCmd(), c.decisionDoCmd(), c.dissentCmd(), c.criteriaCmd())
	cmd.Aliases = []string{"decision", "decisions"}
	cmd.Long = `A decision is a question with its options side by side: what each takes away, from whom, how fast, what it takes to
undo it, and whose word it needs. To do nothing is always an option. Decided not to act is the same record. If nobody
answers in time, the default holds, if it keeps what stands or tightens short of a hard stop; else it alarms.`
	return []*cobra.Command{cmd}
}

// maxOptionsFile bounds a file of options, in bytes; the control plane takes less.
const maxOptionsFile = 1 << 20

// optionsFrom reads a decision's body from a file, or standard input for "-": a list
// of options, or an object as the API takes it.
func (c *command) optionsFrom(name string) (map[string]jsontext.Value, error) {
	from := c.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read options: %w", err)
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, maxOptionsFile+1))
	if err != nil {
		return nil, fmt.Errorf("read options: %w", err)
	}
	if len(data) > maxOptionsFile {
		return nil, usagef("name a list instead of its entries (andon list)", "%s has more than 1 MiB", name)
	}
	body := map[string]jsontext.Value{}
	if jsontext.Value(data).Kind() == '[' {
		if v := jsontext.Value(data); v.IsValid() {
			body["options"] = v
			return body, nil
		}
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, usagef(`[{"title":"limit","apply":[{"kind":"rate",…}]}, {"title":"lift","lift":["c-1"]}]`, "%s is neither a list of options nor an object with them: %v", name, err)
	}
	return body, nil
}

func (c *command) decisionOpenCmd() *cobra.Command {
	var threat, inc, options, within, standing, known, missing, waiting string
	var models, values []string
	cmd := &cobra.Command{
		Use: "open [QUESTION] [--threat THREAT --model MODEL] [--options FILE]", Short: "Open a decision: the ladder against a threat, options of your own, or both", Args: cobra.MaximumNArgs(1),
		Long: `Opens a decision. Nothing is applied. --threat fills in the ladder that andon propose shows, the narrowest rung first; a
threat of the plan counts, too, and brings what its playbooks do. --options reads a list of options as JSON ("-": standard input), each with a title and
what it does: "apply" (corrections), "lift" (ids), "restore" ({"before": "c-1"}) or "playbook" ({"name": …, "step": …}).`,
		Example: `  andon decide open --threat tool_misuse --model sim-large --incident i-3
  andon decide open "does the stop stay over the week-end?" --options options.json --within 4h --default "keep it"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if options != "" {
				read, err := c.optionsFrom(options)
				if err != nil {
					return err
				}
				for k, v := range read {
					body[k] = v
				}
			}
			if options == "" && threat == "" {
				return usagef("andon decide open --threat THREAT --model MODEL, or --options FILE", "it does not say which options there are")
			}
			if threat != "" {
				scope := map[string]any{}
				if len(models) > 0 {
					scope["models"] = models
				}
				body["case"] = map[string]any{"threat": threat, "scope": scope}
				vars, err := pairs("var", values)
				if err != nil {
					return err
				}
				if vars != nil {
					body["vars"] = vars
				}
			} else if len(models) > 0 || len(values) > 0 {
				return usagef("--threat THREAT", "--model and --var say what a threat concerns")
			}
			if len(args) == 1 {
				body["question"] = args[0]
			}
			for k, v := range map[string]string{"incident": inc, "default": standing, "known": known, "missing": missing, "cost_of_waiting": waiting} {
				if v != "" {
					body[k] = v
				}
			}
			if _, given := body["deadline"]; cmd.Flags().Changed("within") || body["within"] == nil && !given {
				body["within"] = within
			}
			return c.decisionSent(cmd, "/decisions", body, func(d *decided) string { return "" })
		},
	}
	f := cmd.Flags()
	f.StringVar(&threat, "threat", "", "the ladder against it becomes the options (andon propose lists them)")
	f.StringSliceVar(&models, "model", nil, "model that the threat concerns; default all, or those of the plan's threat")
	f.StringArrayVar(&values, "var", nil, "value of a variable of the plan's playbooks against it, NAME=VALUE")
	f.StringVar(&options, "options", "", "file with options as JSON; - reads standard input")
	f.StringVar(&inc, "incident", "", "incident that it belongs to")
	f.StringVar(&within, "within", "1h", "how long there is to decide, 1m to 30d")
	f.StringVar(&standing, "default", "", "title of the option that holds if nobody answers; default: do nothing")
	f.StringVar(&known, "known", "", "what is known")
	f.StringVar(&missing, "missing", "", "what is not known, and would matter")
	f.StringVar(&waiting, "cost-of-waiting", "", "what it costs to wait")
	return cmd
}

// decisionSent sends a command about a decision, and shows the decision.
func (c *command) decisionSent(cmd *cobra.Command, path string, body any, after func(*decided) string) error {
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	return send(c, cmd, method, path, body, func(d *decided) error {
		if err := c.printQuestion(d); err != nil {
			return err
		}
		if text := after(d); text != "" {
			c.printf("%s\n", text)
		}
		return nil
	})
}

func decisionPath(id, rest string) string { return "/decisions/" + url.PathEscape(id) + rest }

func (c *command) decisionShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "A decision with its options side by side; once decided, the record", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.decisionSent(cmd, decisionPath(args[0], ""), nil, func(*decided) string { return "" })
		},
	}
}

func (c *command) decisionCompareCmd() *cobra.Command {
	return &cobra.Command{
		Use: "compare ID", Short: "Compare the options anew: reach, speed, terms and authority as they are now", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.decisionSent(cmd, decisionPath(args[0], "/compare"), map[string]any{}, func(*decided) string { return "" })
		},
	}
}

// optionNumber reads the number of an option, or of a criterion.
func optionNumber(what, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, usagef("andon decide show d-1 numbers them from 1", "%q is no number of %s", text, what)
	}
	return n, nil
}

func (c *command) decisionDoCmd() *cobra.Command {
	var reason, narrower, broader, review, wait string
	var criteria []string
	var glass bool
	var ev evidenceFlags
	cmd := &cobra.Command{
		Use: "do ID OPTION --reason TEXT", Short: "Choose an option, and carry it out in the same moment", Args: exactly(2),
		Long: `Chooses an option. What it applies and lifts, and the record of the decision, are one: both stand, or neither. What
tightens is in force at once; what gives something back waits for those who have to agree. What a playbook's run asks
is decided in the same way, by the id that andon decide ls shows: r-3.2 is the second step of r-3, and r-3 its stop-gap.`,
		Example: `  andon decide do d-1 2 --reason "stops the leak" --not-broader "three orgs depend on it" --criterion "no leak for a day" --review 4h
  andon decide do d-1 1 --reason "a false alarm: the log shows our own test"
  andon decide do r-3.2 2 --reason "still three orgs an hour"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := optionNumber("an option", args[1])
			if err != nil {
				return err
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "why this one"`, "a reason is required")
			}
			limit, err := waiting(wait)
			if err != nil {
				return err
			}
			body := map[string]any{"option": n, "rationale": reason}
			if narrower != "" {
				body["why_not_narrower"] = narrower
			}
			if broader != "" {
				body["why_not_broader"] = broader
			}
			if len(criteria) > 0 {
				body["criteria"] = criteria
			}
			if review != "" {
				t, err := instant("--review", review, c.Now())
				if err != nil {
					return err
				}
				body["review_by"] = t
			}
			return c.decide(cmd, decisionPath(args[0], "/decide"+ev.query(glassQuery(glass))), body, limit)
		},
	}
	f := cmd.Flags()
	f.StringVar(&reason, "reason", "", "why this one (required)")
	f.StringVar(&narrower, "not-narrower", "", "why nothing narrower")
	f.StringVar(&broader, "not-broader", "", "why nothing broader")
	f.StringArrayVar(&criteria, "criterion", nil, "what has to hold before it is lifted; can be given several times")
	f.StringVar(&review, "review", "", "when somebody looks again: a time span from now, or an instant")
	addGlass(cmd, &glass)
	ev.add(cmd)
	addWait(cmd, &wait)
	return cmd
}

// decide sends a choice, and waits until what it applied is enforced.
func (c *command) decide(cmd *cobra.Command, path string, body any, limit time.Duration) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	sent := time.Now()
	var raw jsontext.Value
	if err := cl.do(cmd.Context(), http.MethodPost, path, nil, body, &raw); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(raw)
	}
	var d decided
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("read the decision: %w", err)
	}
	if err := c.printQuestion(&d); err != nil {
		return err
	}
	if d.Decided == nil { // a stop-gap was extended
		return nil
	}
	var late error
	for _, a := range d.Decided.Applied {
		err := c.settle(cmd.Context(), cl, a.ID, sent, limit, outcome{what: tidy(a.Says), undo: "andon lift " + a.ID + ` --reason "…"`})
		if err != nil && exitCode(err) != exitPending {
			return err
		}
		if err != nil {
			late = err
		}
	}
	return late
}

func (c *command) dissentCmd() *cobra.Command {
	var prefer int
	cmd := &cobra.Command{
		Use: "dissent ID TEXT", Short: "Put dissent on record, before a decision or after; it is kept for ever", Args: exactly(2),
		Example: `  andon decide dissent d-1 "it reaches nobody who does this" --prefer 3`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"text": args[1]}
			if prefer != 0 {
				body["prefer"] = prefer
			}
			return c.decisionSent(cmd, decisionPath(args[0], "/dissent"), body, func(d *decided) string {
				return fmt.Sprintf("on record, in entry %d", d.Dissents[len(d.Dissents)-1].Entry)
			})
		},
	}
	cmd.Flags().IntVar(&prefer, "prefer", 0, "`number` of the option that should be chosen")
	return cmd
}

func (c *command) criteriaCmd() *cobra.Command {
	var evidence string
	var unmet bool
	cmd := &cobra.Command{
		Use: "criteria ID [NUMBER --evidence TEXT]", Short: "What has to hold before it is lifted; say that one holds, with the evidence", Args: cobra.RangeArgs(1, 2),
		Example: `  andon decide criteria d-1
  andon decide criteria d-1 2 --evidence "probe 17 passed on all three gateways"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return c.showCriteria(cmd, args[0])
			}
			n, err := optionNumber("a criterion", args[1])
			if err != nil {
				return err
			}
			if strings.TrimSpace(evidence) == "" {
				return usagef(`--evidence "how it is known"`, "evidence is required")
			}
			body := map[string]any{"criterion": n, "evidence": evidence}
			if unmet {
				body["unmet"] = true
			}
			return c.decisionSent(cmd, decisionPath(args[0], "/criteria"), body, func(d *decided) string {
				if unmet {
					return ""
				}
				return fmt.Sprintf(`undo: andon decide criteria %s %d --unmet --evidence "…"`, d.ID, n)
			})
		},
	}
	cmd.Flags().StringVar(&evidence, "evidence", "", "how it is known (required with a number)")
	cmd.Flags().BoolVar(&unmet, "unmet", false, "it does not hold any more")
	return cmd
}

func (c *command) showCriteria(cmd *cobra.Command, id string) error {
	var d decided
	if err := c.fetch(cmd, decisionPath(id, ""), &d); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(map[string]any{"id": d.ID, "criteria": d.Criteria})
	}
	if len(d.Criteria) == 0 {
		c.printf("%s has no criteria for lifting\n", d.ID)
	}
	c.printCriteria(&d)
	return nil
}
