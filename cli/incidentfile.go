package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/incident"
)

func (c *command) incidentTimelineCmd() *cobra.Command {
	var all bool
	var after string
	cmd := &cobra.Command{
		Use: "timeline ID", Short: "What happened, entry by entry of the ledger; the last 50 unless --all", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			type entry struct {
				Seq        uint64    `json:"seq"`
				At         time.Time `json:"at"`
				Type       string    `json:"type"`
				Actor      string    `json:"actor"`
				Text       string    `json:"text"`
				Refs       []string  `json:"refs"`
				Incident   string    `json:"incident"`
				TLP        string    `json:"tlp"`
				Restricted bool      `json:"restricted"`
				Erased     bool      `json:"erased"`
				Commitment string    `json:"commitment"`
			}
			q := url.Values{"limit": {"50"}, "before": {strconv.FormatUint(1<<63, 10)}}
			if all || after != "" {
				q = url.Values{"limit": {"500"}}
				if after != "" {
					q.Set("after", after)
				}
			}
			for {
				var page struct {
					Entries []jsontext.Value `json:"entries"`
					After   *uint64          `json:"after"`
					Before  *uint64          `json:"before"`
				}
				if err := c.fetch(cmd, "/incidents/"+url.PathEscape(args[0])+"/timeline?"+q.Encode(), &page); err != nil {
					return err
				}
				if page.Before != nil && c.output != "json" {
					c.printf("… earlier entries: --all\n")
				}
				for _, raw := range page.Entries {
					if c.output == "json" {
						if err := c.json(raw); err != nil {
							return err
						}
						continue
					}
					var e entry
					if err := unmarshal(raw, &e); err != nil {
						return err
					}
					if e.Erased {
						e.Text = "(erased)"
					}
					if e.Commitment != "" && !e.Erased {
						e.Text += "\nto erase it: andon ledger erase " + e.Commitment + " --reason …"
					}
					if e.Restricted {
						e.Text = "[need to know] " + e.Text
					}
					if e.Incident != "" {
						e.Text = "[" + e.Incident + "] " + e.Text
					}
					if len(e.Refs) > 0 && e.Type == "incident.note" {
						e.Text += "  (" + strings.Join(e.Refs, ", ") + ")"
					}
					c.printf("%s  %6d  %-10s %s\n", e.At.UTC().Format("01-02 15:04:05"), e.Seq, c.cut(c.person(e.Actor), 10), strings.ReplaceAll(c.named(e.Text), "\n", "\n"+strings.Repeat(" ", 35)))
				}
				if page.After == nil || !all {
					return nil
				}
				q.Set("after", strconv.FormatUint(*page.After, 10))
			}
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "from the beginning")
	cmd.Flags().StringVar(&after, "after", "", "entries after this `number`")
	return cmd
}

