package record

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/correction"
)

var (
	names = NewPseudonyms([]byte("a secret of sixteen bytes"), nil)
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func fixed() time.Time { return noon }

// fill records calls without the worker.
func fill(r *Recorder, calls []Call) {
	for i := range calls {
		r.Add(&calls[i])
		if i%1000 == 999 {
			r.view()
		}
	}
	r.view()
}

var (
	someUsers     = []string{"u-1", "u-2", "U-2", "Ä-4", "ä-4", "ｕ-1"}
	someOrgs      = []string{"acme", "globex", ""}
	someKeys      = []string{"k-1", "k-2", "k-3", ""}
	someModels    = []string{"large", "small", "tiny"}
	someTools     = []string{"function", "lookup", "web_search", "shell"}
	someUses      = []string{"legal/advice", "legal", "medical/diagnosis"}
	someTags      = []string{"plan=free", "plan=paid", "criticality=high", "region=eu"}
	someCountries = []string{"DE", "FR", "US", ""}
	someAddrs     = []string{"192.0.2.7", "192.0.2.200", "192.0.3.1", "198.51.100.4", "2001:db8::1", "2001:db8:0:1::2", "2001:dead::1", ""}
	somePrefixes  = []string{"192.0.2.7", "192.0.2.0/24", "192.0.2.128/25", "192.0.0.0/16", "0.0.0.0/0", "2001:db8::/64", "2001:db8::/47", "2001::/16", "::ffff:198.51.100.0/120", "198.51.100.4/31"}
)

func some(t *rapid.T, of []string, least, most int, what string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(of), least, most).Draw(t, what)
}

func anyCall(t *rapid.T) Call {
	q := correction.Request{
		Model: rapid.SampledFrom(someModels).Draw(t, "model"), Surface: "api", Org: rapid.SampledFrom(someOrgs).Draw(t, "org"),
		Key: rapid.SampledFrom(someKeys).Draw(t, "key"), Users: some(t, someUsers, 0, 2, "users"),
		Country:    rapid.SampledFrom(someCountries).Draw(t, "country"),
		Attributes: some(t, someTags, 0, 2, "attributes"), UseCases: some(t, someUses, 0, 2, "uses"),
		Tools:     some(t, someTools, 0, 3, "tools"),
		Generates: rapid.Bool().Draw(t, "generates"), Continues: rapid.Bool().Draw(t, "continues"),
		OutputTokens: rapid.SampledFrom([]int64{0, 10, 100, 5000, math.MaxInt64}).Draw(t, "asked"),
		InputTokens:  rapid.Int64Range(1, 9000).Draw(t, "in"), Messages: rapid.Int64Range(1, 40).Draw(t, "messages"),
		Choices: rapid.Int64Range(0, 5).Draw(t, "choices"), Temperature: rapid.SampledFrom([]float64{-1, 0, 0.7, 0.8, 1.3, 2}).Draw(t, "temperature"),
	}
	q.Version = q.Model + "-1"
	for _, u := range q.Users { // as the gateway does
		if f := correction.FoldUser(u); f != u {
			q.Folded = append(q.Folded, f)
		}
	}
	if a := rapid.SampledFrom(someAddrs).Draw(t, "ip"); a != "" {
		q.IP = netip.MustParseAddr(a)
	}
	if len(q.Tools) > 0 {
		q.Features |= correction.Tools
	}
	if rapid.Bool().Draw(t, "stream") {
		q.Features |= correction.Streaming
	}
	at := noon.Add(-time.Duration(rapid.IntRange(0, 3600).Draw(t, "ago")) * time.Second)
	return Call{Request: q, At: at, Took: time.Second}
}

func anyScope(t *rapid.T, except bool) correction.Scope {
	s := correction.Scope{}
	pick := func(l *[]string, of []string, what string) {
		if rapid.IntRange(0, 3).Draw(t, what+"?") == 0 {
			var given []string
			for _, v := range of {
				if v != "" {
					given = append(given, v)
				}
			}
			*l = some(t, given, 1, 3, what)
		}
	}
	pick(&s.Models, someModels, "models")
	pick(&s.Orgs, someOrgs, "orgs")
	pick(&s.Users, someUsers, "users")
	pick(&s.Keys, someKeys, "keys")
	pick(&s.IPs, somePrefixes, "ips")
	pick(&s.Countries, someCountries, "countries")
	pick(&s.Attributes, someTags, "attributes")
	pick(&s.Tools, someTools, "tools")
	pick(&s.UseCases, someUses, "uses")
	whole(&s)
	if except && s.All {
		s = correction.Scope{Orgs: []string{"acme"}}
	}
	return s
}

