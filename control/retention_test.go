package control

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/plan"
)

const aDay = 24 * time.Hour

// alone are rules under which an administrator needs nobody.
var alone = []authority.Rule{{Name: "alone", Acts: []authority.Act{authority.Loosen, authority.ApplyPlan, authority.Decide}, Roles: []authority.Role{authority.Administrator}}}

// retaining is a world with folders, a clock that the test moves, one gateway whose
// callers use a system prompt, and a plan that keeps everything for 30 days.
func retaining(t *testing.T, rules []authority.Rule, keeps ...string) *world {
	t.Helper()
	dir := t.TempDir()
	w := newWorld(t, func(c *Config) { c.Evidence, c.Attachments = filepath.Join(dir, "e"), filepath.Join(dir, "a") })
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	w.gate("gw-1", true).snapshots(honest("gw-1", `{"role":"system","content":"prompt of acme"}`))
	if keeps == nil {
		keeps = []string{"incidents 30d", "evidence 30d", "concerns 30d", "accounts 30d"}
	}
	w.applyPlan(w.keepingPlan(rules, keeps...), 0)
	return w
}

func (w *world) keepingPlan(rules []authority.Rule, keeps ...string) *plan.Plan {
	w.t.Helper()
	return examplePlan(w.t, func(p *plan.Plan) {
		p.ReviewBy = plan.Date{Time: w.clock.Now().AddDate(1, 0, 0)}
		p.Authority, p.Limits, p.Retention = rules, nil, nil
		p.Dependants[0].HoldDown = false
		for _, k := range keeps {
			class, keep, _ := strings.Cut(k, " ")
			d, err := correction.ParseDuration(keep)
			must(w.t, err)
			p.Retention = append(p.Retention, plan.Retention{Class: class, Keep: d, Basis: "basis of " + class})
		}
	})
}

// later lets time go by, in steps in which something happens, as it does.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	for d > 0 {
		step := min(d, 20*time.Hour)
		d -= step
		w.clock.advance(step)
		_, err := w.c.execute(w.t.Context(), system, func(*state, time.Time) ([]draft, error) { return []draft{{typeRetentionSeen, nothing{}}}, nil })
		must(w.t, err)
	}
}

func (w *world) retention(query string) retentionView {
	w.t.Helper()
	var v retentionView
	w.ok(200, "GET", "/retention"+query, "", &v)
	return v
}

func (v *retentionView) class(name string) retentionClass {
	return v.Classes[slices.Index(plan.RetentionClasses, name)]
}

// erases waits until a class has lost so many things.
func (w *world) erases(class string, n int) {
	w.t.Helper()
	w.eventually(func() bool { v := w.retention(""); return v.class(class).Erased >= n })
}

// erasesNothing lets passes go by in which nothing may be erased.
func (w *world) erasesNothing() {
	w.t.Helper()
	erased := func() (n int) {
		v := w.retention("")
		for _, k := range v.Classes {
			n += k.Erased
		}
		return n
	}
	was := erased()
	for range 2 {
		must(w.t, w.c.retain(w.t.Context(), &retentionKeeper{lost: map[string]bool{}}))
	}
	if is := erased(); is != was {
		w.t.Helper()
		w.t.Errorf("%d things were erased: %s", is-was, jsonText(w.retention("").Erased))
	}
}

// filled makes an incident with evidence, a file and a personal note.
func (w *world) filled() {
	w.t.Helper()
	w.open(`{"title":"odd answers"}`)
	w.ok(201, "POST", "/evidence", `{"incident":"i-1","reason":"by hand"}`, nil)
	w.ok(200, "POST", "/incidents/i-1/attachments?name=log.txt", "what was said to somebody", nil, "Content-Type", "text/plain")
	w.ok(200, "POST", "/incidents/i-1/notes", `{"text":"Ada Lovelace told me","personal":true}`, nil)
}

func (w *world) closes(id string) {
	w.t.Helper()
	w.step(id+"/close", `{"reason":"benign","text":"over"}`)
}

// disk says whether a text stands in any file of the world.
func (w *world) disk(text string) (found []string) {
	for _, dir := range []string{w.dir, w.c.cfg.Evidence, w.c.cfg.Attachments} {
		err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if data, err := os.ReadFile(name); err == nil && strings.Contains(string(data), text) {
				found = append(found, filepath.Base(name))
			}
			return nil
		})
		must(w.t, err)
	}
	return found
}

