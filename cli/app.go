package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/correction"
)

// registeredApp is an application, and what it is for.
type registeredApp struct {
	Name         string    `json:"name"`
	UseCases     []string  `json:"use_cases"`
	Keys         int       `json:"keys"`
	RegisteredAt time.Time `json:"registered_at"`
	RegisteredBy string    `json:"registered_by"`
	Pending      []string  `json:"pending,omitempty"` // points that do not have it yet
}

func (c *command) appsCmd() *cobra.Command {
	return group("apps", "Applications, and what they are for", c.appsRegisterCmd(), c.appsListCmd(), c.appsRemoveCmd())
}

func (c *command) appsRegisterCmd() *cobra.Command {
	var uses []string
	var reason, wait string
	cmd := &cobra.Command{
		Use: "register NAME --use-case NODE --reason TEXT", Short: "Say what an application is for; it holds for every key with the attribute app=NAME",
		Example: `  andon apps register reader --use-case medical --reason "as agreed with acme"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("andon apps register reader …", "exactly one application is needed")
			}
			if len(uses) == 0 {
				return usagef("--use-case medical", "it does not say what the application is for")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "as agreed"`, "a reason is required")
			}
			cl, limit, err := c.waiter(wait)
			if err != nil {
				return err
			}
			sent := time.Now()
			var a registeredApp
			if err := cl.do(cmd.Context(), http.MethodPut, "/apps/"+url.PathEscape(args[0]), nil, map[string]any{"use_cases": uses, "reason": reason}, &a); err != nil {
				return err
			}
			if c.output != "json" {
				c.printf("%s  %s  %s\n", a.Name, strings.Join(a.UseCases, " "), plural(int64(a.Keys), "key"))
				c.unknownUses(a.UseCases)
			}
			a.Pending, err = c.everywhere(cmd.Context(), cl, a.Name, sent, limit)
			if c.output == "json" {
				return errors.Join(c.json(a), err)
			}
			c.printf("undo: andon apps remove %s --reason …\n", a.Name)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&uses, "use-case", nil, "what it is for (required); andon use-cases lists the taxonomy")
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	addWait(cmd, &wait)
	return cmd
}

func (c *command) appsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The registered applications", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/apps", "apps", "", []string{"NAME", "USE CASES", "KEYS", "REGISTERED BY"}, func(a *registeredApp) []string {
				return []string{a.Name, strings.Join(a.UseCases, " "), strconv.Itoa(a.Keys), c.person(a.RegisteredBy)}
			})
		},
	}
}

func (c *command) appsRemoveCmd() *cobra.Command {
	var reason, wait string
	cmd := &cobra.Command{
		Use: "remove NAME --reason TEXT", Short: "Take the registration of an application away; its keys stay",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("andon apps list shows the names", "exactly one application is needed")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "it was withdrawn"`, "a reason is required")
			}
			cl, limit, err := c.waiter(wait)
			if err != nil {
				return err
			}
			sent := time.Now()
			if err := cl.do(cmd.Context(), http.MethodDelete, "/apps/"+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, nil, nil); err != nil {
				return err
			}
			if c.output != "json" {
				c.printf("%s removed\n", args[0])
			}
			pending, err := c.everywhere(cmd.Context(), cl, "the removal of "+args[0], sent, limit)
			if c.output == "json" {
				return errors.Join(c.json(struct {
					Name    string   `json:"name"`
					State   string   `json:"state"`
					Pending []string `json:"pending,omitempty"`
				}{args[0], "removed", pending}), err)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	addWait(cmd, &wait)
	return cmd
}

// unknownUses warns of declared uses that no prohibition of the taxonomy reaches.
func (c *command) unknownUses(uses []string) {
	for _, u := range uses {
		if !correction.KnownUse(u) {
			c.printf("warning: %q is not in the taxonomy; a prohibition reaches it only by this name or one above it (andon use-cases)\n", u)
		}
	}
}
