package sim

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Anthropic's message batches, https://docs.anthropic.com/en/api/creating-message-batches.
// One runs for as long as its slowest request would take alone.

type messageBatch struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Status     string         `json:"processing_status"`
	Created    time.Time      `json:"created_at"`
	Expires    time.Time      `json:"expires_at"`
	Ended      *time.Time     `json:"ended_at"`
	Cancelling *time.Time     `json:"cancel_initiated_at"`
	Archived   *time.Time     `json:"archived_at"`
	Results    *string        `json:"results_url"`
	Counts     map[string]int `json:"request_counts"`
}

func (c *call) newMessageBatch() {
	var q struct {
		Requests []struct {
			ID     string         `json:"custom_id"`
			Params jsontext.Value `json:"params"`
		} `json:"requests"`
	}
	if !c.read(&q) {
		return
	}
	var takes time.Duration
	var out []byte
	for i, one := range q.Requests {
		sub := *c
		sub.seq = c.seq<<24 | uint64(i+1)
		said, lasts, err := sub.whole("/v1/messages", one.Params)
		if c.bad(err) {
			return
		}
		takes = max(takes, lasts)
		line, err := json.Marshal(map[string]any{"custom_id": one.ID, "result": map[string]any{"type": "succeeded", "message": jsontext.Value(said)}},
			json.Deterministic(true))
		if c.bad(err) {
			return
		}
		out = append(append(out, line...), '\n')
	}
	n := len(q.Requests)
	k := &kept{id: c.newID("msgbatch_"), kind: "messages/batches", created: c.at, takes: takes, data: out}
	k.show = func(k *kept, st standing) any {
		b := messageBatch{ID: k.id, Type: "message_batch", Status: "in_progress", Created: k.created.UTC(), Expires: k.created.UTC().Add(24 * time.Hour),
			Counts: map[string]int{"processing": n, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}}
		at := st.ended.UTC()
		results := "https://sim.invalid/v1/messages/batches/" + k.id + "/results"
		switch {
		case st.asked:
			b.Status, b.Cancelling = "canceling", &at
		case st.cancelled:
			b.Status, b.Cancelling, b.Ended, b.Results = "ended", &at, &at, &results
			b.Counts["processing"], b.Counts["canceled"] = 0, n
		case !st.running:
			b.Status, b.Ended, b.Results = "ended", &at, &results
			b.Counts["processing"], b.Counts["succeeded"] = 0, n
		}
		return b
	}
	c.sim.shelf.put(k)
	c.reply(k.show(k, k.at(c.at)))
}