// sound holds the record against its checkpoint, and a fold of it anew against the
// state.
func (w *world) sound() {
	w.t.Helper()
	before := w.retention("?limit=500")
	token := w.token
	w.restart()
	w.token = token
	after := w.retention("?limit=500")
	before.Clock, after.Clock = clockView{}, clockView{}
	if a, b := jsonText(before), jsonText(after); a != b {
		w.t.Errorf("folded again it is another:\n%s\n%s", a, b)
	}
	w.stop()
	key, err := note.NewVerifier(w.vkey)
	must(w.t, err)
	if _, err := ledger.Verify(w.t.Context(), filepath.Join(w.dir, "ledger.db"), key, ledger.VerifyOptions{}); err != nil {
		w.t.Error(err)
	}
	w.start()
}

func TestRetentionIsCarriedOut(t *testing.T) {
	w := retaining(t, alone)
	w.filled()
	var r receiptView
	if _, p := w.anyone("POST", "/concerns", `{"topic":"misuse","text":"I saw Grace Hopper","contact":"room 4"}`, &r); p != nil {
		t.Fatal(p)
	}
	w.later(40 * aDay)
	w.erasesNothing() // the incident and the concern are open
	v := w.retention("?state=held")
	if len(v.Items) != 4 || v.class("evidence").Held != 1 || !strings.Contains(jsonText(v.Items), "incident i-1 is open") || !strings.Contains(jsonText(v.Items), "concern k-1 is open") {
		t.Fatalf("%s", jsonText(v))
	}
	w.closes("i-1")
	w.ok(200, "POST", "/concerns/k-1", `{"state":"no_action","message":"we looked"}`, nil)
	w.later(29 * aDay)
	w.erasesNothing()
	if v = w.retention(""); v.class("evidence").Kept != 1 || v.class("evidence").Next.Sub(w.clock.Now()) != aDay {
		t.Fatalf("%s", jsonText(v.class("evidence")))
	}
	w.later(2 * aDay)
	for class, n := range map[string]int{"evidence": 1, "incidents": 2, "concerns": 1} {
		w.erases(class, n)
	}
	w.eventually(func() bool {
		return len(w.disk("Ada Lovelace")) == 0 && len(w.disk("Grace Hopper")) == 0 && len(w.disk("room 4")) == 0
	})
	w.eventually(func() bool {
		return len(w.disk("prompt of acme")) == 0 && len(w.disk("what was said to somebody")) == 0
	})

	// Views say what was erased and under which rule, and are no errors.
	const under = "erased under retention evidence (kept 30d, plan version 1: basis of evidence) on 2030-03-"
	p := w.bad(410, "evidence_erased", "GET", "/evidence/e-1/content", "")
	if !strings.Contains(p.Detail, under) {
		t.Error(p.Detail)
	}
	var e evidenceView
	w.ok(200, "GET", "/evidence/e-1", "", &e)
	if e.Stored != "erased" || e.Erased == nil || e.Erased.Basis != "basis of evidence" || e.State != evidenceIsSealed {
		t.Errorf("%s", jsonText(e))
	}
	w.ok(200, "GET", "/evidence/e-1/proof", "", nil)
	if p = w.bad(410, "attachment_gone", "GET", "/incidents/i-1/attachments/a-1", ""); !strings.Contains(p.Detail, "erased under retention incidents (kept 30d") {
		t.Error(p.Detail)
	}
	told := jsonText(w.timeline("i-1", ""))
	if !strings.Contains(told, `"erased":true,"erased_under":"erased under retention incidents`) || !strings.Contains(told, "2 things erased under retention incidents (kept 30d, plan version 1): basis of incidents") {
		t.Error(told)
	}
	var k concernView
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	if !k.Erased || k.Text != "" || !strings.Contains(k.Under, "retention concerns") || k.Messages[0].Under == "" {
		t.Errorf("%s", jsonText(k))
	}
	var s statusView
	if _, p := w.anyone("POST", "/concerns/status", `{"receipt":"`+r.Receipt+`"}`, &s); p != nil || s.State != "no_action" || !s.Messages[0].Erased {
		t.Errorf("%v %s", p, jsonText(s))
	}
	v = w.retention("")
	if len(v.Items) != 0 || len(v.Erased) != 3 || v.Erased[0].Entry == 0 {
		t.Errorf("%s", jsonText(v))
	}
	w.later(2 * aDay)
	w.erasesNothing() // twice
	w.sound()
	w.bad(410, "evidence_erased", "GET", "/evidence/e-1/content", "")
}

