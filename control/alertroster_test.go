package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// entriesOf are the bodies of all entries of a type.
func entriesOf[T any](w *world, kind string) (out []T) {
	w.t.Helper()
	must(w.t, w.c.cfg.Log.Read(w.t.Context(), 0, w.c.cfg.Log.Size(), func(e ledger.Entry) error {
		if e.Type == kind {
			var b T
			must(w.t, json.Unmarshal(e.Body, &b))
			out = append(out, b)
		}
		return nil
	}))
	return out
}

// timed is a world at a time, which is a Thursday after all that its ledger holds.
func timed(t testing.TB, ends ...*received) *world {
	w := alerted(t, ends...)
	w.stop()
	w.clock = &clock{now: time.Date(2099, 11, 26, 12, 0, 0, 0, time.UTC)}
	for _, e := range ends {
		e.clock.Store(w.clock)
	}
	w.start()
	return w
}

func shift(days, from, to string, people ...string) plan.Shift {
	return plan.Shift{Days: strings.Fields(days), From: from, To: to, People: people}
}

// rostered is a plan whose rosters are these. All of one team, for all roles that
// acts take at once.
func rostered(t testing.TB, shifts ...plan.Shift) *plan.Plan {
	return examplePlan(t, func(p *plan.Plan) {
		team := p.Teams[0].Name
		for i := range p.Teams {
			p.Teams[i].Members = append(p.Teams[i].Members, "ann", "bea", "cal")
			p.Teams[i].Roles = authority.All.List()
		}
		for i := range p.Triggers {
			p.Triggers[i].Owner = team
		}
		p.Rosters = []plan.Roster{
			{Name: "duty", Team: team, Role: authority.Auditor, TimeZone: "UTC", Shifts: shifts},
			{Name: "all", Team: p.Teams[len(p.Teams)-1].Name, Role: authority.Responder, TimeZone: "UTC", Shifts: []plan.Shift{shift("daily", "00:00", "24:00", "ann")}},
			{Name: "leads", Team: p.Teams[len(p.Teams)-1].Name, Role: authority.Commander, TimeZone: "UTC", Shifts: []plan.Shift{shift("daily", "00:00", "24:00", "ann")}},
			{Name: "others", Team: p.Teams[len(p.Teams)-1].Name, Role: authority.Approver, TimeZone: "UTC", Shifts: []plan.Shift{shift("daily", "00:00", "24:00", "ann")}},
		}
	})
}

// gapsSaid lets the clerk look, and returns the gaps on record.
func (w *world) gapsSaid() (out []string) {
	w.t.Helper()
	for range 3 {
		w.c.tidy(w.t.Context())
	}
	for _, b := range entriesOf[rosterGapBody](w, typeRosterGap) {
		out = append(out, b.From.Format("Mon 15:04")+" "+b.To.Format("Mon 15:04"))
	}
	return out
}

