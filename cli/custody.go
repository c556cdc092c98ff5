package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/correction"
)

// custodyCase is a case as the control plane shows it.
type custodyCase struct {
	ID         string              `json:"id"`
	Level      string              `json:"level"`
	Models     []string            `json:"models"`
	Reason     string              `json:"reason"`
	LegalBasis string              `json:"legal_basis"`
	Quorum     int                 `json:"quorum"`
	CoolingOff correction.Duration `json:"cooling_off"`
	Exercise   bool                `json:"exercise"`
	State      string              `json:"state"`
	Correction string              `json:"correction"`
	OpenedAt   time.Time           `json:"opened_at"`
	OpenedBy   string              `json:"opened_by"`
	Copies     []struct {
		ID        string `json:"id"`
		Kind      string `json:"kind"`
		Location  string `json:"location"`
		Holder    string `json:"holder"`
		Digest    string `json:"digest"`
		Status    string `json:"status"`
		Seal      string `json:"seal"`
		Custodian string `json:"custodian"`
		Destroyed *struct {
			By      string `json:"by"`
			Witness string `json:"witness"`
		} `json:"destroyed"`
	} `json:"copies"`
	Transfers []struct {
		ID         string    `json:"id"`
		Copy       string    `json:"copy"`
		From       string    `json:"from"`
		To         string    `json:"to"`
		AcceptedAt time.Time `json:"accepted_at"`
	} `json:"transfers"`
	Credentials []struct {
		Name        string    `json:"name"`
		WithdrawnAt time.Time `json:"withdrawn_at"`
	} `json:"credentials"`
	Motion *struct {
		Action    string `json:"action"`
		By        string `json:"by"`
		Approvals []struct {
			By     string `json:"by"`
			Counts bool   `json:"counts"`
			Note   string `json:"note"`
		} `json:"approvals"`
	} `json:"motion"`
	CoolsUntil time.Time `json:"cools_until"`
	Missing    []string  `json:"missing"`
}

func (c *command) custodyCmd() *cobra.Command {
	cmd := group("custody", "Seal or destroy a model (L5, L6), by a quorum and with a record", c.custodyOpenCmd(), c.custodyListCmd(), c.custodyShowCmd())
	cmd.Long = `Seal or destroy a model. One person opens a case, and the model is stopped at once (L4).
To seal it (L5):
  copy, inventory       list every copy, and declare that these are all
  transfer, accept      put each under seal, signed by who gives and who takes
  credential            withdraw what it can be called and fetched with
  approve CASE seal     by a quorum of operators other than who proposed
  seal
To destroy it (L6), once it is sealed:
  propose CASE destroy, legal-hold, approve CASE destroy, then the cooling-off time
  destroy, witness      each copy, with a witness who is somebody else
  close, certificate
"andon custody show CASE" says what the next step lacks. A step out of order is refused.`
	for i := range custodyVerbs {
		cmd.AddCommand(c.custodyStepCmd(&custodyVerbs[i]))
	}
	cmd.AddCommand(c.custodyCertificateCmd(), c.custodyVerifyCmd())
	return cmd
}

// custodyFlag is one field of a step, as a flag.
type custodyFlag struct {
	name, field, help string
	required          bool
}

var custodyReason = custodyFlag{"reason", "reason", "why", true}

// custodyVerb is one step on a case.
type custodyVerb struct {
	use, short, example string
	args                []string // beside the case: fields of the body, "" for one of the path
	path                string   // below the case; %s is an argument
	flags               []custodyFlag
	lists               []custodyFlag // of several values
	bools               []custodyFlag
}

