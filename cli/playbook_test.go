package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const aRun = `{"id":"r-1","playbook":"leak","digest":"sha256:0","state":"running","started_at":"2026-11-20T11:48:00Z","started_by":"op-1","by":"op-1","reason":"seen","changed":true,
 "steps":[{"name":"limit","kind":"correction","state":"done","what":"limit requests: org acme","who":"the run","auto":true,"by":"op-1","correction":"c-1","settled_at":"2026-11-20T11:48:00Z"},
  {"name":"ask","kind":"decision","state":"ready","what":"contained? (yes | no)","who":"somebody who decides","due":"2026-11-20T12:10:00Z","default":"no","options":["yes","no"]},
  {"name":"stop","kind":"correction","state":"waiting","what":"stop L3: model sim-large\u001b[2J","who":"somebody who confirms it","before":["ask"]}],
 "exit":[{"n":1,"text":"nothing for an hour"}],"corrections":[{"id":"c-1","state":"active"}],"open":["x"],
 "pending":[{"run":"r-1","step":"ask","do":"decide","what":"contained?","who":"somebody who decides","due":"2026-11-20T12:10:00Z"}]}`

func TestRunsAreShownWithTheNextCommand(t *testing.T) {
	f := newFake(t).on("GET /runs/r-1", 200, aRun).on("POST /runs/r-1/decide", 200, aRun).on("POST /runs/r-1/confirm", 409, `{"status":409,"code":"run_state","detail":"step \"stop\" is waiting"}`).
		on("POST /runs/r-1/skip", 403, `{"status":403,"code":"forbidden","detail":"run.skip takes the role responder"}`)
	r := f.run(t, "runs", "show", "r-1")
	r.want(t, 0, "r-1  leak  running  begun 12 min ago, in the name of op-1", "[x]  limit", "c-1 active, by itself", "[>]  ask", "in 10 min: no", "[ ]  stop", "after ask",
		"[ ] over when (1)", "next (in 10 min): contained?", "andon runs decide r-1 ask 'yes|no' --reason", "another playbook of this name")
	for _, c := range r.out {
		if c == 0x1b {
			t.Error("a text steers the terminal")
		}
	}
	f.run(t, "runs", "decide", "r-1", "ask", "no", "--reason", "still there").want(t, 0)
	if b := f.sent("POST /runs/r-1/decide")[0].body; b["step"] != "ask" || b["choice"] != "no" || b["reason"] != "still there" {
		t.Error(b)
	}
	f.run(t, "runs", "decide", "r-1", "extend").want(t, 2, "--reason is required")
	f.run(t, "runs", "decide", "r-1", "yes", "--reason", "quiet").want(t, 0)
	if b := f.sent("POST /runs/r-1/decide")[1].body; b["step"] != "ask" || b["choice"] != "yes" {
		t.Errorf("the one decision that is open was not taken: %v", b)
	}
	f.run(t, "runs", "confirm", "r-1", "stop").want(t, 1, `step "stop" is waiting`)
	f.run(t, "runs", "skip", "r-1", "stop", "--reason", "r").want(t, 3, "takes the role")
	f.run(t, "runs", "done", "r-1", "look").want(t, 2, "--note is missing")
	f.run(t, "runs", "met", "r-1", "one", "--note", "n").want(t, 2, "not the number of a criterion")
}

func TestWhichDecisionOfARun(t *testing.T) {
	two := `{"id":"r-1","state":"running","steps":[{"name":"ask","kind":"decision","state":"ready","options":["yes","no"]},{"name":"tell","kind":"decision","state":"ready","options":["all","none"]}]}`
	f := newFake(t).on("GET /runs/r-1", 200, two).on("GET /runs/r-2", 200, `{"id":"r-2","state":"running","steps":[{"name":"ask","kind":"decision","state":"done"}]}`).
		on("GET /runs/r-3", 200, `{"id":"r-3","state":"running","stop_gap":{"for":"4h","options":["extend","lapse"]}}`).on("POST /runs/r-3/decide", 200, `{"id":"r-3"}`).
		on("POST /runs/r-2/end", 409, `{"status":409,"code":"run_state","detail":"run r-2 cannot end yet: criterion 1, decided by op-5","allowed":["criterion 1"]}`).
		on("GET /operators", 200, `{"operators":[{"id":"op-5","name":"eve"}]}`)
	f.run(t, "runs", "decide", "r-1", "yes", "--reason", "r").want(t, 2, "r-1 asks for 2 decisions: ask, tell; name the step", "andon runs decide r-1 ask 'yes|no' --reason", "andon runs decide r-1 tell 'all|none'")
	f.run(t, "runs", "decide", "r-2", "yes", "--reason", "r").want(t, 2, "r-2 asks for no decision now", "andon runs show r-2")
	f.run(t, "runs", "decide", "r-3", "extend", "--reason", "r").want(t, 0)
	if b := f.sent("POST /runs/r-3/decide")[0].body; b["step"] != nil || b["choice"] != "extend" {
		t.Error(b)
	}
	r := f.run(t, "runs", "end", "r-2")
	if r.want(t, 1, "decided by eve", "open: criterion 1"); strings.Contains(r.err, "allowed") {
		t.Error(r.err)
	}
}

