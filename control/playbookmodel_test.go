package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/playbook"
)

// crashing is a ledger whose process dies: before what it was given is durable,
// or right after, before anybody is told.
type crashing struct {
	memory
	before, after bool
	appends       int
	at            int // the append that it dies at, from 1; 0: none
}

var errKilled = errors.New("killed")

func (c *crashing) Append(ctx context.Context, at uint64, es ...ledger.Entry) (uint64, error) {
	c.appends++
	dies := c.at == 0 || c.at == c.appends
	if c.before && dies {
		return 0, errKilled
	}
	n, err := c.memory.Append(ctx, at, es...)
	if c.after && dies && err == nil {
		return 0, errKilled
	}
	return n, err
}

// ladder uses every kind of step; each correction's reason is its step's name.
const ladder = `{"name":"ladder","steps":[
 {"name":"one","correction":{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"all":true},"reason":"one"}},
 {"name":"two","after":["start"],"correction":{"kind":"rate","params":{"metric":"requests","limit":9,"window":"1m"},"scope":{"all":true},"reason":"two"},"for":"1h"},
 {"name":"look","after":["one","two"],"task":{"do":"look"}},
 {"name":"pause","after":["one"],"wait":"10m"},
 {"name":"keep","after":["look"],"evidence":{}},
 {"name":"ask","after":["look","pause","keep"],"decision":{"question":"more?","options":["yes","no"],"default":"yes","within":"30m"}},
 {"name":"three","if":{"step":"ask","is":["yes"]},"correction":{"kind":"stop","params":{"level":"L1"},"scope":{"all":true},"reason":"three"},"confirm":true},
 {"name":"four","after":["three"],"if":{"step":"ask","is":["yes"]},"correction":{"kind":"stop","params":{"level":"L2"},"scope":{"all":true},"reason":"four"}},
 {"name":"tell","notice":{"to":["press"],"text":"t"}}],"exit":["quiet","fixed"]}`

// stage is a control plane on a ledger that crashes, with three operators.
type stage struct {
	t      fataler
	log    *crashing
	clk    *clock
	signer order.Signer
	c      *Control
	ops    map[string]*operator
	dir    string // of evidence
}

type fataler interface {
	Fatal(...any)
	Cleanup(func())
}

// take takes all evidence that is due, as the keeper does; whether all was taken.
func (s *stage) take() bool {
	resting := map[string]bool{}
	for {
		next := s.c.nextDue(resting)
		if next == nil {
			return len(resting) == 0
		}
		if !s.c.takeNext(context.Background(), next) {
			resting[next.ID] = true
		}
	}
}

