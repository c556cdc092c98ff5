package control

import (
	"net/http"
	"slices"
	"time"

	"andon/correction"
)

// remembered is how many measurements a distribution rests on.
const remembered = 100

// effects are the measured times to effect of one class of corrections. They are
// part of the fold, so they are what the ledger says.
type effects struct {
	last []float64 // the last ones, ms, oldest first
	all  int
	at   time.Time // of the last one
}

func (e *effects) add(ms float64, at time.Time) {
	if len(e.last) == remembered {
		e.last = slices.Delete(e.last, 0, 1)
	}
	e.last, e.all, e.at = append(e.last, ms), e.all+1, at
}

// learn takes in a measurement. What was seen only after a restart is a bound and
// no measurement, and a lift restricts nobody.
func (s *state) learn(b *measuredBody, at time.Time) {
	if b.TimeToEffect == nil || b.AtMost {
		return
	}
	seen := map[string]bool{}
	for _, id := range b.Corrections {
		r := s.corrections[id]
		if r == nil || r.gone != "" || r.revision != b.Revision {
			continue
		}
		for _, name := range []string{string(r.Kind), class(&r.Correction)} {
			if seen[name] {
				continue // one order is one measurement
			}
			seen[name] = true
			if s.effects[name] == nil {
				s.effects[name] = &effects{}
			}
			s.effects[name].add(*b.TimeToEffect, at)
		}
	}
}

// measuredView is what a class of corrections took to be enforced everywhere.
type measuredView struct {
	Last  float64   `json:"last_ms"`
	P50   float64   `json:"p50_ms"` // of the last 100
	P99   float64   `json:"p99_ms"`
	Count int       `json:"count"` // of all
	At    time.Time `json:"at"`    // of the last one
}

func (e *effects) view() *measuredView {
	if e == nil {
		return nil
	}
	sorted := slices.Sorted(slices.Values(e.last))
	rank := func(percent int) float64 { return sorted[(len(sorted)*percent+99)/100-1] }
	return &measuredView{Last: e.last[len(e.last)-1], P50: rank(50), P99: rank(99), Count: e.all, At: e.at}
}

// kindView is a kind of the catalogue with what it took.
type kindView struct {
	correction.KindInfo
	Measured *measuredView       `json:"measured,omitempty"` // missing: never
	Classes  []measuredClassView `json:"classes"`
}

// measuredClassView is one class of a kind: "stop.L3", "capability.filter".
type measuredClassView struct {
	Class string `json:"class"`
	measuredView
}

type kindList struct {
	Kinds []kindView `json:"kinds"`
}

func (c *Control) getKinds(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	list := kindList{Kinds: []kindView{}}
	c.mu.RLock()
	for _, k := range correction.Catalogue() {
		v := kindView{KindInfo: k, Measured: c.state.effects[string(k.Kind)].view(), Classes: []measuredClassView{}}
		for name, e := range c.state.effects {
			if len(name) > len(k.Kind) && name[:len(k.Kind)+1] == string(k.Kind)+"." {
				v.Classes = append(v.Classes, measuredClassView{name, *e.view()})
			}
		}
		slices.SortFunc(v.Classes, func(a, b measuredClassView) int {
			if a.Class < b.Class {
				return -1
			}
			return 1
		})
		list.Kinds = append(list.Kinds, v)
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

type useCaseList struct {
	UseCases []correction.Node `json:"use_cases"`
}

func (c *Control) getUseCases(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, useCaseList{correction.Taxonomy()})
}
