package correction

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func mustCompile(t *rapid.T, cs []Correction, lists map[string]*testList) *Policy {
	p, err := CompileWith(cs, asLists(lists))
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}

// judged decides with a used verdict, as a gateway does.
func judged(p *Policy, r *Request, now Span, v *Verdict) answer {
	p.Decide(r, now, v)
	return answerOf(v)
}

func TestDecideIsWhatTheDefinitionsSay(t *testing.T) {
	acted := 0
	rapid.Check(t, func(t *rapid.T) {
		cs, lists := genCorrections(t, 12), genLists(t)
		p := mustCompile(t, cs, lists)
		var v Verdict
		for range 8 {
			r, now := genRequest(t), genSpan(t)
			want := oracle(cs, &r, now, lists)
			got := judged(p, &r, now, &v)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("request %+v at %v\n(-oracle +policy)\n%s", r, now, d)
			}
			if !cmp.Equal(want, nothing) {
				acted++
			}
		}
	})
	if acted == 0 {
		t.Error("no correction ever acted; the generators do not meet")
	}
}

func TestAddingNeverLoosens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, lists := genCorrections(t, 8), genLists(t)
		extra := genCorrection(t, rapid.SampledFrom([]string{"a", "c-03x", "z"}).Draw(t, "its id"))
		extra.Mode = Enforce
		before, after := mustCompile(t, cs, lists), mustCompile(t, append(cs[:len(cs):len(cs)], extra), lists)
		var v, w Verdict
		for range 8 {
			r, now := genRequest(t), genSpan(t)
			a, b := judged(before, &r, now, &v), judged(after, &r, now, &w)
			contains := func(what string, small, large []string) {
				have := map[string]bool{}
				for _, id := range large {
					have[id] = true
				}
				for _, id := range small {
					if !have[id] {
						t.Errorf("%s lost %s by adding %+v", what, id, extra)
					}
				}
			}
			contains("refused", a.Refused, b.Refused)
			contains("limits", a.Limits, b.Limits)
			contains("clamps", a.Clamps, b.Clamps)
			contains("strips", a.Strips, b.Strips)
			contains("guards", a.Guards, b.Guards)
			contains("filters", a.Filters, b.Filters)
			contains("pins", a.Pins, b.Pins)
			contains("sessions", a.Sessions, b.Sessions)
			contains("acknowledge", a.Acknowledge, b.Acknowledge)
			if a.Strip&^b.Strip != 0 {
				t.Errorf("%v is no longer stripped by adding %+v", (a.Strip &^ b.Strip).Names(), extra)
			}
			for _, n := range [][2]int64{{a.OutputTokens, b.OutputTokens}, {a.Choices, b.Choices}, {a.Reasoning, b.Reasoning}} {
				if n[0] != 0 && (n[1] == 0 || n[1] > n[0]) {
					t.Errorf("a clamp went from %d to %d by adding %+v", n[0], n[1], extra)
				}
			}
			if a.Temperature >= 0 && (b.Temperature < 0 || b.Temperature > a.Temperature) {
				t.Errorf("temperature went from %v to %v by adding %+v", a.Temperature, b.Temperature, extra)
			}
			if a.Drain != 0 && (b.Drain == 0 || b.Drain > a.Drain) {
				t.Errorf("drain went from %d to %d by adding %+v", a.Drain, b.Drain, extra)
			}
			if !v.Allowed() && v.Fallback("own") == "" && w.Fallback("own") != "" {
				t.Errorf("a fallback became permitted by adding %+v", extra)
			}
		}
	})
}

func TestOrderOfCorrectionsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, lists := genCorrections(t, 10), genLists(t)
		other := rapid.Permutation(cs).Draw(t, "other order")
		p, q := mustCompile(t, cs, lists), mustCompile(t, other, lists)
		var v, w Verdict
		for range 4 {
			r, now := genRequest(t), genSpan(t)
			if d := cmp.Diff(judged(p, &r, now, &v), judged(q, &r, now, &w)); d != "" {
				t.Fatalf("request %+v\n%s", r, d)
			}
			if v.Fallback("own") != w.Fallback("own") {
				t.Fatalf("fallback %q and %q", v.Fallback("own"), w.Fallback("own"))
			}
		}
	})
}

func TestShadowChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, lists := genCorrections(t, 10), genLists(t)
		var enforced []Correction
		for _, c := range cs {
			if c.Mode != Shadow {
				enforced = append(enforced, c)
			}
		}
		p, q := mustCompile(t, cs, lists), mustCompile(t, enforced, lists)
		var v, w Verdict
		for range 4 {
			r, now := genRequest(t), genSpan(t)
			got, want := judged(p, &r, now, &v), judged(q, &r, now, &w)
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(answer{}, "Shadow")); d != "" {
				t.Fatalf("request %+v\n(-without +with shadow)\n%s", r, d)
			}
			if len(want.Shadow) != 0 {
				t.Fatalf("shadow %v without any shadow correction", want.Shadow)
			}
		}
	})
}

// A clock in doubt never loosens: what is refused at some time of the span is
// refused for the span.
func TestDoubtNeverLoosens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := mustCompile(t, genCorrections(t, 10), genLists(t))
		r, span := genRequest(t), genSpan(t)
		var v, w Verdict
		p.Decide(&r, span, &v)
		inside := rapid.Int64Range(span.Early, span.Late).Draw(t, "true time")
		p.Decide(&r, Span{inside, inside}, &w)
		for _, want := range ids(w.Refused) {
			found := false
			for _, id := range ids(v.Refused) {
				found = found || id == want
			}
			if !found {
				t.Fatalf("%s refuses at %d but not for %v", want, inside, span)
			}
		}
	})
}

// Naming one more value never turns a refusal into a pass.
func TestNamingMoreNeverHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := genCorrections(t, 6)
		for i := range cs {
			// An expression can say anything about a list, and a share goes by
			// the first user: both are for those who write them to judge.
			cs[i].Scope.When, cs[i].Share = "", 0
			if cs[i].Scope.Attributes != nil {
				cs[i].Scope.Unknown = "" // attributes are verified: nobody adds one
			}
			if !cs[i].Scope.given() {
				cs[i].Scope.All = true
			}
			if cs[i].Except != nil {
				if cs[i].Except.When = ""; !cs[i].Except.given() {
					cs[i].Except = nil
				}
			}
		}
		p := mustCompile(t, cs, genLists(t))
		r, now := genRequest(t), genSpan(t)
		if len(r.Users) == 0 || len(r.UseCases) == 0 || len(r.Tools) == 0 || len(r.Attributes) == 0 {
			t.Skip("the lists are about more values, not about the first")
		}
		more := r
		more.Users = append(r.Users[:len(r.Users):len(r.Users)], rapid.SampledFrom(pools[dimUser]).Draw(t, "user"))
		more.UseCases = append(r.UseCases[:len(r.UseCases):len(r.UseCases)], rapid.SampledFrom(pools[dimUseCase]).Draw(t, "use case"))
		more.Tools = append(r.Tools[:len(r.Tools):len(r.Tools)], rapid.SampledFrom(pools[dimTool]).Draw(t, "tool"))
		more.Attributes = append(r.Attributes[:len(r.Attributes):len(r.Attributes)], rapid.SampledFrom(pools[dimAttribute]).Draw(t, "attribute"))
		var v, w Verdict
		a, b := judged(p, &r, now, &v), judged(p, &more, now, &w)
		if len(b.Refused) < len(a.Refused) || len(b.Limits) < len(a.Limits) || b.OutputTokens == 0 && a.OutputTokens > 0 ||
			len(b.Guards) < len(a.Guards) || len(b.Filters) < len(a.Filters) || len(b.Sessions) < len(a.Sessions) || len(b.Pins) < len(a.Pins) {
			t.Fatalf("%+v\ngives %+v, but with more names\n%+v\ngives %+v", r, a, more, b)
		}
	})
}

func TestNextChangeIsWhenVerdictsChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := mustCompile(t, genCorrections(t, 10), genLists(t))
		r := genRequest(t)
		now := at.Add(time.Duration(rapid.IntRange(-10, 20).Draw(t, "now")) * time.Minute)
		next := p.NextChange(now)
		until := next
		if next.IsZero() {
			until = now.Add(24 * 365 * time.Hour)
		} else if !next.After(now) {
			t.Fatalf("NextChange(%v) = %v", now, next)
		}
		var v, w Verdict
		later := now.Add(time.Duration(rapid.Int64Range(0, int64(until.Sub(now))-1).Draw(t, "later")))
		if d := cmp.Diff(judged(p, &r, At(now), &v), judged(p, &r, At(later), &w)); d != "" {
			t.Fatalf("changed from %v to %v, but NextChange is %v\n%s", now, later, next, d)
		}
	})
}
