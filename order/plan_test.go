package order

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func TestPlanVersionsAreSigned(t *testing.T) {
	s, err := GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	v := PlanVersion{Org: "acme", Version: 2, Digest: strings.Repeat("a", 64), Previous: strings.Repeat("b", 64), At: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC), By: "op-1",
		Entry: LedgerRef{Seq: 7, Type: "plan.applied", Hash: strings.Repeat("c", 64)}}
	data, err := SignPlan(v, s)
	if err != nil {
		t.Fatal(err)
	}
	keys := []PublicKey{s.Public()}
	if got, err := OpenPlan(data, keys); err != nil || got != v {
		t.Fatalf("%+v %v", got, err)
	}
	other, err := GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*envelope)) []byte {
		var e envelope
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		change(&e)
		out, err := canonical(e)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	resigned := func(v PlanVersion) []byte {
		payload, err := canonical(v)
		if err != nil {
			t.Fatal(err)
		}
		out, err := seal(TypePlan, payload, nil, s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := v
	first.Version = 1
	short := v
	short.Digest = "a"
	for name, tc := range map[string]struct {
		data []byte
		keys []PublicKey
		want error
	}{
		"another key":       {data, []PublicKey{other.Public()}, ErrSignature},
		"no key":            {data, nil, ErrSignature},
		"another payload":   {edit(func(e *envelope) { e.Payload = []byte(strings.Replace(string(e.Payload), "acme", "evil", 1)) }), keys, ErrSignature},
		"as another type":   {edit(func(e *envelope) { e.PayloadType = TypeCertificate }), keys, ErrSignature},
		"under a warrant":   {edit(func(e *envelope) { e.Warrant = []byte("{}") }), keys, ErrSignature},
		"no JSON":           {[]byte("{"), keys, ErrSignature},
		"a first after one": {resigned(first), keys, ErrMalformed},
		"a short digest":    {resigned(short), keys, ErrMalformed},
	} {
		if _, err := OpenPlan(tc.data, tc.keys); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