func anyCorrection(t *rapid.T) correction.Correction {
	c := correction.Correction{Kind: rapid.SampledFrom([]correction.Kind{correction.Stop, correction.Access, correction.Use, correction.Capability}).Draw(t, "kind"),
		Reason: "test", Scope: anyScope(t, false)}
	p := &c.Params
	switch c.Kind {
	case correction.Stop:
		p.Level = rapid.SampledFrom([]string{"L1", "L2", "L3"}).Draw(t, "level")
	case correction.Access:
		if p.Mode = rapid.SampledFrom([]string{"block", "allow_only"}).Draw(t, "mode"); p.Mode == "allow_only" && c.Scope.All {
			c.Scope = correction.Scope{Orgs: []string{"acme"}}
		} else if s := &c.Scope; p.Mode == "allow_only" && len(s.Orgs)+len(s.Users)+len(s.Keys)+len(s.IPs)+len(s.Countries)+len(s.Attributes) == 0 {
			s.Users = []string{"u-1"}
		}
	case correction.Use:
		p.UseCase = rapid.SampledFrom(someUses).Draw(t, "use")
	case correction.Capability:
		switch rapid.IntRange(0, 2).Draw(t, "capability") {
		case 0:
			p.Disable = []string{rapid.SampledFrom([]string{"tools", "streaming"}).Draw(t, "feature")}
		case 1:
			p.Clamp = map[string]float64{"output_tokens": rapid.SampledFrom([]float64{1, 10, 50, 5000}).Draw(t, "clamp")}
		case 2:
			p.Clamp = map[string]float64{"output_tokens": 100}
			c.Scope.When = rapid.SampledFrom([]string{`tools_offered && output_tokens > 50`, `org == "user"`, `country == "DE" || tier == ""`}).Draw(t, "when")
			if c.Scope.All {
				c.Scope.All = false
			}
		}
	}
	if rapid.Bool().Draw(t, "except?") {
		e := anyScope(t, true)
		c.Except = &e
	}
	return c
}

// What a preview counts is what the same corrections do to the same calls, with
// names and addresses as they were.
func TestPreviewIsWhatIsEnforced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.SliceOfN(rapid.Custom(anyCall), 0, 60).Draw(t, "calls")
		if rapid.Bool().Draw(t, "alike") { // one profile, and only what stands in rows differs
			for i := range calls {
				q, own := calls[0].Request, &calls[i].Request
				q.Users, q.Folded, q.IP, q.Country, q.Continues, q.Messages, q.Choices = own.Users, own.Folded, own.IP, own.Country, own.Continues, own.Messages, own.Choices
				q.InputTokens, q.OutputTokens, q.Temperature = own.InputTokens, own.OutputTokens, own.Temperature
				*own = q
			}
		}
		c := anyCorrection(t)
		r := New(Config{Now: fixed}, names)
		fill(r, calls)
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil {
			t.Fatal(err)
		}
		c.ID = "x"
		policy, err := correction.Compile([]correction.Correction{c})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorker(&plan{c: c, now: correction.At(noon), full: policy})
		users, orgs, keys := map[string]bool{}, map[string]bool{}, map[string]bool{}
		want := map[effect]int64{}
		for i := range calls {
			q := calls[i].Request
			e := w.decide(policy, &q)
			want[e]++
			if e >= changed {
				for _, u := range q.Users {
					users[correction.FoldUser(u)] = true
				}
				orgs[q.Org], keys[q.Key] = true, true
			}
		}
		delete(orgs, "")
		delete(keys, "")
		if got.Recorded != int64(len(calls)) || got.Refused != want[refused] || got.Changed != want[changed] || got.Undecided != 0 ||
			got.Reached != int64(len(calls))-want[none] {
			t.Fatalf("preview %+v, enforced %v", got, want)
		}
		for what, n := range map[string][2]int64{"users": {distinct(&got.Users), int64(len(users))}, "orgs": {distinct(&got.Orgs), int64(len(orgs))}, "keys": {distinct(&got.Keys), int64(len(keys))}} {
			if n[0] != n[1] {
				t.Fatalf("%s: %d, want %d", what, n[0], n[1])
			}
		}
	})
}

func distinct(s interface{ Count() (int64, bool) }) int64 { n, _ := s.Count(); return n }

