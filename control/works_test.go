package control

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
)

// Works are asked of every live gateway and joined; what is asked for is passed on.
func TestWorksAreJoined(t *testing.T) {
	w := newWorld(t, nil)
	at := time.Now().UTC()
	asked := make(chan order.WorksAsk, 8)
	for i, name := range []string{"gw-1", "gw-2"} {
		g := w.gate(name, true)
		g.beat()
		_, err := g.bus.Subscribe(order.SubjectWorks, func(m bus.Msg) {
			var q order.WorksAsk
			must(t, json.Unmarshal(m.Data, &q))
			asked <- q
			data, err := json.Marshal(order.WorksAnswer{Gateway: name, Revision: uint64(7 - i), Total: 2, States: map[string]int{order.WorkRunning: 2}, Stops: map[string]int{order.StopFailing: i},
				Works: []order.Work{{ID: "b-" + name, Kind: "batch", Gateway: name, Models: []string{"sim-large"}, State: order.WorkRunning, Created: at.Add(time.Duration(i) * time.Second)}}})
			must(t, err)
			m.Respond(data)
		})
		must(t, err)
		must(t, g.bus.Flush(t.Context()))
	}
	var list workList
	w.ok(200, "GET", "/works?model=sim-large&state=running&correction=c-1", "", &list)
	if list.Points != 2 || list.Answered != 2 || list.Total != 4 || list.States[order.WorkRunning] != 4 || list.Stops[order.StopFailing] != 1 || list.Revision != 6 ||
		len(list.Works) != 2 || list.Works[0].ID != "b-gw-2" {
		t.Errorf("%+v", list)
	}
	if q := <-asked; q.Model != "sim-large" || q.State != order.WorkRunning || q.Correction != "c-1" || q.Limit != 100 {
		t.Errorf("asked: %+v", q)
	}
	if w.ok(200, "GET", "/works?limit=1", "", &list); len(list.Works) != 1 {
		t.Errorf("%+v", list)
	}
	if p := w.bad(422, "invalid_field", "GET", "/works?state=runing", ""); p.Field != "state" || len(p.Allowed) != 5 {
		t.Errorf("%+v", p)
	}
	if p := w.bad(422, "invalid_field", "GET", "/works?modle=x", ""); p.Field != "modle" {
		t.Errorf("%+v", p)
	}
	for _, q := range []string{"limit=0", "limit=1001", "limit=x"} {
		if p := w.bad(422, "invalid_field", "GET", "/works?"+q, ""); p.Field != "limit" {
			t.Errorf("%+v", p)
		}
	}
}

// What becomes of works is told to those who watch, and what cannot be read is not.
func TestChangesOfWorksAreTold(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	watcher := w.c.hub.watch()
	defer w.c.hub.leave(watcher)
	g.bus.Publish(order.SubjectWorkChanged, []byte(`{"works":7}`))
	data, err := json.Marshal(order.WorkChanges{Gateway: "gw-1", Works: []order.Work{{ID: "b-1", State: order.WorkCancelled}}})
	must(t, err)
	g.bus.Publish(order.SubjectWorkChanged, data)
	for deadline := time.After(30 * time.Second); ; {
		select {
		case m := <-watcher.messages:
			if m.name != "works" {
				continue
			}
			var e worksEvent
			must(t, json.Unmarshal(m.encoded, &e))
			if e.Gateway != "gw-1" || len(e.Works) != 1 || e.Works[0].ID != "b-1" {
				t.Errorf("%s", m.encoded)
			}
			return
		case <-deadline:
			t.Fatal("nothing was told")
		}
	}
}
