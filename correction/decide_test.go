package correction

import (
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

// at is the time at which these tests take place.
var at = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func compile(t testing.TB, cs ...Correction) *Policy {
	t.Helper()
	p, err := Compile(cs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func decide(p *Policy, r *Request) *Verdict {
	var v Verdict
	p.Decide(r, At(at), &v)
	return &v
}

func ids(rules []*Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Correction.ID)
	}
	return out
}

func TestStopReachesItsModelAlone(t *testing.T) {
	p := compile(t, Correction{ID: "c-1", Kind: Stop, Params: Params{Level: "L3"}, Scope: Scope{Models: []string{"sim-large"}}})
	if v := decide(p, &Request{Model: "sim-large"}); v.Allowed() || v.Refused[0].Correction.ID != "c-1" {
		t.Errorf("sim-large is refused by %v, want c-1", ids(v.Refused))
	}
	if v := decide(p, &Request{Model: "sim-small"}); !v.Allowed() {
		t.Errorf("sim-small is refused by %v, want nobody", ids(v.Refused))
	}
}
