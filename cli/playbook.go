package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"andon/playbook"
)

func (c *command) playbookCmds() []*cobra.Command {
	books := group("playbook", "What to do, written ahead of time: run it, apply its stop-gap, walk it through", c.playbookListCmd(), c.playbookShowCmd(), c.playbookRunCmd(),
		c.playbookGapCmd(), c.playbookSimulateCmd(), c.playbookImportCmd(), c.playbookExportCmd())
	return []*cobra.Command{books, c.runsCmd()}
}

// asked are the flags of whatever starts a playbook.
type asked struct {
	reason, incident string
	vars             []string
	again            bool
}

func (a *asked) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.reason, "reason", "", "why, for the record (required)")
	f.StringVar(&a.incident, "incident", "", "incident that it belongs to")
	f.StringArrayVar(&a.vars, "var", nil, "value of a variable of the playbook, NAME=VALUE; of a list, separated by commas")
	f.BoolVar(&a.again, "again", false, "although the same is under way")
}

func (a *asked) body() (map[string]any, error) {
	if strings.TrimSpace(a.reason) == "" {
		return nil, usagef(`--reason "…"`, "--reason is required")
	}
	body := map[string]any{"reason": a.reason}
	if a.incident != "" {
		body["incident"] = a.incident
	}
	if a.again {
		body["again"] = true
	}
	vars, err := pairs("var", a.vars)
	if err == nil && vars != nil {
		body["vars"] = vars
	}
	return body, err
}

// pairs reads NAME=VALUE.
func pairs(flag string, list []string) (map[string]string, error) {
	var out map[string]string
	for _, text := range list {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return nil, usagef("--"+flag+" NAME=VALUE", "--%s %s is not NAME=VALUE", flag, text)
		}
		if out == nil {
			out = map[string]string{}
		}
		if _, twice := out[k]; twice {
			return nil, usagef("--"+flag+" NAME=VALUE", "--%s gives %s twice", flag, k)
		}
		out[k] = v
	}
	return out, nil
}

func (c *command) playbookListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "The playbooks of the plan in force", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type answer struct {
				Playbooks []struct {
					Name        string   `json:"name"`
					Description string   `json:"description"`
					Steps       int      `json:"steps"`
					Corrections int      `json:"corrections"`
					StopGap     string   `json:"stop_gap"`
					TestedAt    string   `json:"tested_at"`
					Runs        []string `json:"runs"`
				} `json:"playbooks"`
			}
			return show(c, cmd, "/playbooks", func(list *answer) error {
				if len(list.Playbooks) == 0 {
					c.printf("no playbook is in force; the plan has them: andon plan init, andon plan apply\n")
					return nil
				}
				rows := [][]string{{"NAME", "STEPS", "RUNGS", "STOP-GAP", "TESTED", "RUNS", "FOR"}}
				for _, p := range list.Playbooks {
					rows = append(rows, []string{p.Name, strconv.Itoa(p.Steps), strconv.Itoa(p.Corrections), dash(p.StopGap), dash(p.TestedAt), dash(strings.Join(p.Runs, " ")), c.cut(p.Description, 44)})
				}
				table(c.Stdout, rows)
				return nil
			})
		},
	}
}

// shownPlaybook is a playbook as the control plane shows it.
type shownPlaybook struct {
	playbook.Playbook
	Digest string           `json:"digest"`
	Runs   []string         `json:"runs"`
	Faults []playbook.Fault `json:"faults"`
}

func (c *command) playbookShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "One playbook: its stop-gap, its ladder, and by what people see that it is over", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/playbooks/"+url.PathEscape(args[0]), func(p *shownPlaybook) error {
				c.printPlaybook(&p.Playbook)
				for _, f := range p.Faults {
					word := "fault"
					if f.Warning {
						word = "warning"
					}
					c.printf("%s: %s: %s\n", word, f.Field, f.Detail)
				}
				if len(p.Runs) > 0 {
					c.printf("under way: %s\n", strings.Join(p.Runs, ", "))
				}
				if p.StopGap != nil {
					c.printf("to apply its stop-gap: %s\n", quoteAll(append([]string{"playbook", "stop-gap", p.Name}, needs(&p.Playbook)...)))
				}
				if len(p.Steps) > 0 {
					c.printf("to carry it out:       %s\n", quoteAll(append([]string{"playbook", "run", p.Name}, needs(&p.Playbook)...)))
				}
				return nil
			})
		},
	}
}

// needs are the flags that a playbook cannot be started without.
func needs(p *playbook.Playbook) []string {
	var out []string
	for _, v := range p.Vars {
		if v.Default == "" {
			out = append(out, "--var", v.Name+"=…")
		}
	}
	return append(out, "--reason", "…")
}

