package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"andon/ledger"
	"andon/order"
)

// What a gateway can be in trouble about.
const (
	troubleRefused = "refused" // it could not follow an order
	troubleAhead   = "ahead"   // it has orders that the ledger here does not know
	troubleTwins   = "twins"   // two processes call themselves by its name
)

// gatewayBody names gateways that came into the same trouble, or got out of it.
type gatewayBody struct {
	About    string   `json:"about"`
	Gateways []string `json:"gateways"`
	Detail   string   `json:"detail,omitempty"` // of the first
}

// Bounds of what is said about gateways.
const (
	maxTroubled  = 1000             // in one entry; the next round says more
	maxTrouble   = 500              // bytes of a detail
	settleAtBest = 10 * time.Minute // after it was said: what comes and goes does not fill the record
)

// words is an alarm in a sentence.
func (b *gatewayBody) words() string {
	who := strings.Join(b.Gateways[:min(3, len(b.Gateways))], ", ")
	if more := len(b.Gateways) - 3; more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	switch b.About {
	case troubleAhead:
		return who + ": ahead of this control plane; the ledger was rolled back, or it follows another one"
	case troubleTwins:
		return who + ": two processes call themselves by this name, and only one of them is seen"
	}
	return who + ": an order was refused: " + b.Detail
}

// troubles is what a point is in trouble about now, with the detail.
func (p *point) troubles(now time.Time, current uint64) map[string]string {
	var out map[string]string
	add := func(about, detail string) {
		if out == nil {
			out = map[string]string{}
		}
		out[about] = detail
	}
	switch {
	case p.diverged:
		add(troubleAhead, p.err)
	case p.refused > p.revision, p.err != "" && (p.revision != current || p.refused > 0 && p.refused == p.revision):
		add(troubleRefused, p.err)
	}
	if !p.twins.IsZero() && now.Before(p.twins.Add(twinsRemembered)) {
		add(troubleTwins, "")
	}
	return out
}

// troubledPoints drafts what has come over gateways, once for each trouble, and
// what they got out of. The caller holds mu.
func (c *Control) troubledPoints(s *state, early time.Time) []draft {
	now := c.cfg.Now()
	began, ended := map[string]*gatewayBody{}, map[string]*gatewayBody{}
	add := func(set map[string]*gatewayBody, about, name, detail string) {
		b := set[about]
		if b == nil {
			if len(detail) > maxTrouble {
				detail = strings.ToValidUTF8(detail[:maxTrouble], "")
			}
			b = &gatewayBody{About: about, Detail: detail}
			set[about] = b
		}
		b.Gateways = append(b.Gateways, name)
	}
	for name, p := range c.points {
		for about, detail := range p.troubles(now, s.revision) {
			if s.alert.troubles[name][about].IsZero() {
				add(began, about, name, detail)
			}
		}
	}
	for name, said := range s.alert.troubles {
		var is map[string]string
		if p := c.points[name]; p != nil {
			is = p.troubles(now, s.revision)
		}
		for about, at := range said {
			if _, still := is[about]; !still && !early.Before(at.Add(settleAtBest)) {
				add(ended, about, name, "")
			}
		}
	}
	var out []draft
	for _, set := range []struct {
		kind string
		of   map[string]*gatewayBody
	}{{typeGatewayAlarmed, began}, {typeGatewaySettled, ended}} {
		for _, about := range slices.Sorted(maps.Keys(set.of)) {
			b := set.of[about]
			slices.Sort(b.Gateways)
			b.Gateways = b.Gateways[:min(len(b.Gateways), maxTroubled)]
			out = append(out, draft{set.kind, *b})
		}
	}
	return out
}

func foldGatewayAlarmed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[gatewayBody](e.Body)
	if err == nil && (b.About == "" || len(b.Gateways) == 0) {
		err = fmt.Errorf("an alarm about nothing or nobody: %w", errForm)
	}
	return func() {
		if s.alert.troubles == nil {
			s.alert.troubles = map[string]map[string]time.Time{}
		}
		for _, g := range b.Gateways {
			if s.alert.troubles[g] == nil {
				s.alert.troubles[g] = map[string]time.Time{}
			}
			s.alert.troubles[g][b.About] = e.At.UTC()
		}
	}, err
}

func foldGatewaySettled(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[gatewayBody](e.Body)
	return func() {
		for _, g := range b.Gateways {
			if delete(s.alert.troubles[g], b.About); len(s.alert.troubles[g]) == 0 {
				delete(s.alert.troubles, g)
			}
		}
	}, err
}