// TestPromptsGoBeforeTheirEvidence: the document that stays is sealed anew, and its
// proof holds.
func TestPromptsGoBeforeTheirEvidence(t *testing.T) {
	w := retaining(t, alone, "evidence 90d", "prompts 10d")
	w.ok(201, "POST", "/evidence", `{"reason":"one"}`, nil)
	w.ok(201, "POST", "/evidence", `{"reason":"two","system_prompts":false}`, nil)
	w.later(12 * aDay)
	w.erases("prompts", 1)
	w.eventually(func() bool { return len(w.disk("prompt of acme")) == 0 })
	var e evidenceView
	w.ok(200, "GET", "/evidence/e-1", "", &e)
	d, data := w.content("e-1")
	if e.Stored != "intact" || e.Redacted == nil || e.Redacted.Class != "prompts" || len(d.Texts) != 0 || len(d.Points) != 1 || len(d.Points[0].Prompts) != 1 ||
		!strings.Contains(jsonText(d.Missing), "1 text erased under retention") || fmt.Sprint(len(data)) != fmt.Sprint(e.Size) {
		t.Fatalf("%s %s", jsonText(e), data)
	}
	var p evidenceProof
	w.ok(200, "GET", "/evidence/e-1/proof", "", &p)
	key, err := note.NewVerifier(w.vkey)
	must(t, err)
	must(t, ledger.VerifyProof([]byte(p.Entry), []byte(p.Proof), key))
	if !strings.Contains(p.Entry, `"sha256":"`+e.SHA256+`"`) || !strings.Contains(p.Entry, `"type":"evidence.redacted"`) {
		t.Error(p.Entry)
	}
	v := w.retention("")
	if k := v.class("prompts"); k.Due+k.Kept+k.Held != 0 {
		t.Errorf("what has no prompts waits to lose them: %s", jsonText(k))
	}
	size := w.log.Size()
	w.erasesNothing()
	if w.log.Size() != size {
		t.Error("documents are looked into again and again")
	}
	w.sound()
	w.later(80 * aDay)
	w.erases("evidence", 2)
	w.bad(410, "evidence_erased", "GET", "/evidence/e-1/content", "")
	w.sound()
}

func TestNothingIsErasedThatIsNeeded(t *testing.T) {
	w := retaining(t, alone, "evidence 10d", "incidents 10d")
	w.ok(201, "POST", "/evidence", `{"reason":"alone"}`, nil)
	w.filled()
	w.closes("i-1")
	w.later(9 * aDay)

	// A hold that was placed a moment before.
	var h, h2 retentionHold
	w.ok(201, "POST", "/retention/holds", `{"of":"e-1","reason":"court","reference":"A 1/30"}`, &h)
	w.ok(201, "POST", "/retention/holds", `{"of":"i-1","reason":"court"}`, &h2)
	if h.ID != "lh-1" || h.By != "op-1" || h2.Incident != "i-1" {
		t.Fatalf("%s %s", jsonText(h), jsonText(h2))
	}
	w.later(2 * aDay)
	w.erasesNothing()
	if told := jsonText(w.retention("?state=held").Items); !strings.Contains(told, `"item":"e-1"`) || !strings.Contains(told, "legal hold lh-1") || !strings.Contains(told, "legal hold lh-2") {
		t.Error(told)
	}
	// Released, it is kept for a day; then it goes. What another holds stays.
	w.ok(200, "POST", "/retention/holds/lh-1/release", `{"reason":"settled"}`, &h)
	if h.ReleasedBy != "op-1" || h.Until.Sub(h.ReleasedAt) != holdGrace {
		t.Errorf("%s", jsonText(h))
	}
	w.ok(200, "POST", "/retention/holds/lh-1/release", `{"reason":"again"}`, &h)
	if h.Released != "settled" {
		t.Errorf("%s", jsonText(h))
	}
	w.erasesNothing()
	w.later(25 * time.Hour)
	w.erases("evidence", 1)
	var e evidenceView
	if w.ok(200, "GET", "/evidence/e-2", "", &e); e.Erased != nil {
		t.Fatal("what is held was erased")
	}
	w.ok(200, "POST", "/retention/holds/lh-2/release", `{"reason":"settled"}`, nil)

	// Open again, and then a decision waits.
	w.step("i-1/reopen", `{"reason":"again"}`)
	w.later(2 * aDay)
	w.erasesNothing()
	w.closes("i-1")
	w.ok(201, "POST", "/retention/holds", `{"of":"everything","reason":"audit"}`, nil)
	w.later(15 * aDay)
	w.erasesNothing()
	if v := w.retention(""); v.class("incidents").Held != 2 || v.class("evidence").Held != 1 {
		t.Errorf("%s", jsonText(v.Classes))
	}
	w.ok(200, "POST", "/retention/holds/lh-3/release", `{"reason":"done"}`, nil)
	w.later(25 * time.Hour)
	w.erases("incidents", 2)
	w.sound()
}