func (c *command) printPlaybook(p *playbook.Playbook) {
	c.printf("%s  %s\n", p.Name, p.Description)
	if p.TestedAt != "" {
		c.printf("last drill %s\n", p.TestedAt)
	}
	for _, v := range p.Vars {
		c.printf("variable %s  %s", v.Name, v.Description)
		if v.Default != "" {
			c.printf(" (default %s)", v.Default)
		}
		c.printf("\n")
	}
	if g := p.StopGap; g != nil {
		then := "if nobody decides it stands on, overdue"
		if g.Then == playbook.Lapse {
			then = "if nobody decides it ends"
		}
		c.printf("stop-gap, for %s; %s\n", g.For, then)
		for i := range g.Corrections {
			c.printf("  %s\n", playbook.CorrectionWords(&g.Corrections[i]))
		}
	}
	rows := [][]string{{"STEP", "WHAT", "AFTER", "WHO"}}
	for i := range p.Steps {
		s := &p.Steps[i]
		after := strings.Join(p.After(i), ", ")
		if s.If != nil {
			after += " (if " + strings.Join(s.If.Is, " or ") + ")"
		}
		rows = append(rows, []string{c.cut(s.Name, 24), c.cut(s.Words(), 48), c.cut(dash(after), 26), c.cut(s.Taker(), 18)})
	}
	if len(p.Steps) > 0 {
		table(c.Stdout, rows)
	}
	for i, e := range p.Exit {
		c.printf("over when (%d)  %s\n", i+1, e)
	}
}