func newStage(t fataler, signer order.Signer) *stage {
	dir, err := os.MkdirTemp("", "evidence-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &stage{t: t, dir: dir, log: &crashing{}, clk: &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, signer: signer}
	s.start()
	for n := 1; n <= 3; n++ {
		_, hash := secret(tokenPrefix)
		s.write("x", typeOperator, operatorBody{ID: fmt.Sprintf("op-%d", n), Name: fmt.Sprintf("o%d", n), Role: string(authority.Commander), Token: hash})
	}
	s.log.appends = 0
	return s
}

func (s *stage) write(actor, kind string, b any) {
	if _, err := s.c.execute(context.Background(), actor, func(*state, time.Time) ([]draft, error) { return []draft{{kind, b}}, nil }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) start() {
	c, err := New(Config{Log: s.log, Evidence: s.dir, Signer: s.signer, Now: s.clk.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.c = c
}

// post calls a route as an operator of that id.
func (s *stage) post(op, path, body string) error {
	req, err := http.NewRequest("POST", "http://x/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var serve func(*Control, *call) error
	for i := range table {
		rt := &table[i]
		want := strings.Split(strings.TrimPrefix(rt.path, "/api/v1/"), "/")
		if rt.method != "POST" || len(want) != len(parts) {
			continue
		}
		ok := true
		for j, w := range want {
			ok = ok && (w == parts[j] || strings.HasPrefix(w, "{"))
		}
		if !ok {
			continue
		}
		for j, w := range want {
			if strings.HasPrefix(w, "{") {
				req.SetPathValue(strings.Trim(w, "{}"), parts[j])
			}
		}
		serve = rt.serve
		break
	}
	if serve == nil {
		s.t.Fatal("no such route: ", path)
	}
	return serve(s.c, &call{w: &recorder{header: http.Header{}}, r: req, op: s.c.state.operators[op]})
}

func startBody(again bool) string {
	return fmt.Sprintf(`{"inline":%s,"reason":"r","again":%v}`, ladder, again)
}

// check holds the run against what is in force: a step that applied a correction
// has exactly that one, and no correction is there without its step. No step has
// two snapshots, and what it was settled by is its own, sealed.
func (s *stage) check() {
	owned := map[string]string{}
	for _, id := range s.c.state.playbook.list {
		r := s.c.state.playbook.runs[id]
		for i := range r.Steps {
			st := &r.Steps[i]
			if (st.State == playbook.Done && st.Kind == playbook.KindCorrection) != (st.Correction != "") {
				s.t.Fatal("step and correction do not go together: ", st)
			}
			if st.Correction == "" {
				continue
			}
			if owned[st.Correction] != "" {
				s.t.Fatal(st.Correction, " is of two steps")
			}
			owned[st.Correction] = id + " " + st.Name
			if k := s.c.state.corrections[st.Correction]; k == nil || k.Reason != st.Name {
				s.t.Fatal("another correction: ", st)
			}
		}
	}
	taken := map[stepID]bool{}
	for _, x := range s.c.state.evidence.list {
		at := stepID{x.Run, x.Step}
		r := s.c.state.playbook.runs[x.Run]
		if r == nil || taken[at] {
			s.t.Fatal("a snapshot of no step, or a second one: ", x.ID, at)
		}
		taken[at] = true
		st, _ := r.Step(x.Step)
		if settled := st.Evidence != ""; settled && (st.Evidence != x.ID || x.State != evidenceIsSealed || st.State != playbook.Done) ||
			!settled && st.State == playbook.Done {
			s.t.Fatal("step and snapshot do not go together: ", x, st)
		}
	}
	for _, k := range s.c.state.list {
		if owned[k.ID] == "" {
			s.t.Fatal("a correction without its step: ", k.ID, k.Reason)
		}
	}
}

// story is one whole run; every act is repeated until it has been done, as people
// do who are told that it is not known.
func story(s *stage) {
	act := func(done func(r *playbook.Run) bool, op, path, body string) {
		for try := 0; ; try++ {
			if r := s.c.state.playbook.runs["r-1"]; r != nil && done(r) {
				return
			}
			if try > 6 {
				s.t.Fatal("it does not go on: ", path)
			}
			if err := s.post(op, path, body); err != nil && s.killed(err) {
				s.start()
			}
		}
	}
	tick := func() {
		for range 4 {
			s.c.clerkRests = time.Time{}
			s.c.tidy(context.Background())
			if !s.c.clerkRests.IsZero() || !s.take() { // the ledger died under it
				s.start()
			}
		}
	}
	settled := func(name, state string) func(r *playbook.Run) bool {
		return func(r *playbook.Run) bool { st, _ := r.Step(name); return st.State == state }
	}
	act(func(*playbook.Run) bool { return true }, "op-1", "/runs", startBody(false))
	tick()
	act(settled("look", playbook.Done), "op-2", "/runs/r-1/done", `{"step":"look","note":"looked"}`)
	tick()
	act(func(r *playbook.Run) bool { return r.State == playbook.OnHold }, "op-2", "/runs/r-1/pause", `{"reason":"lunch"}`)
	act(func(r *playbook.Run) bool { return r.State == playbook.Running }, "op-3", "/runs/r-1/resume", `{}`)
	s.clk.advance(11 * time.Minute)
	tick()
	s.clk.advance(31 * time.Minute)
	tick()
	act(settled("three", playbook.Done), "op-2", "/runs/r-1/confirm", `{"step":"three","note":"yes"}`)
	tick()
	act(settled("tell", playbook.Done), "op-2", "/runs/r-1/done", `{"step":"tell","note":"told"}`)
	for n := 1; n <= 2; n++ {
		act(func(r *playbook.Run) bool { return !r.Exit[n-1].MetAt.IsZero() }, "op-2", "/runs/r-1/met", fmt.Sprintf(`{"criterion":%d,"note":"seen"}`, n))
	}
	act(func(r *playbook.Run) bool { return r.State == playbook.Over }, "op-2", "/runs/r-1/end", `{}`)
}

func (s *stage) killed(err error) bool { return errors.Is(err, errKilled) }

// picture is a run without when and by whom.
func (s *stage) picture() string {
	r := s.c.state.playbook.runs["r-1"]
	var out []string
	for i := range r.Steps {
		out = append(out, r.Steps[i].Name+" "+r.Steps[i].State+" "+r.Steps[i].Choice+r.Steps[i].Evidence)
	}
	return fmt.Sprint(r.State, out, len(s.c.state.evidence.list), len(s.c.state.evidence.due), len(s.c.state.list))
}

// TestRunsSurviveADeathAtEveryEntry kills the control plane at each append of a
// whole run, before it is durable and after; it comes back, goes on, and ends as
// if nothing had been: each correction and each snapshot once, none missing.
func TestRunsSurviveADeathAtEveryEntry(t *testing.T) {
	signer, err := order.GenerateSigner()
	must(t, err)
	plain := newStage(t, signer)
	plain.log.at = 1 << 30
	story(plain)
	plain.check()
	want, appends := plain.picture(), plain.log.appends
	if appends < 12 || !strings.HasPrefix(want, "ended") || !strings.Contains(want, "keep done e-1") || !strings.HasSuffix(want, " 1 0 4") {
		t.Fatal(want, appends)
	}
	for n := 1; n <= appends; n++ {
		for _, after := range []bool{false, true} {
			s := newStage(t, signer)
			s.log.at, s.log.before, s.log.after = n, !after, after
			story(s)
			s.start() // and once more from nothing but the ledger
			s.check()
			if got := s.picture(); got != want {
				t.Errorf("killed at append %d, after %v:\n%s\n%s", n, after, got, want)
			}
		}
	}
	t.Logf("%d appends, each killed before and after", appends)
}

// TestRunModel lets operators, who come and go, do anything to runs in any order,
// with deaths of the process and a clock that moves. Whatever happens: a step and
// its correction go together, nothing is applied twice, by nobody's authority or
// while a run is paused, and another process reads the same.
func TestRunModel(t *testing.T) {
	signer, err := order.GenerateSigner()
	must(t, err)
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(t, signer)
		names := []string{"one", "two", "look", "pause", "keep", "ask", "three", "four", "tell", "nowhere"}
		for range rapid.IntRange(20, 120).Draw(t, "steps") {
			op := fmt.Sprintf("op-%d", rapid.IntRange(1, 3).Draw(t, "op"))
			run := fmt.Sprintf("/runs/r-%d", rapid.IntRange(1, max(1, len(s.c.state.playbook.list))).Draw(t, "run"))
			name := rapid.SampledFrom(names).Draw(t, "step")
			before := len(s.c.state.list)
			paused := map[string]int{}
			for _, id := range s.c.state.playbook.list {
				if r := s.c.state.playbook.runs[id]; r.State != playbook.Running {
					paused[id] = len(r.Corrections())
				}
			}
			s.log.before, s.log.after = false, false
			switch rapid.IntRange(0, 7).Draw(t, "fault") {
			case 0:
				s.log.before = true
			case 1:
				s.log.after = true
			}
			active := s.c.state.operators[op].active()
			var err error
			what := rapid.SampledFrom([]string{"start", "advance", "confirm", "done", "skip", "decide", "retry", "pause", "resume", "abort", "end", "met", "take", "take", "take", "tick", "tick", "tick", "time", "leaves", "abandon", "restart"}).Draw(t, "what")
			switch what {
			case "start":
				if err = s.post(op, "/runs", startBody(rapid.Bool().Draw(t, "again"))); err == nil {
					reached["started"]++
				}
			case "advance":
				err = s.post(op, run+"/advance", `{"reason":"r"}`)
			case "confirm", "done":
				err = s.post(op, run+"/"+what, `{"step":"`+name+`","note":"n"}`)
			case "skip", "retry":
				err = s.post(op, run+"/"+what, `{"step":"`+name+`","reason":"r"}`)
			case "decide":
				err = s.post(op, run+"/decide", `{"step":"ask","choice":"`+rapid.SampledFrom([]string{"yes", "no", "?"}).Draw(t, "choice")+`","reason":"r"}`)
			case "pause", "resume":
				err = s.post(op, run+"/"+what, `{"reason":"r"}`)
			case "abort":
				if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
					err = s.post(op, run+"/abort", `{"reason":"r"}`)
				}
			case "end":
				if err = s.post(op, run+"/end", `{}`); err == nil {
					reached["ended"]++
				}
			case "met":
				err = s.post(op, run+"/met", fmt.Sprintf(`{"criterion":%d,"note":"n"}`, rapid.IntRange(1, 3).Draw(t, "n")))
			case "tick":
				s.c.clerkRests = time.Time{}
				s.c.tidy(context.Background())
				if !s.c.clerkRests.IsZero() {
					err = errKilled
				}
			case "take":
				refuses := rapid.Bool().Draw(t, "disk")
				if refuses {
					if e := errors.Join(os.Rename(s.dir, s.dir+".away"), os.WriteFile(s.dir, nil, 0o600)); e != nil {
						t.Fatal(e)
					}
				}
				if !s.take() {
					err = errKilled
				}
				if refuses {
					if e := errors.Join(os.Remove(s.dir), os.Rename(s.dir+".away", s.dir)); e != nil {
						t.Fatal(e)
					}
				}
			case "time":
				s.clk.advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "min")) * time.Minute)
			case "leaves":
				if op != "op-1" && active {
					s.log.before, s.log.after = false, false
					s.write("op-1", typeOpRemoved, removedOperatorBody{op, "left"})
				}
			case "abandon": // a run is begun, the process dies, and who began it leaves
				if op != "op-1" && active {
					s.log.before, s.log.after = false, true
					_ = s.post(op, "/runs", startBody(true))
					s.log.after = false
					s.start()
					s.write("op-1", typeOpRemoved, removedOperatorBody{op, "left"})
				}
			case "restart":
				s.start()
			}
			if err == nil && !active && what != "tick" && what != "take" && what != "time" && what != "leaves" && what != "abandon" && what != "restart" && len(s.c.state.list) > before {
				t.Fatal("somebody who has left applied a correction:", what)
			}
			if s.log.before || s.log.after {
				s.log.before, s.log.after = false, false
				s.start() // it is dead
				reached["killed"]++
			}
			s.check()
			for id, n := range paused {
				if r := s.c.state.playbook.runs[id]; r.State != playbook.Running && len(r.Corrections()) != n {
					t.Fatal(id, "applied a correction while it was", r.State)
				}
			}
			for _, id := range s.c.state.playbook.list {
				for i := range s.c.state.playbook.runs[id].Steps {
					st := &s.c.state.playbook.runs[id].Steps[i]
					if st.Held != "" {
						reached["held"]++
					}
					if st.State == playbook.Passed {
						reached["passed"]++
					}
					if st.Evidence != "" {
						reached["sealed"]++
					}
					if st.Kind == playbook.KindEvidence && st.Held != "" {
						reached["not taken"]++
					}
				}
			}
		}
		was, _ := json.Marshal(s.c.state.playbook.runs, json.Deterministic(true))
		s.start()
		is, _ := json.Marshal(s.c.state.playbook.runs, json.Deterministic(true))
		if string(was) != string(is) {
			t.Fatalf("another process reads other runs:\n%s\n%s", was, is)
		}
	})
	t.Log(reached)
	for _, what := range []string{"started", "killed", "held", "passed", "sealed"} {
		if reached[what] == 0 {
			t.Error("the steps never lead there, so nothing is tested:", what, reached)
		}
	}
}
