package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/plan"
)

// planVersion is a version of the plan, as the control plane shows it.
type planVersion struct {
	Version   int           `json:"version"`
	Org       string        `json:"org"`
	Digest    string        `json:"digest"`
	Previous  string        `json:"previous"`
	Reason    string        `json:"reason"`
	AppliedAt time.Time     `json:"applied_at"`
	AppliedBy string        `json:"applied_by"`
	InForce   bool          `json:"in_force"`
	Addresses string        `json:"addresses"`
	Plan      *plan.Plan    `json:"plan"`
	Changes   []plan.Change `json:"changes"`
	Warnings  []warning     `json:"warnings"`
	Unchanged bool          `json:"unchanged"`
}

func (c *command) planCmds() []*cobra.Command {
	return []*cobra.Command{group("plan", "What was decided ahead of time: threats, answers, authority, people", c.planInitCmd(), c.planDiffCmd(), c.planApplyCmd(),
		c.planShowCmd(), c.planVersionsCmd(), c.planSchemaCmd(), c.planCheckCmd(), c.planWaiveCmd(), c.planUnwaiveCmd(), c.planWaiversCmd())}
}

func (c *command) planInitCmd() *cobra.Command {
	var example string
	cmd := &cobra.Command{
		Use: "init DIR", Short: "Write a complete example of a plan, with the schema for editors", Args: exactly(1),
		Long: `Write a complete example of a plan into a folder, to be changed until it is
yours. company is a small company that buys models; frontier is a developer of
frontier models. Files that are there already are never written over.`,
		Example: "  andon plan init plan\n  andon plan init --example frontier plan",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(plan.Examples, example) {
				return usagef("--example company, or --example frontier", "there is no example %q", example)
			}
			files, err := plan.Example(example, c.Now())
			if err != nil {
				return err
			}
			dir := args[0]
			var names []string
			for name := range files {
				names = append(names, name)
			}
			slices.Sort(names)
			if err := vacant(dir); err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make %s: %w", dir, err)
			}
			for _, name := range names {
				if err := writeNew(filepath.Join(dir, name), files[name]); err != nil {
					return fmt.Errorf("write the example: %w", err)
				}
			}
			if c.output == "json" {
				return c.json(map[string]any{"dir": dir, "example": example, "files": names})
			}
			for _, name := range names {
				c.printf("%s\n", filepath.Join(dir, name))
			}
			c.printf("\nan example, with days counted from today: make it yours\nnext: andon plan diff %s, then andon plan apply %s --reason \"first plan\"\n", dir, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&example, "example", "company", "company, or frontier")
	return cmd
}

// vacant refuses a folder that holds a plan already: two plans in one folder are
// none.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	for _, e := range entries {
		if ext := strings.ToLower(filepath.Ext(e.Name())); ext == ".yaml" || ext == ".yml" || e.Name() == plan.SchemaFile {
			return &hinted{fmt.Errorf("%s is there already; nothing was written", filepath.Join(dir, e.Name())), "andon plan init in a folder without YAML files"}
		}
	}
	return nil
}

// loadPlan reads a plan's folder. Faults are printed, each with its place, and
// the error only sets the exit code.
func (c *command) loadPlan(dir string) (*plan.Plan, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, usagef("andon plan init "+dir+" writes an example", "open the plan's folder: %v", err)
	}
	defer root.Close()
	p, err := plan.Load(root.FS())
	var faults plan.Faults
	switch {
	case err == nil:
		return p, nil
	case !errors.As(err, &faults):
		return nil, usagef("andon plan init "+dir+" writes an example", "%s: %v", dir, err)
	}
	for i := range faults { // as an editor finds it from here
		if faults[i].File != "" {
			faults[i].File = filepath.Join(dir, filepath.FromSlash(faults[i].File))
		}
	}
	n := plural(int64(len(faults)), "fault")
	if c.output == "json" {
		b, err := json.Marshal(map[string]any{"error": map[string]any{"code": "plan_faulty", "detail": n + " in " + dir}, "faults": faults, "exit": exitUsage}, json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(c.Stderr, "%s\n", b)
		return nil, &reported{exitUsage, n}
	}
	w := clean(c.Stderr)
	for i := range faults {
		fmt.Fprintf(w, "%s\n", faults[i].Error())
	}
	fmt.Fprintf(w, "andon: %s in %s; nothing was done\n", n, dir)
	return nil, &reported{exitUsage, n}
}

