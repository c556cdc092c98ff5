package order

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

func TestASketchCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		n := rapid.SampledFrom([]int{0, 1, 100, SketchSize - 1, SketchSize, SketchSize + 1, 5 * SketchSize, 30 * SketchSize}).Draw(t, "values")
		parts := make([]Sketch, rapid.IntRange(1, 5).Draw(t, "gateways"))
		for range n {
			v := rng.Uint64()
			for range 1 + rng.IntN(3) { // several gateways may have seen it, and each more than once
				parts[rng.IntN(len(parts))].Add(v)
			}
		}
		var sum Sketch
		for i := range parts {
			text, err := json.Marshal(&parts[i])
			if err != nil {
				t.Fatal(err)
			}
			var back Sketch
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			sum.Merge(&back)
		}
		got, exact := sum.Count()
		if exact != (n <= SketchSize) || exact && got != int64(n) {
			t.Fatalf("%d, exact %v, of %d", got, exact, n)
		}
		if off := math.Abs(float64(got)/float64(max(n, 1)) - 1); n > 0 && off > 0.1 { // six standard errors
			t.Fatalf("%d of %d: off by %.3f", got, n, off)
		}
	})
}

func FuzzSketch(f *testing.F) {
	f.Add([]byte("AA=="))
	f.Add([]byte("AAAAAAAAAAAB"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Sketch
		if s.UnmarshalText(text) != nil {
			return
		}
		n, _ := s.Count()
		var sum Sketch
		sum.Merge(&s)
		sum.Merge(&s)
		if m, _ := sum.Count(); m != n || n < 0 {
			t.Fatalf("%d, merged %d", n, m)
		}
	})
}