func (c *command) incidentSplitCmd() *cobra.Command {
	var body incident.SplitSpec
	var entries []string
	var severity string
	cmd := &cobra.Command{
		Use: "split ID TITLE --reason TEXT", Short: "Take a part out as an incident of its own", Args: exactly(2),
		Example: `  andon incident split i-7 "the other caller" --entry 812,815 --correction c-9 --reason "two causes"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Title, body.Severity = args[1], incident.Severity(severityFlag(severity))
			for _, e := range entries {
				n, err := strconv.ParseUint(e, 10, 64)
				if err != nil {
					return usagef("--entry 812", "--entry %s is no number of an entry", e)
				}
				body.Entries = append(body.Entries, n)
			}
			return c.incidentAct(cmd, http.MethodPost, "/incidents/"+url.PathEscape(args[0])+"/split", body, func(id string) string { return "andon incident merge " + id + " " + args[0] + ` --reason "…"` })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&entries, "entry", nil, "`numbers` of entries that stand on the new timeline as well")
	f.StringSliceVar(&body.Corrections, "correction", nil, "`corrections` that belong to the new one")
	f.StringVar(&severity, "severity", "", "SEV-1 to SEV-4")
	f.StringVar(&body.Reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) incidentCloseCmd() *cobra.Command {
	var body incident.Closed
	var owners []string
	cmd := &cobra.Command{
		Use: "close ID REASON --text TEXT", Short: "Close it: " + strings.Join(incident.Closings, ", "), Args: exactly(2),
		Example: "  andon incident close i-7 resolved --text \"model replaced\" --owner c-5=op-3",
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Reason = args[1]
			for _, o := range owners {
				cor, who, ok := strings.Cut(o, "=")
				if !ok {
					return usagef("--owner c-5=op-3", "--owner %s names no operator", o)
				}
				if body.Owners == nil {
					body.Owners = map[string]string{}
				}
				body.Owners[cor] = who
			}
			return c.incidentAct(cmd, http.MethodPost, "/incidents/"+url.PathEscape(args[0])+"/close", body, func(id string) string { return "andon incident reopen " + id + ` --reason "…"` })
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Text, "text", "", "in words (required)")
	f.StringVar(&body.Of, "of", "", "the other `incident`, for a duplicate")
	f.StringSliceVar(&owners, "owner", nil, "`c-5=op-3`: who answers for a correction that stays in force")
	return cmd
}

func (c *command) incidentAttachCmd() *cobra.Command {
	var kind, text, name string
	var mark markFlags
	cmd := &cobra.Command{
		Use: "attach ID FILE", Short: "Attach a file; what it is, is read off its content", Args: exactly(2),
		Example: "  andon incident attach i-7 answers.json\n  andon incident attach i-7 capture.bin --type application/octet-stream",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := mark.marking()
			if err != nil {
				return err
			}
			f, err := os.Open(args[1])
			if err != nil {
				return fmt.Errorf("attach: %w", err)
			}
			defer f.Close()
			info, err := f.Stat()
			switch {
			case err != nil:
				return fmt.Errorf("attach: %w", err)
			case !info.Mode().IsRegular():
				return usagef("andon incident attach i-7 FILE", "%s is no plain file", args[1])
			case info.Size() > incident.MaxAttachment:
				return usagef("note where it is kept, and its SHA-256", "%s has %d bytes; at most %d", args[1], info.Size(), incident.MaxAttachment)
			}
			if name == "" {
				name = filepath.Base(args[1])
			}
			q := url.Values{"name": {name}}
			if text != "" {
				q.Set("text", text)
			}
			if m != nil && m.TLP != "" {
				q.Set("tlp", string(m.TLP))
			}
			if m != nil && m.Need != nil {
				for key, list := range map[string][]string{"operators": m.Need.Operators, "teams": m.Need.Teams, "roles": m.Need.Roles} {
					if len(list) > 0 {
						q.Set(key, strings.Join(list, ","))
					}
				}
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			var raw jsontext.Value
			header := http.Header{"Content-Type": {kind}}
			if err := cl.do(cmd.Context(), http.MethodPost, "/incidents/"+url.PathEscape(args[0])+"/attachments?"+q.Encode(), header, upload{f, info.Size()}, &raw); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(raw)
			}
			var v incidentText
			if err := unmarshal(raw, &v); err != nil {
				return err
			}
			return c.printIncidentAct(&v, func(id string) string {
				if len(v.Attachments) == 0 {
					return ""
				}
				return "andon incident detach " + id + " " + v.Attachments[len(v.Attachments)-1].ID + ` --reason "…"`
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "type", "", "media type that you hold it for; default: as its content says")
	f.StringVar(&name, "name", "", "under which name; default that of the file")
	f.StringVar(&text, "text", "", "what it shows")
	mark.add(cmd)
	return cmd
}

func (c *command) incidentFetchCmd() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "fetch ID ATTACHMENT --to FILE", Short: "Save a file of an incident", Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usagef("--to FILE", "it does not say where to save it")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			resp, err := cl.send(cmd.Context(), http.MethodGet, "/incidents/"+url.PathEscape(args[0])+"/attachments/"+url.PathEscape(args[1]), nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // it may be hostile: it replaces nothing and runs nowhere
			if errors.Is(err, fs.ErrExist) {
				return usagef("--to ANOTHER", "%s is there already, and nothing is written over", to)
			}
			if err != nil {
				return fmt.Errorf("fetch: %w", err)
			}
			n, err := io.Copy(f, io.LimitReader(resp.Body, incident.MaxAttachment+1))
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("fetch: %w", errors.Join(err, os.Remove(to)))
			}
			c.printf("%s  %d bytes  %s  sha256 %s\nit came from outside: open it where it can do no harm\n", to, n, resp.Header.Get("Content-Type"), resp.Header.Get("Andon-Sha256"))
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`file` that is not there yet")
	return cmd
}

func (c *command) incidentDetachCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "detach ID ATTACHMENT --reason TEXT", Short: "Remove a file for good; the record says that it was there", Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "…"`, "a reason is required")
			}
			return c.incidentAct(cmd, http.MethodDelete, "/incidents/"+url.PathEscape(args[0])+"/attachments/"+url.PathEscape(args[1])+"?reason="+url.QueryEscape(reason), nil, func(string) string { return "attach it again, if you have it" })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) incidentPatternsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "patterns", Short: "Near misses by their pattern", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/near-misses", "patterns", "", []string{"PATTERN", "TIMES", "STOPPED BY", "INCIDENTS"}, func(p *incident.Pattern) []string {
				return []string{c.cut(p.Pattern, 40), strconv.Itoa(p.Count), c.cut(strings.Join(p.Barriers, "; "), 30), c.cut(strings.Join(p.Incidents, " "), 24)}
			})
		},
	}
}