// planInForce is the version in force; nil if there is none.
func (c *command) planInForce(cmd *cobra.Command, cl *client) (*planVersion, error) {
	var v planVersion
	err := cl.do(cmd.Context(), http.MethodGet, "/plan", nil, nil, &v)
	var p *problem
	if errors.As(err, &p) && p.Code == "no_plan" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// compared says what a plan changes of the one in force. Addresses that cannot be
// seen are compared on neither side.
func compared(old *planVersion, p *plan.Plan) (changes []plan.Change, replaces int) {
	if old == nil {
		return plan.Diff(nil, p), 0
	}
	if old.Addresses != "shown" {
		p = p.WithoutAddresses()
	}
	return plan.Diff(old.Plan, p), old.Version
}

func (c *command) planDiffCmd() *cobra.Command {
	return &cobra.Command{
		Use: "diff [DIR]", Short: "What a plan's folder would change of the plan in force", Args: cobra.MaximumNArgs(1),
		Long: `Compare a plan's folder (default: plan) with the plan in force, by what it
means: + is added, - is removed, ~ is changed. What asks, watches or answers for
less than before is marked LOOSENS; "acts" is what the rules of authority come to.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "plan"
			if len(args) == 1 {
				dir = args[0]
			}
			p, err := c.loadPlan(dir)
			if err != nil {
				return err
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			old, err := c.planInForce(cmd, cl)
			if err != nil {
				return err
			}
			changes, replaces := compared(old, p)
			if c.output == "json" {
				if changes == nil {
					changes = []plan.Change{}
				}
				return c.json(map[string]any{"replaces": replaces, "changes": changes})
			}
			c.printChanges(changes, replaces)
			if len(changes) > 0 {
				c.printf("\nput it in force: andon plan apply %s --replaces %d --reason \"…\"\n", dir, replaces)
			}
			return nil
		},
	}
}

func (c *command) printChanges(changes []plan.Change, replaces int) {
	if replaces == 0 {
		c.printf("no plan is in force; all of it is new:\n")
	} else if len(changes) == 0 {
		c.printf("nothing: version %d says the same\n", replaces)
		return
	}
	loosens := 0
	for i := range changes {
		c.printChange(&changes[i])
		if changes[i].Loosens != "" {
			loosens++
		}
	}
	if replaces > 0 {
		c.printf("\n%s to version %d; that loosen: %d\n", plural(int64(len(changes)), "change"), replaces, loosens)
	}
}

func (c *command) printChange(ch *plan.Change) {
	sign := map[string]string{plan.Added: "+", plan.Removed: "-", plan.Changed: "~"}[ch.What]
	what := ch.Section
	if ch.Name != "" {
		what += " " + ch.Name
	}
	if ch.Field != "" {
		what += ": " + ch.Field
	}
	switch {
	case ch.Old != "" && ch.New != "":
		what += "  " + ch.Old + " → " + ch.New
	case ch.New != "":
		what += "  " + ch.New
	case ch.Old != "":
		what += "  was " + ch.Old
	}
	c.printf("%s %s\n", sign, what)
	if ch.Loosens != "" {
		c.printf("    LOOSENS: %s\n", ch.Loosens)
	}
}

func (c *command) planApplyCmd() *cobra.Command {
	var reason string
	var replaces, version int
	var yes, glass bool
	cmd := &cobra.Command{
		Use: "apply DIR --reason TEXT", Short: "Put a plan in force, as a signed version in the record",
		Long: `Put a plan in force. It becomes a version in the record, whole, with who applied
it and why. Where the rules in force say so, others have to agree first. What is
in force already, corrections and all, stays as it is.

--replaces names the version that you have compared it with; if another one came
in between, nothing is done. --version puts an earlier version in force again.`,
		Example: "  andon plan apply plan --reason \"quarterly review\"\n  andon plan apply --version 3 --reason \"version 4 left out the night roster\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			again := cmd.Flags().Changed("version")
			if again == (len(args) == 1) {
				return usagef("andon plan apply DIR --reason …", "give a plan's folder, or an earlier version (--version 3)")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "quarterly review"`, "a reason is required")
			}
			var p *plan.Plan
			var err error
			if !again {
				if p, err = c.loadPlan(args[0]); err != nil {
					return err
				}
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			if again {
				var v planVersion
				if err := cl.do(cmd.Context(), http.MethodGet, "/plan/versions/"+strconv.Itoa(version), nil, nil, &v); err != nil {
					return err
				}
				if p = v.Plan; v.Addresses != "shown" && v.Addresses != "none" {
					return fmt.Errorf("the addresses of contacts in version %d are %s; apply it from its files", version, v.Addresses)
				}
			}
			old, err := c.planInForce(cmd, cl)
			if err != nil {
				return err
			}
			changes, seen := compared(old, p)
			if !cmd.Flags().Changed("replaces") {
				replaces = seen
			}
			if c.output != "json" {
				c.printChanges(changes, seen)
				if c.Interactive && !yes && len(changes) > 0 && !c.confirm("put it in force?") {
					c.printf("nothing was done\n")
					return &reported{exitFailed, "not confirmed"}
				}
			}
			return c.sendPlan(cmd, cl, p, replaces, reason, glass)
		},
	}
	f := cmd.Flags()
	f.StringVar(&reason, "reason", "", "why (required)")
	f.IntVar(&replaces, "replaces", 0, "the version that it was compared with (default: the one in force now)")
	f.IntVar(&version, "version", 0, "an earlier version, to put in force again")
	f.BoolVar(&yes, "yes", false, "ask nothing")
	addGlass(cmd, &glass)
	return cmd
}

