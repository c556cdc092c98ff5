package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/correction"
)

// jumpy is a machine whose clock is base at start and then runs true.
type jumpy struct {
	base time.Time
	mono time.Duration
}

func (j *jumpy) now() time.Time { return j.base.Add(j.mono) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func refusedAt(t *testing.T, c *clock, text string) bool {
	t.Helper()
	k := must(correction.Parse([]byte(text)))
	p := must(correction.Compile([]correction.Correction{k}))
	now, _ := c.span()
	var v correction.Verdict
	p.Decide(&correction.Request{}, now, &v)
	return !v.Allowed()
}

const (
	endsAtOne   = `{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"t","expires_at":"2026-11-23T13:00:00Z"}`
	startsAtOne = `{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"t","starts_at":"2026-11-23T13:00:00Z"}`
)

func TestControlsTimeRulesWhileTheLeaseHolds(t *testing.T) {
	j := &jumpy{base: noon.Add(time.Second)} // this machine is a second ahead
	c := newClock(j.now, time.Time{})
	c.heard(noon, 0, int64(15*time.Second))
	now, _ := c.span()
	if now.Early != noon.UnixNano() || now.Late != now.Early {
		t.Errorf("%v, want control's noon", now)
	}
}

func TestClockFarFromControlsBelievesBoth(t *testing.T) {
	for name, off := range map[string]time.Duration{"ahead": 2 * time.Hour, "behind": -2 * time.Hour} {
		j := &jumpy{base: noon.Add(off)}
		c := newClock(j.now, time.Time{})
		c.heard(noon, 0, int64(15*time.Second))
		if !refusedAt(t, c, endsAtOne) {
			t.Errorf("machine %s: what ends in an hour has ended", name)
		}
		if got := refusedAt(t, c, startsAtOne); got != (off > 0) {
			t.Errorf("machine %s: what starts in an hour is in force: %v", name, got)
		}
	}
}

func TestStartWithAClockSetBack(t *testing.T) {
	// The last order says it is noon; the machine came up believing it is ten.
	j := &jumpy{base: noon.Add(-2 * time.Hour)}
	c := newClock(j.now, noon)
	j.mono = time.Hour + time.Minute
	if !refusedAt(t, c, startsAtOne) {
		t.Error("what starts an hour after the last order is not in force an hour later")
	}
	if !refusedAt(t, c, endsAtOne) {
		t.Error("what ends at one has ended, by a machine that says eleven")
	}
}

func TestLeaseNeverShortensAndEnds(t *testing.T) {
	var l lease
	l.end()
	if !l.over(-1 << 62) {
		t.Error("a gateway starts with a lease")
	}
	l.renew(100)
	l.renew(50)
	if l.over(99) || !l.over(100) {
		t.Error("the lease does not end when it was granted to")
	}
}

// An order that can not be kept is in force, is not acknowledged, and is kept
// and acknowledged once the disk takes it.
func TestFullDiskAtTheGateway(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	g := p.start(s, func(c *Config) { c.Data, c.Lease = dir, 900*time.Millisecond })
	for _, name := range []string{"tail.log", "state.json.tmp", "state.copy.json.tmp"} { // a folder in its place: writing fails
		os.Remove(filepath.Join(dir, name))
		if err := os.MkdirAll(filepath.Join(dir, name, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.issue(orderOf(stopLarge))
	p.await("the refusal to be told", func() bool {
		for _, a := range p.acks {
			if a.Revision == p.state.Revision && a.Phase == "refused" {
				return true
			}
		}
		return false
	})
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("what could not be kept is not in force: %d", a.status)
	}
	p.mu.Lock()
	for _, a := range p.acks {
		if a.Revision == p.state.Revision && a.Phase != "refused" {
			t.Errorf("acknowledged without being kept: %+v", a)
		}
	}
	p.mu.Unlock()
	for _, name := range []string{"tail.log", "state.json.tmp", "state.copy.json.tmp"} {
		os.RemoveAll(filepath.Join(dir, name))
	}
	p.enforced(1)
	found := false
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			found = found || strings.Contains(path, "tail.log") && len(b) > 0 || strings.Contains(path, "state")
		}
		return nil
	})
	if !found {
		t.Error("acknowledged, and nothing on disk")
	}
}
