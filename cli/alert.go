package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// alertEndpoint is where alerts are sent, as the control plane shows it.
type alertEndpoint struct {
	Name   string   `json:"name"`
	Host   string   `json:"host"`
	Events []string `json:"events"`
	State  string   `json:"state"`
	Last   *struct {
		Entry uint64    `json:"entry"`
		Type  string    `json:"type"`
		At    time.Time `json:"at"`
	} `json:"last_delivered,omitempty"`
	Failing time.Time `json:"failing_since,omitzero"`
	Error   string    `json:"error,omitempty"`
	Tries   int       `json:"tries,omitempty"`
	Next    time.Time `json:"next_try_at,omitzero"`
	Waiting int       `json:"waiting"`
	More    bool      `json:"more,omitempty"`
	GivenUp int       `json:"given_up,omitempty"`
}

// onCall is who is on call.
type onCall struct {
	At      time.Time `json:"at"`
	Plan    int       `json:"plan_version,omitempty"`
	Rosters []struct {
		Name     string    `json:"name"`
		Team     string    `json:"team"`
		Role     string    `json:"role"`
		TimeZone string    `json:"time_zone"`
		OnCall   []string  `json:"on_call"`
		Until    time.Time `json:"until,omitzero"`
		Then     []string  `json:"then"`
		Trouble  string    `json:"trouble,omitempty"`
	} `json:"rosters"`
	Gaps   []onCallGap `json:"gaps"`
	People []struct {
		Name    string `json:"name"`
		Roster  string `json:"roster"`
		Now     bool   `json:"now"`
		Trouble string `json:"trouble"`
	} `json:"people"`
}

