package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"andon/incident"
)

// TestListsAreReadToTheirEnd, and shown as they came to machines.
func TestListsAreReadToTheirEnd(t *testing.T) {
	f := newFake(t).on("GET /tokens", 200, `{"tokens":[{"id":"at-1","name":"pager","operator":"op-1","last_used_at":"2026-11-20T12:00:00Z","newer":1}],"next":"at-1"}`).
		on("GET /tokens", 200, `{"tokens":[{"id":"at-2","name":"probe","operator":"op-2","last_used_at":"2026-11-20T09:00:00Z"},{"id":"at-3","name":"new"}]}`).
		on("GET /operators", 200, `{"operators":[{"id":"op-1","name":"ann"},{"id":"op-2","name":"bea"}]}`)
	f.run(t, "tokens", "ls", "-o", "json").want(t, 0, `[{"id":"at-1"`, `"newer":1`, `{"id":"at-3","name":"new"}]`)
	f.on("GET /tokens", 200, `{"tokens":[],"next":"at-9"}`).run(t, "tokens", "ls").want(t, 0, "at-2", "bea", "2026-11-20 09h UTC", "at-3")
	f.run(t, "tokens", "ls").want(t, 1, "the control plane's list does not go on")
	f.on("GET /join-tokens", 200, `{}`).run(t, "join-token", "ls", "-o", "json").want(t, 0, "[]\n")
	f.on("GET /approvals", 200, `{"approvals":null}`).run(t, "approvals").want(t, 0, "nothing waits for approval\n")
	f.on("GET /keys", 200, `{"keys":{}}`).run(t, "keys", "ls").want(t, 1, "read the answer")
	g := newFake(t).on("GET /tokens", 200, `{"tokens":[{"id":"at-1","name":"pager","operator":"op-1","last_used_at":"2026-11-20T12:00:00Z"}]}`)
	g.run(t, "tokens", "ls").want(t, 0, "op-1", "within the hour")
}

// TestPeopleAreNamed where they did something.
func TestPeopleAreNamed(t *testing.T) {
	f := newFake(t).on("GET /operators", 200, `{"operators":[{"id":"op-5","name":"eve"}]}`).
		on("GET /evidence/e-1", 200, `{"id":"e-1","state":"skipped","by":"op-5","reason":"r"}`).
		on("GET /plan", 200, `{"version":2,"org":"acme","applied_by":"op-5","in_force":true,"reason":"r","plan":{}}`).
		on("GET /plan/versions", 200, `{"versions":[{"version":2,"applied_by":"op-5"}]}`).
		on("GET /incidents", 200, `{"incidents":[{"id":"i-1","status":"open","title":"t","commander":"op-5","opened_at":"2026-11-20T11:00:00Z"}]}`).
		on("GET /incidents/i-1/timeline", 200, `{"entries":[{"seq":4,"at":"2026-11-20T11:00:00Z","type":"decision.made","actor":"op-5","text":"d-1 decided by op-5: option 1"},
			{"seq":5,"at":"2026-11-20T11:01:00Z","type":"incident.note","actor":"op-5","text":"the reporter is …","commitment":"ab12"},
			{"seq":6,"at":"2026-11-20T11:01:00Z","type":"incident.note","actor":"op-5","text":"","commitment":"cd34","erased":true}]}`)
	for _, args := range []string{"evidence show e-1", "plan show", "plan versions", "incident ls"} {
		r := f.run(t, strings.Fields(args)...)
		if r.want(t, 0, "eve"); strings.Contains(r.out, "op-5") {
			t.Errorf("andon %s: %s", args, r.out)
		}
	}
	r := f.run(t, "incident", "timeline", "i-1")
	if r.want(t, 0, "d-1 decided by eve: option 1", "to erase it: andon ledger erase ab12 --reason …", "(erased)"); strings.Contains(r.out, "cd34") {
		t.Error("what was erased is offered to be erased")
	}
}