func (c *command) playbookRunCmd() *cobra.Command {
	var a asked
	var file string
	cmd := &cobra.Command{
		Use: "run NAME --reason TEXT", Short: "Carry out a playbook: what needs nobody's yes is applied at once",
		Long: `Carry out a playbook of the plan in force, as it stands now: a later plan changes
nothing about it. Corrections that ask for no confirmation are applied at once, in
your name and by your authority; everything else waits for people or for the clock.`,
		Example: `  andon playbook run jailbreak --reason "phrase seen in three orgs" --incident inc-7
  andon playbook run --file mine.yaml --reason "nothing in the plan fits"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := a.body()
			if err != nil {
				return err
			}
			if (len(args) == 1) == (file != "") {
				return usagef("andon playbook run NAME, or --file FILE", "give the name of a playbook, or a file with one")
			}
			if file != "" {
				if body["inline"], err = readPlaybook(file); err != nil {
					return err
				}
			} else {
				body["playbook"] = args[0]
			}
			return c.postRun(cmd, "/runs", body)
		},
	}
	a.add(cmd)
	cmd.Flags().StringVar(&file, "file", "", "a playbook that is not in the plan, as YAML or JSON")
	return cmd
}

// readPlaybook reads one playbook from a file, strictly.
func readPlaybook(file string) (jsontext.Value, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > playbook.MaxSize {
		return nil, usagef("a smaller file", "%s has %d bytes; at most %d", file, info.Size(), playbook.MaxSize)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	var p playbook.Playbook
	if err := json.Unmarshal(data, &p, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return data, nil
}

func (c *command) playbookGapCmd() *cobra.Command {
	var a asked
	cmd := &cobra.Command{
		Use: "stop-gap NAME --reason TEXT", Short: "Apply the whole stop-gap of a playbook, at once and for a while",
		Long: `Apply every correction of a playbook's stop-gap in one transaction: all of them or
none. It buys time for a decision: within the time that the playbook says, people
extend it, replace it by the ladder, or let it lapse (andon runs decide). It alarms
when half of the time and when 15 minutes are left. If nobody decides it stands on,
overdue, and its end is moved on a day at a time; it ends by itself if the playbook
says "then: lapse", and, should the control plane be away, a day after the deadline.`,
		Example: `  andon playbook stop-gap jailbreak --reason "phrase seen in three orgs"`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := a.body()
			if err != nil {
				return err
			}
			return c.postRun(cmd, "/playbooks/"+url.PathEscape(args[0])+"/stop-gap", body)
		},
	}
	a.add(cmd)
	return cmd
}

func (c *command) playbookImportCmd() *cobra.Command {
	var trust []string
	var out string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Read a CACAO 2.0 playbook and write it as YAML for the plan; nothing is put in force",
		Long: `Read an OASIS CACAO 2.0 playbook, verify its signatures, and write it as a part of
a plan. Nothing of it is run, and nothing is put in force: that takes a plan that is
applied. Corrections are taken over where they can be, and ask for somebody's
confirmation; every other command becomes a task for a person, with its text shown.`,
		Example: "  andon playbook import isolate.json --trust andon-ed25519:… --out plan/isolate.yaml",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := readBounded(args[0], 4<<20)
			if err != nil {
				return err
			}
			if !jsontext.Value(doc).IsValid() {
				return usagef("a file that holds one JSON document", "%s is not JSON, or has a name twice", args[0])
			}
			body := map[string]any{"document": jsontext.Value(doc)}
			if len(trust) > 0 {
				body["trust"] = trust
			}
			return send(c, cmd, http.MethodPost, "/cacao", body, func(v *imported) error { return c.printImport(v, out) })
		},
	}
	cmd.Flags().StringArrayVar(&trust, "trust", nil, "public key whose signature counts, beside the control plane's own")
	cmd.Flags().StringVar(&out, "out", "", "file to write; default: print it")
	return cmd
}

func readBounded(file string, most int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, usagef("a smaller file", "%s has %d bytes; at most %d", file, info.Size(), most)
	}
	return os.ReadFile(file)
}

// imported is a playbook that was read from another form.
type imported struct {
	Playbook   jsontext.Value `json:"playbook"`
	Own        bool           `json:"own"`
	Notes      []string       `json:"notes"`
	Signatures []struct {
		By      string `json:"by"`
		Key     string `json:"key"`
		Trusted bool   `json:"trusted"`
		At      string `json:"at"`
	} `json:"signatures"`
	Faults []playbook.Fault `json:"faults"`
}

func (c *command) printImport(v *imported, out string) error {
	text, err := yaml.JSONToYAML([]byte(`{"playbooks":[` + string(v.Playbook) + `]}`))
	if err != nil {
		return fmt.Errorf("write the playbook: %w", err)
	}
	w := clean(c.Stderr)
	if len(v.Signatures) == 0 {
		fmt.Fprintf(w, "nobody has signed it: look at where it comes from\n")
	}
	for _, s := range v.Signatures {
		word := "a key that is not known here; --trust it if it should be"
		if s.Trusted {
			word = "a trusted key"
		}
		fmt.Fprintf(w, "signed by %q at %s, with %s: %s\n", shorten(s.By, 80), s.At, word, s.Key)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, f := range v.Faults {
		fmt.Fprintf(w, "warning: %s: %s\n", f.Field, f.Detail)
	}
	if out == "" {
		_, err := clean(c.Stdout).Write(text)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write the playbook: %w", err)
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the playbook: %w", err)
	}
	c.printf("written to %s; it is in force once it is in the plan: andon plan diff, andon plan apply\n", out)
	return nil
}

func (c *command) playbookExportCmd() *cobra.Command {
	var asCACAO bool
	cmd := &cobra.Command{
		Use: "export NAME --cacao", Short: "Write a playbook as OASIS CACAO 2.0, signed with the key that signs orders", Args: exactly(1),
		Example: "  andon playbook export jailbreak --cacao > jailbreak.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !asCACAO {
				return usagef("--cacao", "say in which form: --cacao is the one there is")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			var raw jsontext.Value
			if err := cl.do(cmd.Context(), http.MethodGet, "/playbooks/"+url.PathEscape(args[0])+"/cacao", nil, nil, &raw); err != nil {
				return err
			}
			if c.Terminal {
				if err := raw.Indent(); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(c.Stdout, "%s\n", raw)
			return err
		},
	}
	cmd.Flags().BoolVar(&asCACAO, "cacao", false, "as OASIS CACAO 2.0")
	return cmd
}

func (c *command) playbookSimulateCmd() *cobra.Command {
	var at, incident string
	var vars, choose []string
	cmd := &cobra.Command{
		Use: "simulate NAME", Short: "Walk a playbook through with a clock of its own; nothing is applied",
		Long: `Walk a playbook through: what each step would apply, whom it would reach (as a
preview says), who is needed, when it could be through at the earliest and at the
latest, and which steps would be refused as things are and by your authority.
Decisions fall to their default unless --choose says what is decided.`,
		Example: `  andon playbook simulate jailbreak --var orgs=acme --choose "widen=no" --at 2026-11-29T03:00:00Z`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if at != "" {
				t, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return usagef("--at 2026-11-29T03:00:00Z", "--at %s is not a time", at)
				}
				body["at"] = t
			}
			if incident != "" {
				body["incident"] = incident
			}
			for _, f := range []struct {
				flag, field string
				list        []string
			}{{"var", "vars", vars}, {"choose", "choices", choose}} {
				m, err := pairs(f.flag, f.list)
				if err != nil {
					return err
				}
				if m != nil {
					body[f.field] = m
				}
			}
			return send(c, cmd, http.MethodPost, "/playbooks/"+url.PathEscape(args[0])+"/simulate", body, c.printSimulation)
		},
	}
	f := cmd.Flags()
	f.StringVar(&at, "at", "", "when it would begin (default now)")
	f.StringVar(&incident, "incident", "", "incident that it would belong to")
	f.StringArrayVar(&vars, "var", nil, "value of a variable, NAME=VALUE")
	f.StringArrayVar(&choose, "choose", nil, "what is decided in a step, STEP=OPTION")
	return cmd
}