var custodyVerbs = []custodyVerb{
	{use: "copy CASE --kind weights --location … --holder … --digest sha256:…", short: "List a copy of the model", path: "copies",
		example: `  andon custody copy case-1 --kind backup --location "tape 7" --holder acme --digest sha256:…`,
		flags: []custodyFlag{{"kind", "kind", "weights, checkpoint, replica, backup or partner", true}, {"location", "location", "where it is", true},
			{"holder", "holder", "who has it", true}, {"digest", "digest", "SHA-256 of its content, sha256:…", true}}},
	{use: "inventory CASE --none partner,… --statement TEXT", short: "Declare that every copy is listed", path: "inventory",
		flags: []custodyFlag{{"statement", "statement", "what you answer for", true}},
		lists: []custodyFlag{{"none", "none", "kinds of which there is no copy", false}}},
	{use: "transfer CASE COPY --to OPERATOR --holder … --location … --seal …", short: "Hand a copy over to another operator, under seal", path: "transfers", args: []string{"copy"},
		flags: []custodyFlag{{"to", "to", "id of the operator who takes it", true}, {"holder", "holder", "who has it from then on", true},
			{"location", "location", "where it is from then on", true}, {"seal", "seal", "what seals it: number of a seal, id of a key", true}}},
	{use: "accept CASE TRANSFER --digest sha256:…", short: "Take a copy over", path: "transfers/%s/accept", args: []string{""},
		flags: []custodyFlag{{"digest", "digest", "SHA-256 of what you received", true}}},
	{use: "credential CASE NAME [--withdrawn --evidence TEXT]", short: "List a credential of the model, or record that it was withdrawn", path: "credentials", args: []string{"name"},
		flags: []custodyFlag{{"evidence", "evidence", "what shows it", false}}, bools: []custodyFlag{{"withdrawn", "withdrawn", "it is withdrawn", false}}},
	{use: "propose CASE seal|unseal|destroy --reason TEXT", short: "Propose what takes a quorum, instead of what was proposed", path: "propose", args: []string{"action"}, flags: []custodyFlag{custodyReason}},
	{use: "approve CASE seal|unseal|destroy --reason TEXT", short: "Approve what somebody else proposed", path: "approve", args: []string{"action"}, flags: []custodyFlag{custodyReason}},
	{use: "withdraw CASE --reason TEXT", short: "Take back what was proposed; an open case ends, and its stop is lifted", path: "withdraw", flags: []custodyFlag{custodyReason}},
	{use: "seal CASE --reason TEXT", short: "Seal the model (L5)", path: "seal", flags: []custodyFlag{custodyReason}},
	{use: "unseal CASE --reason TEXT", short: "Give a sealed model back, once a quorum has approved", path: "unseal", flags: []custodyFlag{custodyReason}},
	{use: "legal-hold CASE --clear|--held --checked-by NAME --reference TEXT", short: "Record whether anybody has to keep the model", path: "legal-hold",
		flags: []custodyFlag{{"checked-by", "checked_by", "name of who looked", true}, {"reference", "reference", "where the answer is", true}},
		bools: []custodyFlag{{"clear", "clear", "nobody has to keep it", false}, {"held", "held", "it has to be kept", false}}},
	{use: "destroy CASE COPY --method TEXT", short: "Record that a copy was destroyed", path: "copies/%s/destroy", args: []string{""},
		flags: []custodyFlag{{"method", "method", "how", true}, {"evidence", "evidence", "what shows it", false}}},
	{use: "witness CASE COPY --statement TEXT", short: "Bear witness to a destruction by somebody else", path: "copies/%s/witness", args: []string{""},
		flags: []custodyFlag{{"statement", "statement", "what you saw", true}}},
	{use: "close CASE --reason TEXT", short: "Close the case: every copy is destroyed (L6)", path: "destroyed", flags: []custodyFlag{custodyReason}},
}

