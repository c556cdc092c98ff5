package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"andon/correction"
	"andon/order"
)

// workList is what goes on, or is kept, at providers.
type workList struct {
	Points   int            `json:"points"`
	Answered int            `json:"answered"`
	Revision uint64         `json:"revision"`
	Total    int            `json:"total"`
	States   map[string]int `json:"states"`
	Stops    map[string]int `json:"stops"`
	Works    []order.Work   `json:"works"`
}

func (c *command) worksCmd() *cobra.Command {
	var model, state, kind, org, by string
	var limit int
	cmd := &cobra.Command{
		Use: "works [--model M]", Short: "What goes on at providers after the calls that began it: batches, jobs, responses", Args: cobra.NoArgs,
		Example: `  andon works --model sim-large --state running
  andon works --correction c-7`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, v := range map[string]string{"model": model, "state": state, "kind": kind, "org": org, "correction": by} {
				if v != "" {
					q.Set(name, v)
				}
			}
			q.Set("limit", strconv.Itoa(limit))
			return show(c, cmd, "/works?"+q.Encode(), func(list *workList) error {
				q.Del("limit")
				c.works(list, len(q) > 0)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "that the work may be of")
	f.StringVar(&state, "state", "", "running, cancelling, cancelled, ended or kept")
	f.StringVar(&kind, "kind", "", "batch, file, fine_tuning_job, background_response, …")
	f.StringVar(&org, "org", "", "that began it")
	f.StringVar(&by, "correction", "", "id of the correction that ends it")
	f.IntVar(&limit, "limit", 100, "of works listed, the newest first, up to 1000")
	return cmd
}

// works prints a list of works; some tells whether not all were asked for.
func (c *command) works(list *workList, some bool) {
	if list.Points == 0 {
		c.printf("not known: there is no live gateway to ask\n")
		return
	}
	if list.Answered < list.Points {
		c.printf("%d of %d live points answered: the works of the others are not shown\n", list.Answered, list.Points)
	}
	switch {
	case len(list.Works) > 0:
	case some:
		c.printf("nothing of what was asked for goes on at a provider; andon works lists all\n")
		return
	default:
		c.printf("nothing goes on at a provider\n")
		return
	}
	rows := [][]string{{"ID", "KIND", "MODEL", "ORG", "BEGAN", "STATE", "STOP"}}
	for i := range list.Works {
		w := &list.Works[i]
		model := strings.Join(w.Models, ",")
		if w.AnyModel {
			model = "any of " + model
		}
		rows = append(rows, []string{c.cut(w.ID, 48), w.Kind, c.cut(model, 40), dash(w.Org), until(w.Created, c.Now()), w.State, stopWords(w)})
	}
	table(c.Stdout, rows)
	if more := list.Total - len(list.Works); more > 0 {
		c.printf("and %d more: --limit %d\n", more, order.MaxWorks)
	}
}

// stopWords says what became of the correction that ends a work.
func stopWords(w *order.Work) string {
	text := map[string]string{order.StopPending: "being cancelled", order.StopCancelled: "cancelled", order.StopEnded: "had ended by itself", order.StopFailing: "NOT cancelled",
		order.StopNoCall: "NOT cancelled: the provider has no call for it", order.StopCaller: "NOT cancelled: the caller's credential is needed"}[w.Stop]
	if text == "" {
		return dash(w.Stop)
	}
	if w.Correction != "" {
		text += " by " + w.Correction
	}
	if w.Error != "" {
		text += fmt.Sprintf(" after %s: %s", plural(int64(w.Attempts), "attempt"), w.Error)
	}
	return text
}

// worksAfter says what became of what was running at providers, once a stop is
// in force.
func (c *command) worksAfter(ctx context.Context, cl *client, v *view, d *draft, sent time.Time, wait time.Duration) {
	if d.Kind != correction.Stop || d.Mode == correction.Shadow || c.output == "json" || wait == 0 || d.Params["level"] == "L0" || d.Params["level"] == "L1" {
		return
	}
	deadline := sent.Add(wait)
	var list workList
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		list = workList{}
		if err := cl.do(ctx, http.MethodGet, "/works?correction="+url.QueryEscape(v.ID), nil, nil, &list); err != nil {
			return // the stop stands; this only adds to it
		}
		if list.Answered == list.Points && list.Revision >= v.Revision && list.Stops[order.StopPending] == 0 || !time.Now().Before(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(pause, time.Until(deadline))):
		}
	}
	if list.Answered < list.Points {
		c.printf("at providers: %d of %d live points answered\n", list.Answered, list.Points)
	}
	if list.Total == 0 {
		return
	}
	not := list.Total - list.Stops[order.StopCancelled] - list.Stops[order.StopEnded]
	text := fmt.Sprintf("at providers: %s ran, %d cancelled", plural(int64(list.Total), "work"), list.Stops[order.StopCancelled])
	if n := list.Stops[order.StopEnded]; n > 0 {
		text += fmt.Sprintf(", %d had ended", n)
	}
	if not > 0 {
		text += fmt.Sprintf(", %d NOT cancelled", not)
		for _, s := range []struct{ stop, why string }{{order.StopFailing, "the provider does not take it, and is asked again"}, {order.StopPending, "still to be told"},
			{order.StopNoCall, "the provider has no call for it"}, {order.StopCaller, "the caller's credential is needed"}} {
			if n := list.Stops[s.stop]; n > 0 {
				text += fmt.Sprintf("; %d: %s", n, s.why)
			}
		}
	}
	c.printf("%s (andon works --correction %s)\n", text, v.ID)
}

// worksEventWords tells of works whose stop has come to something.
func worksEventWords(data []byte) string {
	var e order.WorkChanges
	if json.Unmarshal(data, &e) != nil {
		return ""
	}
	var parts []string
	for i := range e.Works {
		if w := &e.Works[i]; w.Stop != "" && w.Stop != order.StopPending {
			parts = append(parts, w.Kind+" "+w.ID+" "+stopWords(w))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return e.Gateway + ": " + strings.Join(parts, "; ")
}