// TestEmptyArgumentsAreUsage, before anything is asked.
func TestEmptyArgumentsAreUsage(t *testing.T) {
	f := newFake(t)
	for _, args := range [][]string{{"approve", "", "--reason", "r"}, {"runs", "show", " "}, {"incident", "note", "i-1", "\t"}, {"keys", "revoke", ""}, {"corrections", ""}, {"custody", "show", ""}, {"lift", "c-1", "", "--reason", "r"}} {
		f.run(t, args...).want(t, 2, "an argument is empty")
	}
	if len(f.seen) > 0 {
		t.Errorf("the control plane was asked: %v", f.seen)
	}
}

// TestUnknownCommandsAreUsage at every place where a command has others below it.
func TestUnknownCommandsAreUsage(t *testing.T) {
	f, groups := newFake(t), 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if !cmd.HasAvailableSubCommands() || cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		groups++
		var like string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && len(sub.Name()) > len(like) {
				like = sub.Name()
			}
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		f.run(t, append(path, "zzzzzzzz")...).want(t, 2, `unknown command "zzzzzzzz"`, "--help lists the commands")
		f.run(t, append(path, like[:len(like)-1])...).want(t, 2, cmd.CommandPath()+" ", like)
	}
	walk((&command{}).root())
	if groups < 20 || len(f.seen) > 0 {
		t.Errorf("%d groups, %d questions to the control plane", groups, len(f.seen))
	}
}

func TestIncidentHelpAndModels(t *testing.T) {
	r := newFake(t).run(t, "incident", "time", "--help")
	for _, name := range incident.TimeNames {
		if !strings.Contains(r.out, name) {
			t.Errorf("the help lacks %s", name)
		}
	}
	f := newFake(t).on("POST /incidents", 201, incident7).on("GET /models", 200, `{"models":[{"name":"sim-large"}]}`)
	r = f.run(t, "incident", "open", "t", "--model", "sim-large,not-a-model")
	if r.want(t, 0, `warning: "not-a-model" is not a model that is served here`); strings.Contains(r.out, `"sim-large"`) {
		t.Error(r.out)
	}
}

// TestAForkIsSaidFirst, and in the list of what waits.
func TestAForkIsSaidFirst(t *testing.T) {
	const fork = `{"says":"the ledger forks","detail":"gw-1 and gw-2 were shown two records of 9 entries","proven":true,"entry":9,"at":"2026-11-20T11:00:00Z","said_by":["gw-1"],
		"sides":[{"gateway":"gw-1","key":"k1","note":"andon.test\n9\nabc\n"},{"gateway":"gw-2","key":"k2","note":"andon.test\n9\nxyz\n"}]}`
	f := newFake(t).on("GET /ledger/witnesses", 200, `{"size":9,"witnesses":[{"name":"gw-1","kind":"gateway","size":9}],"forks":[`+fork+`]}`).
		on("GET /points", 200, points).on("GET /corrections", 200, corrections).on("GET /whoami", 200, `{"id":"op-1","roles":["auditor"]}`)
	r := f.run(t, "ledger", "witnesses")
	r.want(t, 1, "ALARM the ledger forks\n  gw-1 and gw-2 were shown two records", "the two notes prove it", "entry 9, 60 min ago", "gw-1 vouches, by k1, for\n    andon.test", "gw-2 vouches", "find the other copy", "gw-1     gateway")
	if !strings.HasPrefix(r.out, "ALARM") {
		t.Error("the alarm does not come first")
	}
	f.run(t, "status").want(t, 0, "the ledger forks", "andon ledger witnesses")
	past := newFake(t).on("GET /ledger/witnesses", 200, `{"size":9,"witnesses":[],"forks":[`+strings.Replace(fork, `"said_by":["gw-1"]`, `"said_by":[]`, 1)+`]}`)
	past.run(t, "ledger", "witnesses").want(t, 0, "said by no gateway any more: the ledger forks", "nobody vouches for it yet")
}