func (c *command) custodyStepCmd(v *custodyVerb) *cobra.Command {
	texts, lists, bools := make([]string, len(v.flags)), make([][]string, len(v.lists)), make([]bool, len(v.bools))
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Example: v.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1+len(v.args) {
				return usagef("andon custody "+v.use, "%s needed, %d given", plural(int64(1+len(v.args)), "argument"), len(args))
			}
			body, path := map[string]any{}, v.path
			for i, field := range v.args {
				if field == "" {
					path = fmt.Sprintf(path, url.PathEscape(args[i+1]))
				} else {
					body[field] = args[i+1]
				}
			}
			for i, f := range v.flags {
				if texts[i] == "" && f.required {
					return usagef("--"+f.name+" TEXT", "it does not say %s: --%s is missing", f.help, f.name)
				}
				if texts[i] != "" {
					body[f.field] = texts[i]
				}
			}
			for i, f := range v.lists {
				if len(lists[i]) > 0 {
					body[f.field] = lists[i]
				}
			}
			for i, f := range v.bools {
				if bools[i] {
					body[f.field] = true
				}
			}
			if v.path == "legal-hold" {
				held, clear := body["held"] != nil, body["clear"] != nil
				if held == clear {
					return usagef("--clear, or --held", "it does not say what the answer is")
				}
				delete(body, "held")
				body["clear"] = clear
			}
			return send(c, cmd, http.MethodPost, "/custody/"+url.PathEscape(args[0])+"/"+path, body, c.printCase)
		},
	}
	for i, f := range v.flags {
		cmd.Flags().StringVar(&texts[i], f.name, "", f.help)
	}
	for i, f := range v.lists {
		cmd.Flags().StringSliceVar(&lists[i], f.name, nil, f.help)
	}
	for i, f := range v.bools {
		cmd.Flags().BoolVar(&bools[i], f.name, false, f.help)
	}
	return cmd
}

