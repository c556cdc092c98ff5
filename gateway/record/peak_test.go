package record

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/correction"
	"andon/order"
)

// The peak of a model is what looking at every window that ends with one of its
// requests says, whatever the limit.
func TestPeaksByModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var calls []Call
	for i := range 3000 {
		calls = append(calls, Call{At: noon.Add(-time.Hour).Add(time.Duration(rng.IntN(60_000)) * 10 * time.Millisecond),
			Request: correction.Request{Model: []string{"large", "small", "mid"}[i*i%3], Key: fmt.Sprint("k-", i%5), Generates: true}})
	}
	r := New(Config{Now: fixed}, names)
	fill(r, calls)
	want := map[string]int64{}
	for _, a := range calls {
		n := int64(0)
		for _, b := range calls {
			if b.Request.Model == a.Request.Model && !b.At.After(a.At) && a.At.Sub(b.At) < time.Second {
				n++
			}
		}
		want[a.Request.Model] = max(want[a.Request.Model], n)
	}
	for _, limit := range []int64{1, 1 << 40} {
		c := correction.Correction{Kind: correction.Rate, Reason: "x", Scope: correction.Scope{All: true}, Except: &correction.Scope{Orgs: []string{"nobody"}},
			Params: correction.Params{Metric: "requests", Limit: &limit, Window: correction.Duration(time.Second), Per: "model"}}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got.Peaks, func(a, b order.Peak) int { return strings.Compare(a.Model, b.Model) })
		if len(got.Peaks) != len(want) {
			t.Fatal(got.Peaks, want)
		}
		for _, p := range got.Peaks {
			if p.Requests != want[p.Model] || p.Requests < 2 {
				t.Errorf("%+v, want %d", p, want[p.Model])
			}
		}
		if len(got.Known) != 1 || got.Known[0].Dimension != "orgs" || got.Known[0].Unknown != 3000 {
			t.Errorf("%+v", got.Known)
		}
	}
}
