package correction

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// The benchmarks' policies hold 1 M blocked ids, 100 k blocked prefixes and
// 1,000 scoped corrections. Requests rotate over prepared ones, each with
// strings of its own, so that no lookup finds its cache lines warm.
const (
	benchUsers    = 1_000_000
	benchPrefixes = 100_000
	benchScoped   = 1_000
	benchRequests = 4096
)

func benchUser(i int) string { return fmt.Sprintf("user-%016x", uint64(i)*0x9e3779b97f4a7c15) }

func benchPrefix(rng *rand.Rand) string {
	if rng.IntN(4) == 0 {
		var b [16]byte
		b[0], b[1], b[2], b[3], b[4], b[5] = 0x20, 0x01, 0x0d, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())
		p, _ := netip.AddrFrom16(b).Prefix(32 + rng.IntN(17))
		return p.String()
	}
	a := netip.AddrFrom4([4]byte{byte(rng.IntN(127)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
	p, _ := a.Prefix(16 + rng.IntN(17))
	return p.String()
}

// benchScopedCorrections are 1,000 of all kinds, scoped by models, orgs, tiers,
// countries, attributes and tools, as operators write them.
func benchScopedCorrections(rng *rand.Rand) []Correction {
	pick := func(format string, n int) []string { return []string{fmt.Sprintf(format, rng.IntN(n))} }
	cs := make([]Correction, benchScoped)
	for i := range cs {
		c := Correction{ID: fmt.Sprintf("s-%04d", i), Reason: "bench", Kind: Access, Params: Params{Mode: "block"}}
		c.Scope.Models = pick("model-%d", 20)
		switch i % 10 {
		case 0:
			c.Kind, c.Params = Rate, Params{Metric: "requests", Limit: ptr(int64(100)), Window: Duration(time.Minute), Per: "user"}
			c.Scope.Orgs = pick("org-%d", 500)
		case 1:
			c.Kind, c.Params = Capability, Params{Clamp: map[string]float64{"output_tokens": 1000}}
			c.Scope.Orgs = pick("org-%d", 500)
		case 2:
			c.Kind, c.Params = Capability, Params{Disable: []string{"tools"}}
			c.Scope.Attributes = pick("cohort=%d", 300)
		case 3:
			c.Kind, c.Params = Use, Params{UseCase: fmt.Sprintf("area-%d/topic-%d", rng.IntN(10), rng.IntN(20))}
		case 4:
			c.Kind, c.Params = Stop, Params{Level: "L3"}
			c.Scope.Versions = pick("version-%d", 200)
		case 5:
			c.Scope.Tools = pick("tool-%d", 200)
			c.Except = &Scope{Orgs: pick("org-%d", 500)}
		case 6:
			c.Scope.Keys = pick("key-%d", 5000)
			c.Mode = Shadow
		case 7:
			c.Scope.Tiers, c.Scope.Countries = pick("tier-%d", 4), []string{string([]byte{'A' + byte(rng.IntN(26)), 'A' + byte(rng.IntN(10))})}
			c.Share = 0.5
		default:
			c.Scope.Users = []string{benchUser(benchUsers + rng.IntN(100_000))}
			c.ExpiresAt = at.Add(time.Hour)
		}
		cs[i] = c
	}
	return cs
}

// benchCorrections: many has one rule for each user and each prefix; otherwise
// one rule has them all.
func benchCorrections(many bool) []Correction {
	rng := rand.New(rand.NewPCG(1, 2))
	cs := benchScopedCorrections(rng)
	if many {
		cs = slices.Grow(cs, benchUsers+benchPrefixes)
	}
	add := func(id string, s Scope) {
		cs = append(cs, Correction{ID: id, Kind: Access, Params: Params{Mode: "block"}, Scope: s, Reason: "bench"})
	}
	users, prefixes := make([]string, benchUsers), make([]string, benchPrefixes)
	for i := range users {
		users[i] = benchUser(i)
	}
	for i := range prefixes {
		prefixes[i] = benchPrefix(rng)
	}
	if !many {
		add("u", Scope{Users: users})
		add("v", Scope{IPs: prefixes})
		return cs
	}
	for i := range users {
		add(fmt.Sprintf("u-%07d", i), Scope{Users: users[i : i+1]})
	}
	for i := range prefixes {
		add(fmt.Sprintf("v-%07d", i), Scope{IPs: prefixes[i : i+1]})
	}
	return cs
}

// benchToolkit are ten of each of the kinds that do more than refuse, for the
// models that requests name, with lists and links.
func benchToolkit() ([]Correction, Lists) {
	var cs []Correction
	add := func(k Kind, p Params, s Scope) {
		cs = append(cs, Correction{ID: fmt.Sprintf("t-%04d", len(cs)), Reason: "bench", Kind: k, Params: p, Scope: s})
	}
	lists := Lists{"users": benchList{benchUser(1): true}}
	for i := range 10 {
		s := Scope{Models: []string{fmt.Sprintf("model-%d", i)}}
		add(Capability, Params{Disable: []string{"web_search", "mcp", "tool:shell", fmt.Sprintf("tool:tool-%d", i)}}, s)
		add(Capability, Params{Clamp: map[string]float64{"output_tokens": 100, "temperature": 1, "messages": 50, "session_steps": 9}}, s)
		add(Capability, Params{Filter: &Filter{Direction: "both", Detector: "patterns", Patterns: []string{"p"}, Action: "cut"}}, s)
		add(Capability, Params{Pin: "v1"}, s)
		add(Use, Params{UseCase: fmt.Sprintf("area-%d", i), Action: "acknowledge", AcknowledgeBy: at.Add(time.Hour)}, s)
		add(Use, Params{UseCase: "weapons", Basis: inferred, Detector: "d"}, s)
		add(Access, Params{Mode: "block"}, Scope{Models: s.Models, Lists: []string{"users"}})
		add(Access, Params{Mode: "block"}, Scope{Models: s.Models, Countries: []string{"FR"}, Unknown: include})
		add(Access, Params{Mode: "block", Linked: []string{"org"}}, Scope{Users: []string{benchUser(2 + i)}})
		cs[len(cs)-1].Links = []string{fmt.Sprintf("org=org-%d", i), fmt.Sprintf("cohort=%d", i)}
	}
	return cs, lists
}

type benchList map[string]bool

func (benchList) Dimension() string       { return "users" }
func (l benchList) Has(v string) bool     { return l[v] }
func (benchList) HasAddr(netip.Addr) bool { return false }

// benchRequest is a request with two users, two attributes, three tools and a
// use case; hit names a blocked user and a blocked prefix's neighbourhood.
func benchRequest(rng *rand.Rand, hit bool) Request {
	clone := func(s string) string { return string(append([]byte(nil), s...)) }
	n := func(format string, n int) string { return fmt.Sprintf(format, rng.IntN(n)) }
	user := benchUser(benchUsers + 100_000 + rng.IntN(1_000_000))
	ip := netip.AddrFrom4([4]byte{byte(128 + rng.IntN(90)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
	if hit {
		user = benchUser(rng.IntN(benchUsers))
		ip = netip.AddrFrom4([4]byte{byte(rng.IntN(127)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
	}
	return Request{
		Model: n("model-%d", 40), Version: n("version-%d", 400), Surface: n("surface-%d", 4),
		Org: n("org-%d", 1000), Key: n("key-%d", 20_000), Tier: n("tier-%d", 8), Country: clone("DE"), IP: ip,
		Users:      []string{clone(user), n("customer-%d", 1_000_000)},
		Attributes: []string{n("cohort=%d", 600), "verified=yes"},
		UseCases:   []string{fmt.Sprintf("area-%d/topic-%d/detail", rng.IntN(20), rng.IntN(40))},
		Tools:      []string{"function", n("tool-%d", 400), n("tool-%d", 400)},
		Features:   Tools | Streaming | WebSearch, OutputTokens: 4096,
		Generates: true, Optional: WebSearch, Messages: 4, InputTokens: 900, Temperature: -1,
	}
}

func benchmarkDecide(b *testing.B, many, hit bool) {
	benchmarkDecisions(b, compile(b, benchCorrections(many)...), hit)
}

func benchmarkDecisions(b *testing.B, p *Policy, hit bool) {
	rng := rand.New(rand.NewPCG(3, 4))
	requests := make([]Request, benchRequests)
	for i := range requests {
		requests[i] = benchRequest(rng, hit)
	}
	var v Verdict
	refused := 0
	for i := range requests { // grows the slices of v
		p.Decide(&requests[i], At(at), &v)
		if !v.Allowed() {
			refused++
		}
	}
	if hit && refused != benchRequests || !hit && refused > benchRequests/2 {
		b.Fatalf("%d of %d requests are refused", refused, benchRequests)
	}
	now := At(at)
	// The median over batches, since a mean on a shared machine measures the others.
	const batch = 1024
	var batches []float64
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		size := min(batch, b.N-n)
		from := time.Now()
		for i := n; i < n+size; i++ {
			p.Decide(&requests[i%benchRequests], now, &v)
		}
		if size == batch {
			batches = append(batches, float64(time.Since(from).Nanoseconds())/batch)
		}
		n += size
	}
	b.StopTimer()
	if len(batches) > 0 {
		slices.Sort(batches)
		b.ReportMetric(batches[len(batches)/2], "median-ns/op")
	}
}

// Everything of the toolkit beside the 1,000 scoped ones and a million users: for
// every second request some eight of them reach.
func BenchmarkDecideToolkit(b *testing.B) {
	cs, lists := benchToolkit()
	p, err := CompileWith(append(cs, benchCorrections(false)...), lists)
	if err != nil {
		b.Fatal(err)
	}
	benchmarkDecisions(b, p, true)
}

func BenchmarkDecideOneRuleMiss(b *testing.B)   { benchmarkDecide(b, false, false) }
func BenchmarkDecideOneRuleHit(b *testing.B)    { benchmarkDecide(b, false, true) }
func BenchmarkDecideManyRulesMiss(b *testing.B) { benchmarkDecide(b, true, false) }
func BenchmarkDecideManyRulesHit(b *testing.B)  { benchmarkDecide(b, true, true) }

// A policy is compiled anew for each revision, before it is swapped in.
func benchmarkCompile(b *testing.B, cs []Correction) {
	b.ReportAllocs()
	for b.Loop() {
		compile(b, cs...)
	}
}

func BenchmarkCompileScoped(b *testing.B) {
	benchmarkCompile(b, benchScopedCorrections(rand.New(rand.NewPCG(1, 2))))
}
func BenchmarkCompileOneRule(b *testing.B)   { benchmarkCompile(b, benchCorrections(false)) }
func BenchmarkCompileManyRules(b *testing.B) { benchmarkCompile(b, benchCorrections(true)) }

// Next, for a follower's 1,000 scoped corrections of which one is new;
// in every fourth step one is gone as well. The mean has the steps in it that
// index all anew, the median has not.
func benchmarkNext(b *testing.B, cs []Correction, apart bool) {
	if apart {
		for i := range cs {
			cs[i].ExpiresAt = at.Add(time.Duration(i+1) * 7919 % 3600 * time.Second)
		}
	}
	extra := benchScopedCorrections(rand.New(rand.NewPCG(5, 6)))
	p := compile(b, cs...)
	all := pointers(cs)
	var times []float64
	var sum float64
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		c := extra[n%len(extra)]
		c.ID = fmt.Sprintf("t-%09d", n)
		all = append(slices.Clone(all), &c)
		if n%4 == 0 || len(all) > benchScoped+100 {
			all = slices.Delete(all, n%benchScoped, n%benchScoped+1)
		}
		from := time.Now()
		next, err := p.Next(all, nil)
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, float64(time.Since(from).Nanoseconds()))
		sum += times[n]
		p = next
	}
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(sum/float64(b.N), "mean-ns/op")
	b.ReportMetric(times[b.N/2], "median-ns/op")
}

func BenchmarkNextScoped(b *testing.B) {
	benchmarkNext(b, benchScopedCorrections(rand.New(rand.NewPCG(1, 2))), false)
}

// Each with an end of its own.
func BenchmarkNextScopedApart(b *testing.B) {
	benchmarkNext(b, benchScopedCorrections(rand.New(rand.NewPCG(1, 2))), true)
}

// What one expression costs, on a request that nothing else in its rule stops.
func BenchmarkDecideWhen(b *testing.B) {
	p := compile(b, block("c", Scope{When: `model == "model-1" && tier in ["tier-1", "tier-2"] && users.exists(u, u.startsWith("x"))`}))
	rng := rand.New(rand.NewPCG(3, 4))
	requests := make([]Request, benchRequests)
	for i := range requests {
		requests[i] = benchRequest(rng, false)
		requests[i].Model, requests[i].Tier = "model-1", "tier-2"
	}
	var v Verdict
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Decide(&requests[i%benchRequests], At(at), &v)
	}
}
