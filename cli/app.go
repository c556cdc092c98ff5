package cli

import (
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
}

func (c *command) appsCmd() *cobra.Command {
	return group("apps", "Applications, and what they are for", c.appsRegisterCmd(), c.appsListCmd(), c.appsRemoveCmd())
}

func (c *command) appsRegisterCmd() *cobra.Command {
	var uses []string
	var reason string
	cmd := &cobra.Command{
		Use: "register NAME --use-case NODE --reason TEXT", Short: "Say what an application is for; it holds for every key with the attribute app=NAME",
		Example: `  andon apps register reader --use-case education/tutoring --reason "as agreed with acme"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("andon apps register reader …", "exactly one application is needed")
			}
			if len(uses) == 0 {
				return usagef("--use-case education/tutoring", "it does not say what the application is for")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "as agreed"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPut, "/apps/"+url.PathEscape(args[0]), map[string]any{"use_cases": uses, "reason": reason}, func(a *registeredApp) error {
				c.printf("%s  %s  %s\n", a.Name, strings.Join(a.UseCases, " "), plural(int64(a.Keys), "key"))
				c.unknownUses(a.UseCases)
				c.printf("undo: andon apps remove %s --reason …\n", a.Name)
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&uses, "use-case", nil, "what it is for (required); andon use-cases lists the taxonomy")
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) appsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The registered applications", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/apps", "apps", "", []string{"NAME", "USE CASES", "KEYS", "REGISTERED BY"}, func(a *registeredApp) []string {
				return []string{a.Name, strings.Join(a.UseCases, " "), strconv.Itoa(a.Keys), a.RegisteredBy}
			})
		},
	}
}

func (c *command) appsRemoveCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "remove NAME --reason TEXT", Short: "Take the registration of an application away; its keys stay",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("andon apps list shows the names", "exactly one application is needed")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "it was withdrawn"`, "a reason is required")
			}
			return c.done(cmd, http.MethodDelete, "/apps/"+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, map[string]string{"name": args[0], "state": "removed"}, args[0] + " removed")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
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