func TestAGapIsSaidOnceADayAhead(t *testing.T) {
	r := newReceived(t, "pager", "roster_gap")
	w := timed(t, r)
	other := w.member("cal", "commander")
	// Nobody on Saturday from 03:00 to 04:00, and none at all on Sunday evening.
	p := rostered(t, shift("mon tue wed thu fri", "00:00", "24:00", "ann"), shift("sat", "00:00", "03:00", "ann"), shift("sat", "04:00", "24:00", "ann"), shift("sun", "00:00", "20:00", "ann"))
	w.applyPlan(p, 0)
	if got := w.gapsSaid(); len(got) != 0 {
		t.Fatal("said too early:", got)
	}
	w.clock.advance(14*time.Hour + 59*time.Minute) // Friday 02:59
	if got := w.gapsSaid(); len(got) != 0 {
		t.Fatal("said too early:", got)
	}
	w.clock.advance(2 * time.Minute)
	if got := w.gapsSaid(); !slices.Equal(got, []string{"Sat 03:00 Sat 04:00"}) {
		t.Fatal(got)
	}
	if got := r.wait(t, 1); got[0] != "alert.roster_gap nobody of team "+p.Teams[0].Name+" is on call from Sat 2099-11-28 03:00 to Sat 2099-11-28 04:00 UTC" {
		t.Errorf("%q", got)
	}
	if !strings.Contains(w.logs.String(), "ALARM: nobody of team") {
		t.Error("no alarm in the log")
	}
	w.restart()
	for range 6 { // through the gap and past it
		w.clock.advance(5 * time.Hour)
		w.gapsSaid()
	}
	w.clock.advance(12 * time.Hour)
	if got := w.gapsSaid(); !slices.Equal(got, []string{"Sat 03:00 Sat 04:00", "Sun 20:00 Mon 00:00"}) {
		t.Fatal(got)
	}
	// Closed by another plan, and opened by a third: that is said.
	replace := func(p *plan.Plan, version int) {
		a := w.asked(w.token, "/plan", applyBody(t, p, version))
		if status, problem, _ := w.by(other, "POST", "/approvals/"+a.ID+"/approve", `{"reason":"looked at"}`); status != 200 {
			t.Fatal(status, problem)
		}
	}
	replace(rostered(t, shift("daily", "00:00", "24:00", "ann")), 1)
	if got := w.gapsSaid(); len(got) != 2 {
		t.Fatal(got)
	}
	replace(p, 2)
	if got := w.gapsSaid(); !slices.Equal(got[2:], []string{"Sun 20:00 Mon 00:00"}) {
		t.Fatal(got)
	}
}

// TestAGapThatHasBegun is said when the plan is put in force in the middle of it,
// and not again while it lasts.
func TestAGapThatHasBegun(t *testing.T) {
	w := timed(t)
	w.applyPlan(rostered(t, shift("mon", "00:00", "24:00", "ann")), 0)
	if got := w.gapsSaid(); !slices.Equal(got, []string{"Tue 00:00 Mon 00:00"}) {
		t.Fatal(got)
	}
	for range 6 {
		w.clock.advance(11 * time.Hour)
		if got := w.gapsSaid(); len(got) != 1 {
			t.Fatal(got)
		}
	}
}

// TestAClockThatJumpsLosesNoGap: back or ahead, a gap is said in time.
func TestAClockThatJumpsLosesNoGap(t *testing.T) {
	w := timed(t)
	w.applyPlan(rostered(t, shift("mon tue wed thu fri sun", "00:00", "24:00", "ann"), shift("sat", "04:00", "24:00", "ann")), 0)
	if got := w.gapsSaid(); len(got) != 0 {
		t.Fatal(got)
	}
	w.clock.advance(-30 * 24 * time.Hour) // back by a month: the monotonic clock of this test goes along
	w.gapsSaid()
	w.clock.advance(30 * 24 * time.Hour)
	// Ahead by two days for the wall clock alone: both are looked at.
	w.c.command.Lock() // the clerk reads it under this
	w.c.started = w.c.started.Add(-48 * time.Hour)
	w.c.command.Unlock()
	early := w.c.early()
	if !early.Equal(w.clock.Now()) {
		t.Fatal(early)
	}
	w.clock.advance(13 * time.Hour)
	if got := w.gapsSaid(); !slices.Equal(got, []string{"Sat 00:00 Sat 04:00"}) {
		t.Fatal(got)
	}
}

