package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
)

// worksTime bounds how long gateways may take to list their works.
const worksTime = 2 * time.Second

// workList is what goes on, or is kept, at providers. The gateways know it; it is
// asked of them each time, so that a restart of the control plane forgets nothing.
type workList struct {
	Points   int            `json:"points"`   // live enforcement points
	Answered int            `json:"answered"` // of them
	Revision uint64         `json:"revision"` // under which all that answered have judged their works
	Total    int            `json:"total"`
	States   map[string]int `json:"states"`
	Stops    map[string]int `json:"stops"`
	Works    []order.Work   `json:"works"`
}

func (c *Control) getWorks(cl *call) error {
	if err := cl.op.may("work.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	ask := order.WorksAsk{Model: q.Get("model"), State: q.Get("state"), Kind: q.Get("kind"), Org: q.Get("org"), Correction: q.Get("correction"), Limit: 100}
	for name, v := range q {
		if !slices.Contains([]string{"model", "state", "kind", "org", "correction", "limit"}, name) || len(v) > 1 {
			p := problem("invalid_field", "the query takes model, state, kind, org, correction and limit, each once")
			p.Field = short(name)
			return p
		}
		if err := checkLine(name, v[0], 512); err != nil {
			return err
		}
	}
	if states := []string{order.WorkRunning, order.WorkCancelling, order.WorkCancelled, order.WorkEnded, order.WorkKept}; ask.State != "" && !slices.Contains(states, ask.State) {
		return badField("state", "unknown state "+strconv.Quote(short(ask.State)), states...)
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > order.MaxWorks {
			p := problem("invalid_field", fmt.Sprintf("limit must be 1 to %d", order.MaxWorks))
			p.Field = "limit"
			return p
		}
		ask.Limit = n
	}
	data, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	list := workList{Points: c.livePoints(), States: map[string]int{}, Stops: map[string]int{}, Works: []order.Work{}}
	for _, answer := range c.gatherWithin(cl.r.Context(), worksTime, order.SubjectWorks, data, list.Points) {
		var a order.WorksAnswer
		if err := json.Unmarshal(answer, &a); err != nil {
			c.log.Warn("a gateway's works cannot be read", "error", err)
			continue
		}
		if list.Answered == 0 || a.Revision < list.Revision {
			list.Revision = a.Revision
		}
		list.Answered++
		list.Total += a.Total
		for s, n := range a.States {
			list.States[s] += n
		}
		for s, n := range a.Stops {
			list.Stops[s] += n
		}
		list.Works = append(list.Works, a.Works...)
	}
	slices.SortFunc(list.Works, func(a, b order.Work) int {
		if d := b.Created.Compare(a.Created); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	list.Works = list.Works[:min(len(list.Works), ask.Limit)]
	return cl.reply(http.StatusOK, list)
}

// worksEvent is what became of works, told in passing.
type worksEvent struct {
	At   time.Time `json:"at"`
	Type string    `json:"type"`
	order.WorkChanges
}

// onWorks tells those who watch. Nothing is kept: what is lost shows in the list.
func (c *Control) onWorks(m bus.Msg) {
	var w order.WorkChanges
	if err := json.Unmarshal(m.Data, &w); err != nil || len(w.Works) > order.MaxWorks {
		c.log.Warn("what became of works cannot be read", "error", err)
		return
	}
	if !c.speaks(m, order.SubjectWorkChanged, w.Gateway) {
		return
	}
	c.hub.send(message{name: "works", data: worksEvent{c.cfg.Now().UTC().Round(0), "works", w}})
}
