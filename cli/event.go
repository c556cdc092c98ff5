package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/order"
)

// told is one event: an entry of the ledger, or in passing what a gateway did.
type told struct {
	At    time.Time      `json:"at"`
	Type  string         `json:"type"`
	Actor string         `json:"actor"`
	Body  jsontext.Value `json:"body"`
}

// toldBody has what the bodies of ledger entries say at a glance.
type toldBody struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Reason       string    `json:"reason"`
	By           string    `json:"by"`
	ExpiresAt    time.Time `json:"expires_at"`
	Correction   *view     `json:"correction"`
	Revision     uint64    `json:"revision"`
	TimeToEffect *float64  `json:"time_to_effect_ms"`
	Key          *struct {
		ID  string `json:"id"`
		Org string `json:"org"`
	} `json:"key"`
	List *struct {
		Name      string `json:"name"`
		Dimension string `json:"dimension"`
		Entries   uint64 `json:"entries"`
	} `json:"list"`
	Action string        `json:"action"`
	Points []pointEffect `json:"points"`
}

// line writes an event in one line, or "" for one that says nothing new: every
// order makes each gateway report several times, and they would hide the rest.
func (v *watchView) line(e event) string {
	var t told
	if err := json.Unmarshal(e.data, &t); err != nil {
		return strings.TrimSpace(e.name + " " + string(e.data))
	}
	name := e.name
	if name == "" || name == "message" {
		name = t.Type
	}
	var text string
	switch name {
	case "ack":
		if text = ackWords(e.data); text == "" {
			return ""
		}
	case "works":
		if text = worksEventWords(e.data); text == "" {
			return ""
		}
	case "point":
		if text = v.pointWords(e.data); text == "" {
			return ""
		}
	default:
		text = entryWords(&t)
	}
	parts := []string{name}
	if !t.At.IsZero() {
		parts = []string{t.At.Local().Format("15:04:05.000"), name}
	}
	if text != "" {
		parts = append(parts, shorten(text, 240))
	}
	return strings.Join(parts, "  ")
}

func ackWords(data []byte) string {
	var a order.Ack
	if err := json.Unmarshal(data, &a); err != nil {
		return ""
	}
	switch a.Phase {
	case order.PhaseEnforcing:
		text := fmt.Sprintf("%s enforces revision %d", a.Gateway, a.Revision)
		if a.Cut > 0 {
			text += ", cut " + plural(int64(a.Cut), "running request")
		}
		return text
	case order.PhaseRefused:
		return fmt.Sprintf("%s REFUSED revision %d: %s", a.Gateway, a.Revision, a.Error)
	}
	return "" // accepted: enforcing follows
}

// pointWords tells of a point whose state is another one than before. What it
// reaches on its way to the next revision is told by its acknowledgement.
func (v *watchView) pointWords(data []byte) string {
	var p point
	if err := json.Unmarshal(data, &p); err != nil {
		return ""
	}
	now, before := p.State+p.Error, v.states[p.Name]
	if p.State == "sent" || now == before {
		return ""
	}
	v.states[p.Name] = now
	text := fmt.Sprintf("%s is %s at revision %d", p.Name, p.State, p.Revision)
	if p.State == "stale" {
		text += ": its lease has run out, its models have taken their posture"
	}
	if p.Error != "" {
		text += ": " + p.Error
	}
	return text
}

func entryWords(t *told) string {
	var b toldBody
	if len(t.Body) == 0 || json.Unmarshal(t.Body, &b) != nil {
		return ""
	}
	switch {
	case t.Type == "effect.measured":
		return measuredWords(&b)
	case b.Correction != nil:
		text := b.Correction.ID + " by " + t.Actor + ": " + b.Correction.words()
		if !b.Correction.ExpiresAt.IsZero() {
			text += ", until " + b.Correction.ExpiresAt.Local().Format("2006-01-02 15:04:05")
		}
		return text + because(b.Correction.Reason)
	case b.Key != nil:
		return b.Key.ID + " by " + t.Actor + ", org " + b.Key.Org
	case b.List != nil:
		return fmt.Sprintf("%s %s by %s, now %s of %s%s", b.List.Name, b.Action, t.Actor, entries(b.List.Entries), b.List.Dimension, because(b.Reason))
	}
	id := b.ID
	if id == "" {
		id = b.Name
	}
	by := t.Actor
	if b.By != "" {
		by = b.By
	}
	text := id + " by " + by
	if !b.ExpiresAt.IsZero() {
		text += ", until " + b.ExpiresAt.Local().Format("2006-01-02 15:04:05")
	}
	return strings.TrimSpace(text + because(b.Reason))
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func measuredWords(b *toldBody) string {
	var on, not []string
	cut := int64(0)
	for _, p := range b.Points {
		cut += p.Cut
		if p.EnforcingAt.IsZero() {
			not = append(not, p.Name)
		} else {
			on = append(on, p.Name)
		}
	}
	text := fmt.Sprintf("revision %d in force on no gateway", b.Revision)
	if len(on) > 0 {
		text = fmt.Sprintf("revision %d in force on %s", b.Revision, strings.Join(on, ", "))
	}
	if b.TimeToEffect != nil {
		text += " after " + span(time.Duration(*b.TimeToEffect*float64(time.Millisecond)))
	}
	if cut > 0 {
		text += ", cut " + plural(cut, "running request")
	}
	if len(not) > 0 {
		text += "; NOT on " + strings.Join(not, ", ") + ", whose lease has run out"
	}
	return text
}