func TestWhoIsOnCall(t *testing.T) {
	w := timed(t)
	var v onCallView
	w.ok(200, "GET", "/on-call", "", &v)
	if v.Plan != 0 || len(v.Rosters)+len(v.Gaps)+len(v.People) != 0 {
		t.Fatalf("%s", jsonText(v))
	}
	token := w.member("bea", "viewer")
	p := rostered(t, shift("mon tue wed thu fri", "00:00", "18:00", "ann", "bea"), shift("mon tue wed thu", "18:00", "24:00", "cal"))
	p.Rosters[0].Shifts[0].Deputy = "dan"
	p.Teams[0].Members = append(p.Teams[0].Members, "dan")
	w.applyPlan(p, 0)
	if w.said(token, "/on-call", &v) != 200 {
		t.Fatal("a viewer may not see who is on call")
	}
	r := v.Rosters[0]
	if v.Plan != 1 || !slices.Equal(r.OnCall, []string{"ann", "bea", "dan"}) || !slices.Equal(r.Then, []string{"cal"}) || !r.Until.Equal(w.clock.Now().Add(6*time.Hour)) {
		t.Errorf("%s", jsonText(r))
	}
	var people []string
	for _, x := range v.People {
		if x.Roster == "duty" {
			people = append(people, x.Name+" "+x.Trouble)
		}
	}
	if !slices.Equal(people, []string{"ann is on call as auditor and has the role administrator", "bea is on call as auditor and has the role viewer", "dan has no account", "cal has no account"}) {
		t.Errorf("%q", people)
	}
	if len(v.Gaps) != 1 || v.Gaps[0].Now || v.Gaps[0].From.Format("Mon 15:04") != "Fri 18:00" || v.Gaps[0].To.Format("Mon 15:04") != "Mon 00:00" || !slices.Equal(v.Gaps[0].Rosters, []string{"duty"}) {
		t.Errorf("%s", jsonText(v.Gaps))
	}
	w.clock.advance(48 * time.Hour)
	w.ok(200, "GET", "/on-call", "", &v)
	if r := v.Rosters[0]; len(r.OnCall) != 0 || !v.Gaps[0].Now || !slices.Equal(r.Then, []string{"ann", "bea", "dan"}) {
		t.Errorf("%s", jsonText(v))
	}
	w.bad(400, "invalid_query", "GET", "/on-call?at=now", "")
}

// TestGatewaysInTrouble: each trouble is said once, however often it is seen, and
// again only after it was over for a while.
func TestGatewaysInTrouble(t *testing.T) {
	r := newReceived(t, "pager", "gateway")
	w := timed(t, r)
	w.create(stopLarge)
	g := w.gate("gw-1", false)
	said := func(kind string) (out []string) {
		for range 3 {
			w.c.tidy(t.Context())
		}
		for _, b := range entriesOf[gatewayBody](w, kind) {
			out = append(out, b.About+" "+strings.Join(b.Gateways, ","))
		}
		return out
	}
	if got := said(typeGatewayAlarmed); len(got) != 0 {
		t.Fatal(got)
	}
	g.send(order.Ack{Revision: 1, Phase: order.PhaseRefused, Error: "no such detector"})
	soon(t, "it is seen", func() bool { return len(said(typeGatewayAlarmed)) == 1 })
	if got := r.wait(t, 1); got[0] != "alert.gateway gw-1: an order was refused: no such detector" {
		t.Errorf("%q", got)
	}
	w.c.mu.Lock()
	w.c.points["gw-1"].twins = w.clock.Now()
	w.c.points["gw-2"] = &point{name: "gw-2", known: true, diverged: true}
	w.c.mu.Unlock()
	if got := said(typeGatewayAlarmed); !slices.Equal(got, []string{"refused gw-1", "ahead gw-2", "twins gw-1"}) {
		t.Fatal(got)
	}
	r.wait(t, 3)
	w.c.mu.Lock()
	w.c.points["gw-1"].refused, w.c.points["gw-1"].err = 0, ""
	w.c.mu.Unlock()
	w.clock.advance(5 * time.Minute)
	if got := said(typeGatewaySettled); len(got) != 0 {
		t.Fatal("settled too early:", got)
	}
	w.clock.advance(6 * time.Minute)
	if got := said(typeGatewaySettled); !slices.Equal(got, []string{"refused gw-1", "twins gw-1"}) {
		t.Fatal(got)
	}
	w.c.mu.Lock()
	w.c.points["gw-1"].twins = w.clock.Now()
	w.c.mu.Unlock()
	if got := said(typeGatewayAlarmed); len(got) != 4 {
		t.Fatal(got)
	}
	w.restart() // it folds
}