func (c *command) sendPlan(cmd *cobra.Command, cl *client, p *plan.Plan, replaces int, reason string, glass bool) error {
	canonical, err := p.Canonical()
	if err != nil {
		return err
	}
	body := map[string]any{"plan": jsontext.Value(canonical), "replaces": replaces, "reason": reason, "files": p.FilesDigest()}
	var raw jsontext.Value
	if err := cl.do(cmd.Context(), http.MethodPost, "/plan"+glassQuery(glass), nil, body, &raw); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(raw)
	}
	var v planVersion
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	if v.Unchanged {
		c.printf("version %d is in force already and says the same; nothing was written\n", v.Version)
		return nil
	}
	c.printf("\nversion %d is in force  %s\n", v.Version, v.Digest)
	for _, w := range v.Warnings {
		c.printf("warning: %s: %s\n", w.Field, w.Detail)
	}
	if v.Version > 1 {
		c.printf("undo: andon plan apply --version %d --reason \"…\"\n", v.Version-1)
	}
	return nil
}

func (c *command) planVersionsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "versions", Short: "The versions of the plan, the latest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			all := []jsontext.Value{}
			query := url.Values{"limit": {"200"}}
			for {
				var page struct {
					Versions []jsontext.Value `json:"versions"`
					Next     int              `json:"next"`
				}
				if err := cl.do(cmd.Context(), http.MethodGet, "/plan/versions?"+query.Encode(), nil, nil, &page); err != nil {
					return err
				}
				all = append(all, page.Versions...)
				if page.Next == 0 {
					break
				}
				query.Set("before", strconv.Itoa(page.Next))
			}
			if c.output == "json" {
				return c.json(all)
			}
			rows := [][]string{{"VERSION", "APPLIED", "BY", "DIGEST", "REASON"}}
			for _, raw := range all {
				var v planVersion
				if err := json.Unmarshal(raw, &v); err != nil {
					return fmt.Errorf("read a version: %w", err)
				}
				rows = append(rows, []string{strconv.Itoa(v.Version), until(v.AppliedAt, c.Now()), c.person(v.AppliedBy), c.cut(v.Digest, 13), c.cut(v.Reason, 60)})
			}
			table(c.Stdout, rows)
			return nil
		},
	}
}

func (c *command) planSchemaCmd() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "The JSON Schema of a plan's files, for editors", Args: cobra.NoArgs,
		Long: "The JSON Schema of a plan's files. Editors that speak the YAML language server find\nit by a first line: # yaml-language-server: $schema=" + plan.SchemaFile,
		RunE: func(*cobra.Command, []string) error {
			_, err := c.Stdout.Write(plan.Schema())
			return err
		},
	}
}
