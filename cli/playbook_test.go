package cli

import (
	"os"
	"path/filepath"
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
	f.run(t, "runs", "confirm", "r-1", "stop").want(t, 1, `step "stop" is waiting`)
	f.run(t, "runs", "skip", "r-1", "stop", "--reason", "r").want(t, 3, "takes the role")
	f.run(t, "runs", "done", "r-1", "look").want(t, 2, "--note is missing")
	f.run(t, "runs", "met", "r-1", "one", "--note", "n").want(t, 2, "not the number of a criterion")
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