type onCallGap struct {
	Duty    string    `json:"duty"`
	Whom    string    `json:"whom"`
	Rosters []string  `json:"rosters"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Now     bool      `json:"now"`
}

func (c *command) alertCmds() []*cobra.Command {
	cmd := group("alerts", "Who is told of alarms and of every pull of the cord", c.alertsListCmd(), c.alertsTestCmd())
	cmd.Long = "Endpoints are configured (control.alerts: url, secret, events) and sent Standard Webhooks 1.0: at least once, in order, also after a crash.\nA receiver to try it with: andon sim sink"
	return []*cobra.Command{cmd, c.onCallCmd()}
}

func (c *command) alertsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The endpoints, and how each does", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/alerts", "alerts", "nobody is told: no endpoint is configured (control.alerts)", []string{"NAME", "STATE", "WAITING", "LAST DELIVERED", "EVENTS", "NOTE"}, func(e *alertEndpoint) []string {
				last, waiting, events := "-", fmt.Sprint(e.Waiting), strings.Join(e.Events, " ")
				if e.Last != nil {
					last = fmt.Sprintf("entry %d, %s", e.Last.Entry, until(e.Last.At, c.Now()))
				}
				if e.More {
					waiting += "+"
				}
				if len(e.Events) >= 9 {
					events = "all"
				}
				note := e.Error
				if e.State == "failing" {
					note = fmt.Sprintf("since %s, next %s: %s", until(e.Failing, c.Now()), until(e.Next, c.Now()), e.Error)
				}
				return []string{e.Name, e.State, waiting, last, c.cut(events, 30), c.cut(note, 200)}
			})
		},
	}
}

func (c *command) alertsTestCmd() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send an endpoint a test, and say what came of it", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var got struct {
				Name      string  `json:"name"`
				Delivered bool    `json:"delivered"`
				Status    int     `json:"status,omitempty"`
				Error     string  `json:"error,omitempty"`
				TookMS    float64 `json:"took_ms"`
				Enabled   bool    `json:"enabled,omitempty"`
			}
			if err := cl.do(cmd.Context(), http.MethodPost, "/alerts/"+url.PathEscape(args[0])+"/test", nil, nil, &got); err != nil {
				return err
			}
			if c.output == "json" {
				err = c.json(got)
			} else if got.Delivered {
				c.printf("%s  took the test (HTTP %d) after %s; look whether somebody noticed\n", got.Name, got.Status, span(time.Duration(got.TookMS*float64(time.Millisecond))))
				if got.Enabled {
					c.printf("it was disabled, and is on again\n")
				}
			} else {
				c.printf("%s  did NOT take the test: %s\n", got.Name, got.Error)
			}
			if err == nil && !got.Delivered {
				return &reported{exitFailed, got.Error}
			}
			return err
		},
	}
}

func (c *command) onCallCmd() *cobra.Command {
	return &cobra.Command{
		Use: "on-call", Short: "Who is on call now, who follows, and when nobody is", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(c, cmd, "/on-call", func(o *onCall) error {
				c.printOnCall(o)
				return nil
			})
		},
	}
}

func (c *command) printOnCall(o *onCall) {
	switch {
	case o.Plan == 0:
		c.printf("there is no plan in force, so there are no rosters: andon plan init, andon plan apply\n")
		return
	case len(o.Rosters) == 0:
		c.printf("the plan in force has no rosters\n")
		return
	}
	now := c.Now()
	rows := [][]string{{"ROSTER", "ROLE", "ON CALL", "UNTIL", "THEN"}}
	for _, r := range o.Rosters {
		on, change := strings.Join(r.OnCall, ", "), "-"
		if on == "" {
			on = "NOBODY"
		}
		if !r.Until.IsZero() {
			change = r.Until.UTC().Format("Mon 15:04 UTC") + " (" + until(r.Until, now) + ")"
		}
		then := strings.Join(r.Then, ", ")
		if then == "" && !r.Until.IsZero() {
			then = "nobody"
		}
		if r.Trouble != "" {
			on, change, then = "?", "-", r.Trouble
		}
		rows = append(rows, []string{r.Name, r.Role, c.cut(on, 30), change, c.cut(then, 30)})
	}
	table(c.Stdout, rows)
	for _, g := range o.Gaps {
		c.printf("GAP  %s\n", g.words(now))
	}
	for _, p := range o.People {
		where := "on roster " + p.Roster
		if p.Now {
			where = "ON CALL NOW on " + p.Roster
		}
		c.printf("%s (%s) %s\n", p.Name, where, p.Trouble)
	}
	if len(o.Gaps) > 0 {
		c.printf("close it: change the rosters of the plan, then andon plan apply\n")
	}
}

// words is a gap in a line.
func (g *onCallGap) words(now time.Time) string {
	to := g.To.UTC().Format("Mon 15:04 UTC")
	if g.Now {
		return fmt.Sprintf("%s is on call NOW, until %s", g.Whom, to)
	}
	return fmt.Sprintf("%s is on call from %s (%s) to %s", g.Whom, g.From.UTC().Format("Mon 2006-01-02 15:04"), until(g.From, now), to)
}

func (c *command) simSinkCmd() *cobra.Command {
	var listen, secret string
	cmd := &cobra.Command{
		Use: "sink", Short: "A simulated receiver of webhooks (Standard Webhooks 1.0)", Args: cobra.NoArgs,
		Long:    "A simulated receiver of webhooks (Standard Webhooks 1.0). It verifies signatures and lists what it got at GET /_sink/requests;\nPOST /_sink/answer {\"status\":429,\"retry_after\":\"2\",\"delay_ms\":0,\"times\":3} makes it fail. It forgets all when it ends.",
		Example: "  andon sim sink --listen 127.0.0.1:8085",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if secret == "" {
				secret = c.env("ANDON_SINK_SECRET")
			}
			return c.Daemons.Sink(cmd.Context(), listen, secret, c.Stdout)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8085", "address")
	cmd.Flags().StringVar(&secret, "secret", "", "whsec_ and 24 to 64 bytes in base64 (ANDON_SINK_SECRET); default: one is made")
	return cmd
}