func (c *command) custodyOpenCmd() *cobra.Command {
	var level, reason, basis, public, fallback, cooling, wait string
	var quorum int
	var exercise, yes bool
	cmd := &cobra.Command{
		Use: "open MODEL… --level L5|L6 --reason TEXT --legal-basis TEXT", Short: "Open a case; the model is stopped at once (L4)",
		Example: `  andon custody open sim-large --level L5 --reason "weights were stolen" --legal-basis "board decision 12"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var models []string
			for _, a := range args {
				models = append(models, strings.Split(a, ",")...)
			}
			if len(models) == 0 {
				return usagef("andon custody open sim-large …", "it does not say which model")
			}
			for _, f := range []struct{ flag, value string }{{"reason", reason}, {"legal-basis", basis}} {
				if strings.TrimSpace(f.value) == "" {
					return usagef("--"+f.flag+" TEXT", "--%s is required", f.flag)
				}
			}
			body := map[string]any{"level": stopLevel(level), "models": models, "reason": reason, "legal_basis": basis}
			for field, value := range map[string]string{"public_reason": public, "fallback": fallback, "cooling_off": cooling} {
				if value != "" {
					body[field] = value
				}
			}
			if cooling != "" {
				if _, err := correction.ParseDuration(cooling); err != nil {
					return usagef("--cooling-off 72h", "--cooling-off: %v", err)
				}
			}
			if cmd.Flags().Changed("quorum") {
				body["quorum"] = quorum
			}
			if exercise {
				body["exercise"] = true
			}
			cl, until, err := c.waiter(wait)
			if err != nil {
				return err
			}
			if c.Interactive && !yes && !exercise && c.output != "json" && !c.confirm("this stops "+strings.Join(models, ", ")+" everywhere, at once. Go on?") {
				c.printf("nothing was done\n")
				return &reported{exitFailed, "not confirmed"}
			}
			sent := time.Now()
			var raw jsontext.Value
			if err := cl.do(cmd.Context(), http.MethodPost, "/custody", nil, body, &raw); err != nil {
				return err
			}
			var k custodyCase
			if err := json.Unmarshal(raw, &k); err != nil {
				return fmt.Errorf("read the case: %w", err)
			}
			if c.output == "json" {
				return c.json(raw)
			}
			result := c.settle(cmd.Context(), cl, k.Correction, sent, until, outcome{what: "stop L4: model " + strings.Join(models, ", "), undo: "andon custody withdraw " + k.ID + ` --reason "…"`})
			c.printf("\n")
			if err := c.printCase(&k); err != nil {
				return err
			}
			return result
		},
	}
	f := cmd.Flags()
	f.StringVar(&level, "level", "L5", "how far it is meant to go: L5 or L6")
	f.StringVar(&reason, "reason", "", "why, for operators and the record (required)")
	f.StringVar(&basis, "legal-basis", "", "what it rests on: a decision, an order (required)")
	f.StringVar(&public, "public-reason", "", "why, for callers")
	f.StringVar(&fallback, "fallback", "", "model to serve instead, or none")
	f.IntVar(&quorum, "quorum", 2, "operators who have to approve, beside who proposes; at least 2")
	f.StringVar(&cooling, "cooling-off", "", "between the quorum and the first destruction (default 72h; at least 1h)")
	f.BoolVar(&exercise, "exercise", false, "refuse nobody: practise the steps")
	f.BoolVar(&yes, "yes", false, "ask nothing")
	addWait(cmd, &wait)
	return cmd
}

func (c *command) custodyListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "All cases", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/custody", "cases", "", []string{"ID", "STATE", "LEVEL", "MODELS", "CORRECTION", "OPENED", "BY"}, func(k *custodyCase) []string {
				return []string{k.ID, k.State, k.Level, strings.Join(k.Models, " "), k.Correction, until(k.OpenedAt, c.Now()), c.person(k.OpenedBy)}
			})
		},
	}
}

func (c *command) custodyShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show CASE", Short: "One case, with what its next step lacks", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/custody/"+url.PathEscape(args[0]), c.printCase)
		},
	}
}

// printCase prints a case.
func (c *command) printCase(k *custodyCase) error {
	exercise := ""
	if k.Exercise {
		exercise = "  (exercise: refuses nobody)"
	}
	c.printf("%s  %s  %s  %s  by %s%s\n%s; %s\n", k.ID, k.State, k.Level, strings.Join(k.Models, " "), k.Correction, exercise, k.Reason, k.LegalBasis)
	if len(k.Copies) > 0 {
		rows := [][]string{{"COPY", "KIND", "STATUS", "LOCATION", "HOLDER", "SEAL", "CUSTODIAN", "DESTROYED", "WITNESS"}}
		for _, m := range k.Copies {
			by, witness := "-", "-"
			if m.Destroyed != nil {
				by, witness = c.person(m.Destroyed.By), dash(c.person(m.Destroyed.Witness))
			}
			rows = append(rows, []string{m.ID, m.Kind, m.Status, c.cut(m.Location, 30), c.cut(m.Holder, 30), dash(c.cut(m.Seal, 20)), dash(c.person(m.Custodian)), by, witness})
		}
		table(c.Stdout, rows)
	}
	for _, t := range k.Transfers {
		if t.AcceptedAt.IsZero() {
			c.printf("offered: %s of %s from %s to %s\n", t.ID, t.Copy, t.From, t.To)
		}
	}
	for _, cr := range k.Credentials {
		state := "not withdrawn"
		if !cr.WithdrawnAt.IsZero() {
			state = "withdrawn"
		}
		c.printf("credential %s: %s\n", cr.Name, state)
	}
	if m := k.Motion; m != nil {
		yes := []string{}
		for _, a := range m.Approvals {
			if a.Counts {
				name := c.person(a.By)
				if a.Note != "" {
					name += " (" + c.named(a.Note) + ")"
				}
				yes = append(yes, name)
			}
		}
		c.printf("proposed: %s, by %s; %d of %d approvals: %s\n", m.Action, c.person(m.By), len(yes), k.Quorum, dash(strings.Join(yes, ", ")))
		if !k.CoolsUntil.IsZero() {
			c.printf("cooling off until %s (%s)\n", k.CoolsUntil.UTC().Format(time.RFC3339), until(k.CoolsUntil, c.Now()))
		}
	}
	for i, m := range k.Missing {
		if i == 0 {
			c.printf("missing before the next step:\n")
		}
		c.printf("  %s\n", m)
	}
	return nil
}

// writeNew writes a file that must not be there.
func writeNew(name string, data []byte) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}