func TestWhatPseudonymsCanNotTellIsUnknown(t *testing.T) {
	r := New(Config{Now: fixed}, names)
	ip := netip.MustParseAddr("192.0.2.7")
	fill(r, []Call{
		{At: noon, Request: correction.Request{Model: "large", Org: "acme", Users: []string{"u-1"}, IP: ip}},
		{At: noon, Request: correction.Request{Model: "large", Org: "acme", IP: ip}},
		{At: noon, Request: correction.Request{Model: "small", Org: "acme", Users: []string{"u-1"}, IP: ip}},
	})
	for _, tc := range []struct {
		text      string
		lists     correction.Lists
		undecided int64
		refused   int64
	}{
		{`{"kind":"access","params":{"mode":"block"},"scope":{"models":["large"],"when":"user.startsWith(\"u-\")"},"reason":"x"}`, nil, 1, 0},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"models":["large"],"when":"ip == \"192.0.2.7\""},"reason":"x"}`, nil, 2, 0},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"],"when":"org != \"user\""},"reason":"x"}`, nil, 0, 3},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"models":["large"]},"except":{"when":"user == \"u-1\""},"reason":"x"}`, nil, 1, 1},
		{`{"kind":"access","params":{"mode":"allow_only"},"scope":{"models":["large"],"orgs":["globex"],"when":"user == \"u-1\""},"reason":"x"}`, nil, 1, 0},
	} {
		c, err := correction.Parse([]byte(tc.text))
		if err != nil {
			t.Fatal(tc.text, err)
		}
		got, err := r.Preview(c, tc.lists, correction.At(noon))
		if err != nil {
			t.Fatal(tc.text, err)
		}
		if got.Undecided != tc.undecided || got.Refused != tc.refused || (tc.undecided > 0) != (len(got.Unknown) > 0) {
			t.Errorf("%s: %d undecided, %d refused, unknown %q", tc.text, got.Undecided, got.Refused, got.Unknown)
		}
	}
}

// A fallback's model counts like the one that was asked for, and so do models
// that the body let the provider use.
func TestEveryModelOfACallCounts(t *testing.T) {
	r := New(Config{Now: fixed}, names)
	fill(r, []Call{
		{At: noon, Request: correction.Request{Model: "large"}, Served: "small", Outcome: Fallback},
		{At: noon, Request: correction.Request{Model: "large"}, Others: []string{"tiny", "tiny-1"}},
		{At: noon, Request: correction.Request{Model: "large"}, Outcome: Refused},
	})
	for model, want := range map[string][2]int64{"large": {3, 1}, "small": {1, 0}, "tiny": {1, 0}, "other": {0, 0}} {
		c := correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{Models: []string{model}}, Reason: "x"}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil || got.Refused != want[0] || got.Already != want[1] {
			t.Errorf("%s: %+v %v", model, got, err)
		}
	}
}

// Calls of one profile are told apart where a correction asks for what differs.
func TestCallsOfOneProfileAreToldApart(t *testing.T) {
	hit := Call{At: noon, Request: correction.Request{Model: "large", Country: "DE", Users: []string{"u-1"}, IP: netip.MustParseAddr("192.0.2.7"), OutputTokens: 500, Messages: 9, Generates: true, Temperature: -1}}
	other := Call{At: noon, Request: correction.Request{Model: "large", Country: "FR", Users: []string{"u-2"}, IP: netip.MustParseAddr("192.0.3.7"), OutputTokens: 5, Messages: 2, Generates: true, Continues: true, Temperature: -1}}
	for _, text := range []string{
		`{"kind":"access","params":{"mode":"block"},"scope":{"countries":["DE"]},"reason":"x"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"users":["u-1"]},"reason":"x"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"ips":["192.0.2.0/24"]},"reason":"x"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"all":true},"except":{"countries":["FR"]},"reason":"x"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"when":"output_tokens > 100"},"reason":"x"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"all":true},"except":{"when":"country == 'FR'"},"reason":"x"}`,
		`{"kind":"capability","params":{"clamp":{"output_tokens":100}},"scope":{"all":true},"reason":"x"}`,
		`{"kind":"capability","params":{"clamp":{"messages":5}},"scope":{"all":true},"reason":"x"}`,
		`{"kind":"stop","params":{"level":"L1"},"scope":{"models":["large"]},"reason":"x"}`,
	} {
		c, err := correction.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, calls := range [][]Call{{hit, other}, {other, hit, other}} {
			r := New(Config{Now: fixed}, names)
			fill(r, calls)
			if n := len(r.table.byKey); n != 1 {
				t.Fatalf("%d profiles", n)
			}
			if got, err := r.Preview(c, nil, correction.At(noon)); err != nil || got.Requests != 1 {
				t.Errorf("%s: %d of %d (%v)", text, got.Requests, len(calls), err)
			}
		}
	}
}

// Who is spared is spared as written; who is reached is reached in any spelling.
func TestSpellings(t *testing.T) {
	r := New(Config{Now: fixed}, names)
	fill(r, []Call{{At: noon, Request: correction.Request{Model: "large", Users: []string{"mallory"}}},
		{At: noon, Request: correction.Request{Model: "large", Users: []string{"Mallory"}, Folded: []string{"mallory"}}}})
	for _, tc := range []struct {
		text string
		want int64
	}{
		{`{"kind":"access","params":{"mode":"block"},"scope":{"users":["MALLORY"]},"reason":"x"}`, 2},
		{`{"kind":"access","params":{"mode":"block"},"scope":{"all":true},"except":{"users":["Mallory"]},"reason":"x"}`, 1},
		{`{"kind":"access","params":{"mode":"allow_only"},"scope":{"users":["Mallory"]},"reason":"x"}`, 1},
		{`{"kind":"access","params":{"mode":"allow_only"},"scope":{"users":["MALLORY"]},"reason":"x"}`, 2},
	} {
		c, err := correction.Parse([]byte(tc.text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil || got.Refused != tc.want {
			t.Errorf("%s: %d refused, want %d (%v)", tc.text, got.Refused, tc.want, err)
		}
		if n, _ := got.Users.Count(); n != 1 {
			t.Errorf("%s: %d users, who are one", tc.text, n)
		}
	}
}

// A request that names more users than a row has room for is not judged by some.
func TestTooManyUsersAreNotGuessedAt(t *testing.T) {
	r := New(Config{Now: fixed}, names)
	fill(r, []Call{{At: noon, Request: correction.Request{Model: "large", Users: []string{"U-1", "U-2", "U-3"}, Folded: []string{"u-1", "u-2", "u-3"}}},
		{At: noon, Request: correction.Request{Model: "large", Users: []string{"u-1", "u-2", "u-3", "u-4"}}}})
	for user, want := range map[string][2]int64{"u-2": {2, 0}, "u-3": {1, 1}, "u-9": {0, 1}} {
		c := correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Scope: correction.Scope{Users: []string{user}}, Reason: "x"}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil || got.Refused != want[0] || got.Undecided != want[1] {
			t.Errorf("%s: %+v %v", user, got, err)
		}
	}
}

func TestCoverageCountsWhatIsUnknown(t *testing.T) {
	r := New(Config{Now: fixed}, names)
	var calls []Call
	for i := range 100 {
		q := correction.Request{Model: "large"}
		if i < 37 {
			q.Country = "DE"
		}
		if i < 20 {
			q.Attributes = []string{"plan=free"}
		}
		calls = append(calls, Call{At: noon, Request: q})
	}
	fill(r, calls)
	c := correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Reason: "x",
		Scope: correction.Scope{Countries: []string{"DE"}, Attributes: []string{"plan=free", "region=eu"}}}
	for unknown, want := range map[string]int64{"": 20, "include": 100} {
		c.Scope.Unknown = unknown
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil {
			t.Fatal(err)
		}
		if s := fmt.Sprint(got.Known); s != "[{attributes.plan 80} {attributes.region 100} {countries 63}]" {
			t.Error(s)
		}
		policy, _ := correction.Compile([]correction.Correction{c})
		n := int64(0)
		for i := range calls {
			var v correction.Verdict
			if policy.Decide(&calls[i].Request, correction.At(noon), &v); !v.Allowed() {
				n++
			}
		}
		if got.Refused != n {
			t.Errorf("unknown %q: %d refused, the policy refuses %d (expected about %d)", unknown, got.Refused, n, want)
		}
	}
}

func TestARecordIsBounded(t *testing.T) {
	now := noon
	r := New(Config{Requests: MinRequests, Keep: time.Hour, Now: func() time.Time { return now }}, names)
	var calls []Call
	for i := range 3 * MinRequests {
		calls = append(calls, Call{At: noon.Add(time.Duration(i) * time.Millisecond), Request: correction.Request{Model: "large", Org: fmt.Sprint("org-", i)}})
	}
	fill(r, calls)
	if n := r.Len(); n > MinRequests || n < MinRequests-2*MinRequests/parts {
		t.Errorf("%d of at most %d", n, MinRequests)
	}
	if n := len(r.table.byKey); n != r.Len() {
		t.Errorf("%d profiles are kept for %d records", n, r.Len())
	}
	now = noon.Add(3 * time.Hour)
	r.view()
	if n := r.Len(); n > MinRequests/parts { // what is left is the part that still grows
		t.Errorf("%d records are kept after their time", n)
	}
}

// Whoever makes up ever new names of tools gets no more room than there is, and
// takes nobody else's.
func TestNamesOfToolsCanNotFillTheMemory(t *testing.T) {
	r := New(Config{Requests: MaxRequests, Now: fixed}, names)
	tools := make([]string, 100)
	n := 0
	for i := 0; i < 10_000; i++ {
		for j := range tools {
			tools[j] = fmt.Sprintf("tool-%d-%d-%s", i, j, strings.Repeat("x", 600))
		}
		c := Call{At: noon, Request: correction.Request{Model: "large", Org: "acme", Tools: append([]string(nil), tools...)}}
		r.Add(&c)
		r.view()
		n++
	}
	if r.table.bytes > maxProfiles+maxProfiles/8 {
		t.Errorf("%d bytes of profiles", r.table.bytes)
	}
	if r.Len() != n || r.lost.Load() != 0 {
		t.Errorf("%d of %d are kept, %d lost", r.Len(), n, r.lost.Load())
	}
	got, err := r.Preview(correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Scope: correction.Scope{Tools: []string{"shell"}}, Reason: "x"}, nil, correction.At(noon))
	if err != nil || got.Undecided != int64(n) { // "shell" may have been among those that were left out
		t.Errorf("%+v %v", got, err)
	}
}

func TestPseudonymsKeepPrefixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		a, b := netip.AddrFrom16([16]byte(raw)), netip.AddrFrom16([16]byte(raw))
		if rapid.Bool().Draw(t, "IPv4") {
			a = netip.AddrFrom4([4]byte(raw[:4]))
			b = a
		}
		a, b = a.Unmap(), b.Unmap()
		bits := rapid.IntRange(0, a.BitLen()).Draw(t, "bits")
		if bits < a.BitLen() { // b differs from a in this bit first
			s := b.AsSlice()
			s[bits/8] ^= 0x80 >> (bits % 8)
			b, _ = netip.AddrFromSlice(s)
		}
		pa, pb := names.Addr(a), names.Addr(b)
		common := func(x, y netip.Addr) int {
			n := 0
			for n < x.BitLen() && netip.PrefixFrom(x, n+1).Contains(y) {
				n++
			}
			return n
		}
		if common(a, b) != common(pa, pb) {
			t.Fatalf("%v and %v have %d bits in common, %v and %v %d", a, b, common(a, b), pa, pb, common(pa, pb))
		}
	})
	// One address that becomes known says nothing of its network's others.
	pads := map[[4]byte]bool{}
	for i := range 256 {
		a := [4]byte{192, 0, byte(i), 7}
		p := names.Addr(netip.AddrFrom4(a)).As4()
		pads[[4]byte{0, 0, 0, a[3] ^ p[3]}] = true
	}
	if len(pads) < 100 {
		t.Errorf("the last byte is hidden in %d ways, whatever stands before it", len(pads))
	}
	a := netip.MustParseAddr("192.0.2.7")
	if p := names.Addr(a); p == a || !netip.MustParsePrefix("192.0.0.0/16").Contains(p) {
		t.Error(p)
	}
	other := NewPseudonyms([]byte("another secret of sixteen"), nil)
	if other.Addr(a) == names.Addr(a) && other.Addr(netip.MustParseAddr("2001:db8::1")) == names.Addr(netip.MustParseAddr("2001:db8::1")) || other.User("u-1") == names.User("u-1") || other.ID() == names.ID() {
		t.Error("the key makes no difference")
	}
	if names.User("") != "" || len(names.User("u-1")) != 16 {
		t.Error(names.User("u-1"))
	}
}

func TestARestartKeepsTheRecord(t *testing.T) {
	dir := t.TempDir()
	rng := rapid.Custom(anyCall)
	var calls []Call
	for i := range 5000 {
		c := rng.Example(i % 500)
		c.Request.Users, c.Request.IP = []string{"somebody-by-name"}, netip.MustParseAddr("203.0.113.77")
		calls = append(calls, c)
	}
	stop := correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Reason: "x",
		Scope: correction.Scope{Users: []string{"somebody-by-name"}, Orgs: []string{"acme"}, IPs: []string{"203.0.113.64/26"}}}
	open := func() *Recorder { return New(Config{Dir: dir, Now: fixed, Requests: 1 << 14}, names) }
	r := open()
	fill(r, calls)
	want, err := r.Preview(stop, nil, correction.At(noon))
	if err != nil || want.Refused == 0 {
		t.Fatal(want, err)
	}
	r.mu.Lock()
	r.flushLocked()
	r.closeLocked()
	r.mu.Unlock()
	same := func(r *Recorder) bool {
		got, err := r.Preview(stop, nil, correction.At(noon))
		return err == nil && got.Recorded == want.Recorded && got.Refused == want.Refused && fmt.Sprint(got.ByOrg, got.ByKey) == fmt.Sprint(want.ByOrg, want.ByKey)
	}
	if r = open(); !same(r) {
		t.Fatal("the record has changed")
	}
	// It goes on, and a second restart has both.
	fill(r, calls[:10])
	r.mu.Lock()
	r.flushLocked()
	r.closeLocked()
	r.mu.Unlock()
	if n := open().Len(); n != len(calls)+10 {
		t.Fatalf("%d of %d", n, len(calls)+10)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if len(files) < 2 {
		t.Fatal(files)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("somebody-by-name")) || bytes.Contains(data, netip.MustParseAddr("203.0.113.77").AsSlice()) {
			t.Error("a file holds a user's name or an address")
		}
		if info, _ := os.Stat(name); info.Mode().Perm() != 0o600 {
			t.Error(info.Mode())
		}
	}
	// A tail that is not whole is dropped; so is what is behind a flipped bit.
	last := files[len(files)-1]
	data, _ := os.ReadFile(last)
	os.WriteFile(last, data[:len(data)-5], 0o600)
	if n := open().Len(); n != len(calls) {
		t.Errorf("%d after a damaged tail, want %d", n, len(calls))
	}
	first, _ := os.ReadFile(files[0])
	first[len(first)/2] ^= 1
	os.WriteFile(files[0], first, 0o600)
	if n := open().Len(); n >= len(calls) || n == 0 {
		t.Errorf("%d of %d after a flipped bit", n, len(calls))
	}
	// Under another key nothing can be compared: it starts anew.
	if n := New(Config{Dir: dir, Now: fixed}, NewPseudonyms([]byte("another"), nil)).Len(); n != 0 {
		t.Errorf("%d records under another key", n)
	}
}

func FuzzFile(f *testing.F) {
	dir := f.TempDir()
	r := New(Config{Dir: dir, Now: fixed}, names)
	fill(r, []Call{{At: noon, Request: correction.Request{Model: "large", Users: []string{"u"}, Tools: []string{"a", "b"}}}})
	r.mu.Lock()
	r.flushLocked()
	r.closeLocked()
	r.mu.Unlock()
	files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	data, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	head := len(magic + names.ID())
	f.Add(data[head:])
	f.Fuzz(func(t *testing.T, frames []byte) {
		r := New(Config{Now: fixed}, names)
		s := &segment{sealed: true}
		var err error
		for rest := frames; len(rest) > 0 && err == nil; {
			rest, err = r.frame(s, rest)
		}
		r.segments, r.total = []*segment{s}, len(s.rows)
		if _, err := r.Preview(correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{Users: []string{"u"}}, Reason: "x"}, nil, correction.At(noon)); err != nil {
			t.Fatal(err)
		}
		r.table.release(s)
		if len(r.table.byKey) != 0 || r.table.bytes != 0 {
			t.Fatal("profiles are left over")
		}
	})
}

func FuzzProfile(f *testing.F) {
	c := Call{Request: correction.Request{Model: "large", Tools: []string{"a", "b"}, Attributes: []string{"plan=free"}, Features: correction.Tools, Generates: true}}
	f.Add(appendProfile(nil, &c, false))
	f.Fuzz(func(t *testing.T, key []byte) {
		p, err := readProfile(string(key))
		if err != nil {
			return
		}
		again := appendProfile(nil, &Call{Request: p.req, Others: p.others, Served: p.served, ServedVersion: p.servedVersion}, false)
		q, err := readProfile(string(again))
		if err != nil || fmt.Sprint(q.req, q.others) != fmt.Sprint(p.req, p.others) && !q.cut {
			t.Fatalf("%q became %q: %v", key, again, err)
		}
	})
}