// TestTablesAreCutOnTerminalsAlone: a pipe has no width.
func TestTablesAreCutOnTerminalsAlone(t *testing.T) {
	long := strings.Repeat("a long word ", 12) + "end"
	run := `{"id":"r-1","playbook":"leak","state":"running","started_at":"2026-11-20T11:48:00Z","by":"op-1","reason":"seen","steps":[{"name":"look","kind":"task","state":"skipped","what":"` + long + `","note":"` + long + `"}]}`
	book := `{"name":"leak","description":"d","steps":[{"name":"look","task":{"do":"` + long + `","by":"leads"}}],"exit":["over"],"digest":"x"}`
	f := newFake(t).on("GET /runs/r-1", 200, run).on("GET /runs", 200, `{"runs":[`+run+`]}`).on("GET /playbooks/leak", 200, book).on("GET /operators", 200, `{"operators":[{"id":"op-1","name":"ann"}]}`)
	for _, args := range [][]string{{"runs", "show", "r-1"}, {"playbook", "show", "leak"}} {
		f.run(t, args...).want(t, 0, long)
		env := Env{Args: append(args, "--server", f.URL, "--token", token), Terminal: true}
		if r := runWith(t, env); r.code != 0 || strings.Contains(r.out, long) || !strings.Contains(r.out, "…") {
			t.Errorf("%v: exit %d, %s", args, r.code, r.out)
		}
	}
	f.run(t, "runs", "show", "r-1").want(t, 0, "in the name of ann")
	f.run(t, "runs", "ls").want(t, 0, "ann")
}

func TestPlaybooksAreStarted(t *testing.T) {
	f := newFake(t).on("POST /runs", 201, aRun).on("POST /playbooks/leak/stop-gap", 201, aRun)
	f.run(t, "playbook", "run", "leak", "--var", "orgs=acme,globex", "--incident", "i-1", "--reason", "seen").want(t, 0, "r-1")
	b := f.sent("POST /runs")[0].body
	if vars, _ := b["vars"].(map[string]any); b["playbook"] != "leak" || b["incident"] != "i-1" || vars["orgs"] != "acme,globex" {
		t.Error(b)
	}
	f.run(t, "playbook", "stop-gap", "leak", "--reason", "seen").want(t, 0)
	f.run(t, "playbook", "run", "leak").want(t, 2, "--reason is required")
	f.run(t, "playbook", "run", "leak", "--var", "x", "--reason", "r").want(t, 2, "is not NAME=VALUE")
	f.run(t, "playbook", "run", "--reason", "r").want(t, 2, "give the name")
	f.run(t, "playbook", "export", "leak").want(t, 2, "--cacao")
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("name: mine\nsteps: [{name: a, wait: 1m}]\nexit: [over]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(t, "playbook", "run", "--file", file, "--reason", "r").want(t, 0)
	if inline, _ := f.sent("POST /runs")[1].body["inline"].(map[string]any); inline["name"] != "mine" {
		t.Error(inline)
	}
	if err := os.WriteFile(file, []byte("name: mine\nstepz: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(t, "playbook", "run", "--file", file, "--reason", "r").want(t, 1, "stepz")
}

// TestARunThatWaitsForItsSnapshot says why, and how to go on without.
func TestARunThatWaitsForItsSnapshot(t *testing.T) {
	const steps = `{"id":"r-1","playbook":"leak","state":"running","started_at":"2026-11-20T11:48:00Z","by":"op-1","reason":"seen","steps":[
	 {"name":"first","kind":"evidence","state":"done","what":"take a snapshot","who":"the run","auto":true,"by":"control","evidence":"e-7","settled_at":"2026-11-20T11:49:00Z"},
	 {"name":"keep","kind":"evidence","state":"ready","what":"take a snapshot","who":"the run"},
	 {"name":"again","kind":"evidence","state":"ready","what":"take a snapshot","who":"the run","held":"the disk refused it"}],"exit":[],"corrections":[],
	 "pending":[{"run":"r-1","step":"again","do":"skip","what":"the snapshot was not taken, and is tried again by itself: the disk refused it","who":"somebody"}]}`
	newFake(t).on("GET /runs/r-1", 200, steps).run(t, "runs", "show", "r-1").want(t, 0, "[x]  first", "e-7, by itself", "[>]  keep", "is being taken", "[!]  again", "not taken: the disk refused it", `andon runs skip r-1 again --reason '…'`)
}
