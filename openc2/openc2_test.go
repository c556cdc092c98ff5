package openc2

import (
	"slices"
	"testing"
	"time"

	"andon/correction"
)

// actions are those of the language specification, table 3.3.1.1.
var actions = []string{"scan", "locate", "query", "deny", "contain", "allow", "start", "stop", "restart", "cancel", "set", "update", "redirect", "create", "delete", "detonate", "restore", "copy", "investigate", "remediate"}

func TestEveryKindHasAnAction(t *testing.T) {
	at := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	for want, c := range map[string]correction.Correction{
		"deny":    {Kind: correction.Access, Params: correction.Params{Mode: "block"}},
		"allow":   {Kind: correction.Access, Params: correction.Params{Mode: "allow_only"}},
		"set":     {Kind: correction.Rate},
		"restore": {Kind: correction.Capability, Params: correction.Params{Pin: "v1"}},
		"stop":    {Kind: correction.Stop, Params: correction.Params{Level: "L3"}},
		"contain": {Kind: correction.Stop, Params: correction.Params{Level: "L2"}},
		"delete":  {Kind: correction.Stop, Params: correction.Params{Level: "L6"}},
	} {
		c.ID, c.AppliedAt, c.ExpiresAt = "c-1", at, at.Add(time.Hour)
		cmd := Apply(&c, 7)
		if cmd.Action != want || !slices.Contains(actions, cmd.Action) || len(cmd.Target) != 1 || len(cmd.Actuator) != 1 || cmd.CommandID != "c-1" {
			t.Errorf("%s: %+v", want, cmd)
		}
		if cmd.Args.StartTime != at.UnixMilli() || cmd.Args.StopTime != at.Add(time.Hour).UnixMilli() || cmd.Args.Duration != 0 {
			t.Errorf("%s: at most two of the three times are given: %+v", want, cmd.Args)
		}
	}
	for want, c := range map[string]correction.Correction{"deny": {Kind: correction.Use}, "set": {Kind: correction.Capability, Params: correction.Params{Clamp: map[string]float64{"n": 1}}}} {
		if got := Action(&c); got != want {
			t.Errorf("%s: %s", want, got)
		}
	}
	if c := (correction.Correction{Kind: correction.Capability, Params: correction.Params{Disable: []string{"tools"}}}); Action(&c) != "deny" {
		t.Error(Action(&c))
	}
}

func TestWhatIsAboutAnotherCommandNamesIt(t *testing.T) {
	for _, cmd := range []Command{Cancel("c-1", "r", 9), Update("c-1", "r", time.Now(), time.Time{}, 9)} {
		if cmd.Target["command"] != "c-1" || cmd.CommandID == "c-1" || !slices.Contains(actions, cmd.Action) {
			t.Errorf("%+v", cmd)
		}
	}
	if a, b := Cancel("c-1", "r", 9), Cancel("c-1", "r", 10); a.CommandID == b.CommandID {
		t.Error("two commands of one id")
	}
	if r := Raise("c-1", "L5", "r", 9); r.Action != "contain" || r.CommandID == "c-1" {
		t.Errorf("%+v", r)
	}
}