// TestWhatWaitsKeepsWhatItIsAbout: reviews, decisions and pending acts.
func TestWhatWaitsKeepsWhatItIsAbout(t *testing.T) {
	w := retaining(t, alone, "evidence 10d")
	w.open(`{"title":"x"}`)
	w.create(stopInIncident)
	w.sealed("e-1")
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"done"}`, nil)
	w.sealed("e-2")
	w.decision("POST", "/decisions", strings.Replace(asking(`,"incident":"i-1"`, stopIt), "30m", "480h", 1))
	reviewer := w.joins("rev", "approver")
	w.closes("i-1")
	w.later(12 * aDay)
	w.erasesNothing()
	if told := jsonText(w.retention("?state=held").Items); !strings.Contains(told, "review v-1 of c-1 waits") && !strings.Contains(told, "decision d-1 waits") {
		t.Error(told)
	}
	if status, p, _ := w.by(reviewer, "POST", "/reviews/v-1", `{"finding":"justified","statement":"seen"}`); status >= 300 {
		t.Fatal(p)
	}
	w.erasesNothing()
	if told := jsonText(w.retention("?state=held").Items); strings.Contains(told, "review") || !strings.Contains(told, "decision d-1 waits") {
		t.Error(told)
	}
	w.decision("POST", "/decisions/d-1/decide", `{"option":1,"rationale":"it is over"}`)
	w.later(time.Hour)
	w.erases("evidence", 2)
}

func TestAReleaseTakesWhatLooseningTakes(t *testing.T) {
	w := retaining(t, house, "evidence 10d")
	com, ap, ap2, res, vie := w.joins("com", "commander"), w.joins("ap", "approver"), w.joins("ap2", "approver"), w.joins("res", "responder"), w.joins("vie", "viewer")
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, nil)
	if status, _, _ := w.by(res, "POST", "/retention/holds", `{"of":"evidence","reason":"court"}`); status != 201 {
		t.Fatal(status)
	}
	if status, p, _ := w.by(res, "POST", "/retention/holds/lh-1/release", `{"reason":"r"}`); status != 403 {
		t.Error(status, p)
	}
	for _, path := range []string{"/retention"} {
		if status, _, _ := w.by(vie, "GET", path, ""); status != 403 {
			t.Error("a viewer is shown", path, status)
		}
	}
	if status, _, _ := w.by(vie, "POST", "/retention/holds", `{"of":"evidence","reason":"r"}`); status != 403 {
		t.Error(status)
	}
	act := w.asked(com, "/retention/holds/lh-1/release", `{"reason":"settled"}`)
	w.later(12 * aDay)
	w.erasesNothing() // it stands until others agree; and the rule gives them an hour
	if w.act(act.ID).State != actLapsed && w.retention("").Holds[0].ReleasedAt.IsZero() == false {
		t.Error("released by one")
	}
	w.eventually(func() bool { return w.act(act.ID).State == actLapsed })
	act = w.asked(com, "/retention/holds/lh-1/release", `{"reason":"settled"}`)
	if done := w.approve(ap, act.ID); done.State != actOpen {
		t.Errorf("what a release takes is not known, so it takes the most: %s", jsonText(done))
	}
	done := w.approve(ap2, act.ID)
	if h := w.retention("").Holds[0]; h.ReleasedAt.IsZero() || h.ReleasedBy == "" {
		t.Fatalf("%s %s", jsonText(h), jsonText(done))
	}
	w.erasesNothing()
	w.later(25 * time.Hour)
	w.erases("evidence", 1)
}
