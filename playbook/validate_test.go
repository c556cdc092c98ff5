package playbook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

var day = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

// example is a playbook that uses everything.
const example = `{
 "name":"jailbreak","description":"A jailbreak spreads.","version":"3","threats":["jailbreak"],"owner":"safety","tested_at":"2026-09-01",
 "vars":[{"name":"orgs","description":"who is seen","list":true},{"name":"phrase","default":"forbidden phrase"},{"name":"ip","default":"192.0.2.7"}],
 "stop_gap":{"corrections":[{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m","per":"org"},"scope":{"orgs":["__orgs__:value"]},"reason":"stop-gap"}],"for":"2h"},
 "steps":[
  {"name":"snapshot","evidence":{"models":["sim-large"],"what":["orders"]}},
  {"name":"filter","correction":{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["__phrase__:value"],"action":"cut"}},"scope":{"models":["sim-large"]},"reason":"known phrase"},"for":"12h"},
  {"name":"tell","after":["snapshot"],"notice":{"to":["press"],"text":"We look into it: __phrase__:value"}},
  {"name":"watch","after":["filter"],"wait":"30m"},
  {"name":"widen","after":["watch","tell"],"decision":{"question":"Is it contained?","options":["yes","no"],"default":"no","within":"15m"}},
  {"name":"block","if":{"step":"widen","is":["no"]},"correction":{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme","__orgs__:value"],"ips":["__ip__:value"]},"reason":"they use it"},"confirm":true},
  {"name":"stop","if":{"step":"widen","is":["no"]},"correction":{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"last rung"},"confirm":true},
  {"name":"review","task":{"do":"write down what was learnt","who":"safety","within":"2d"}}],
 "exit":["no hit for an hour","a fix is in place"]}`

func parse(t testing.TB, text string) *Playbook {
	t.Helper()
	p := &Playbook{}
	if err := json.Unmarshal([]byte(text), p, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	return p
}

func known() Known {
	return Known{Now: day, Models: []string{"sim-large", "sim-small"}, Teams: []string{"safety"}, Contacts: []string{"press"}, Threats: []string{"jailbreak"},
		Points: []Point{{Name: "gw-1", Models: []string{"sim-large", "sim-small"}, Features: []string{"access", "rate", "stop", "capability.filter", "capability.pin"},
			Versions: map[string][]string{"sim-large": {"1", "2"}}}}}
}

func TestExampleIsValid(t *testing.T) {
	if faults := parse(t, example).Validate(known()); len(faults) > 0 {
		t.Fatal(faults)
	}
}

func TestFaults(t *testing.T) {
	step := func(s string) string { return `{"name":"p","steps":[` + s + `],"exit":["over"]}` }
	stop := `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r"}`
	for name, tc := range map[string]struct{ text, field, detail string }{
		"nothing":            {`{"name":"p","steps":[],"exit":[]}`, "steps", "do nothing"},
		"name":               {`{"name":"A b","steps":[{"name":"a","wait":"1m"}],"exit":["x"]}`, "name", "no name"},
		"no exit":            {`{"name":"p","steps":[{"name":"a","wait":"1m"}],"exit":[]}`, "exit", "missing"},
		"no kind":            {step(`{"name":"a"}`), "steps[0]", "does nothing"},
		"two kinds":          {step(`{"name":"a","wait":"1m","task":{"do":"x"}}`), "steps[0]", "task and wait"},
		"twice":              {step(`{"name":"a","wait":"1m"},{"name":"a","wait":"1m"}`), "steps[1].name", "steps[0] already"},
		"start":              {step(`{"name":"start","wait":"1m"}`), "steps[0].name", "beginning"},
		"after nobody":       {step(`{"name":"a","after":["b"],"wait":"1m"}`), "steps[0].after[0]", `no step "b"`},
		"after itself":       {step(`{"name":"a","after":["a"],"wait":"1m"}`), "steps[0].after[0]", "itself"},
		"circle":             {step(`{"name":"a","after":["c"],"wait":"1m"},{"name":"b","wait":"1m"},{"name":"c","wait":"1m"}`), "steps[0].after", "a ← c ← b ← a"},
		"start not alone":    {step(`{"name":"b","wait":"1m"},{"name":"a","after":["start","b"],"wait":"1m"}`), "steps[1].after[0]", "alone"},
		"confirm":            {step(`{"name":"a","confirm":true,"wait":"1m"}`), "steps[0].confirm", "correction alone"},
		"for":                {step(`{"name":"a","for":"1h","wait":"1m"}`), "steps[0].for", "this step has none"},
		"long for":           {step(`{"name":"a","for":"900d","correction":` + stop + `}`), "steps[0].for", "out of bounds"},
		"level":              {step(`{"name":"a","correction":` + strings.Replace(stop, "L3", "L9", 1) + `}`), "steps[0].correction.params.level", ""},
		"L5":                 {step(`{"name":"a","correction":` + strings.Replace(stop, "L3", "L5", 1) + `}`), "steps[0].correction.params.level", ""},
		"expiry":             {step(`{"name":"a","correction":` + strings.Replace(stop, `"reason"`, `"expires_at":"2030-01-01T00:00:00Z","reason"`, 1) + `}`), "steps[0].correction.expires_at", "write for"},
		"incident":           {step(`{"name":"a","correction":` + strings.Replace(stop, `"reason"`, `"incident":"i-1","reason"`, 1) + `}`), "steps[0].correction.incident", "the run names it"},
		"model":              {step(`{"name":"a","correction":` + strings.Replace(stop, "sim-large", "gpt", 1) + `}`), "steps[0].correction.scope.models[0]", "not a model"},
		"fallback":           {step(`{"name":"a","correction":` + strings.Replace(stop, `"reason"`, `"fallback":"gpt","reason"`, 1) + `}`), "steps[0].correction.fallback", "not a model"},
		"cannot be enforced": {step(`{"name":"a","correction":{"kind":"capability","params":{"disable":["streaming"]},"scope":{"all":true},"reason":"r"}}`), "steps[0].correction", `step "a" names a correction (capability.disable) that cannot be enforced: gw-1 lacks capability.disable`},
		"detector":           {step(`{"name":"a","correction":{"kind":"capability","params":{"filter":{"direction":"output","detector":"toxic","action":"cut"}},"scope":{"all":true},"reason":"r"}}`), "steps[0].correction", "detector toxic"},
		"version":            {step(`{"name":"a","correction":{"kind":"capability","params":{"pin":"0"},"scope":{"models":["sim-large"]},"reason":"r"}}`), "steps[0].correction", "version 0 of sim-large"},
		"wait":               {step(`{"name":"a","wait":"31d"}`), "steps[0].wait", "out of bounds"},
		"nobody told":        {step(`{"name":"a","notice":{"to":[],"text":"x"}}`), "steps[0].notice.to", "who is told"},
		"contact":            {step(`{"name":"a","notice":{"to":["king"],"text":"x"}}`), "steps[0].notice.to[0]", "not a contact"},
		"who":                {step(`{"name":"a","task":{"do":"x","who":"king"}}`), "steps[0].task.who", "not a team"},
		"empty task":         {step(`{"name":"a","task":{"do":" "}}`), "steps[0].task.do", "missing"},
		"one option":         {step(`{"name":"a","decision":{"question":"q","options":["a"],"default":"a","within":"1h"}}`), "steps[0].decision.options", "give 2"},
		"default":            {step(`{"name":"a","decision":{"question":"q","options":["a","b"],"default":"c","within":"1h"}}`), "steps[0].decision.default", "one of the options"},
		"no deadline":        {step(`{"name":"a","decision":{"question":"q","options":["a","b"],"default":"a","within":"0s"}}`), "steps[0].decision.within", "out of bounds"},
		"if of no decision":  {step(`{"name":"a","wait":"1m"},{"name":"b","if":{"step":"a","is":["x"]},"wait":"1m"}`), "steps[1].if.step", "decides"},
		"if of no option":    {step(`{"name":"a","decision":{"question":"q","options":["a","b"],"default":"a","within":"1h"}},{"name":"b","if":{"step":"a","is":["x"]},"wait":"1m"}`), "steps[1].if.is[0]", "not an option"},
		"gap too long":       {`{"name":"p","steps":[],"exit":[],"stop_gap":{"corrections":[` + stop + `],"for":"73h"}}`, "stop_gap.for", "5m to 3d"},
		"gap too short":      {`{"name":"p","steps":[],"exit":[],"stop_gap":{"corrections":[` + stop + `],"for":"4m"}}`, "stop_gap.for", "out of bounds"},
		"gap of nothing":     {`{"name":"p","steps":[],"exit":[],"stop_gap":{"corrections":[],"for":"1h"}}`, "stop_gap.corrections", "give 1"},
		"gap then":           {`{"name":"p","steps":[],"exit":[],"stop_gap":{"corrections":[` + stop + `],"for":"1h","then":"vanish"}}`, "stop_gap.then", "not known"},
		"variable unknown":   {step(`{"name":"a","correction":` + strings.Replace(stop, "sim-large", "__m__:value", 1) + `}`), "steps[0].correction.scope.models[0]", "not a variable"},
		"variable in when":   {`{"name":"p","vars":[{"name":"u","default":"x"}],"steps":[{"name":"a","correction":{"kind":"stop","params":{"level":"L3"},"scope":{"when":"org == '__u__:value'"},"reason":"r"}}],"exit":["x"]}`, "steps[0].correction.scope.when", "expression"},
		"list in a text":     {`{"name":"p","vars":[{"name":"u","default":"x","list":true}],"steps":[{"name":"a","task":{"do":"look at __u__:value"}}],"exit":["x"]}`, "steps[0].task.do", "stand alone"},
		"nested variable":    {`{"name":"p","vars":[{"name":"u","default":"__u__:value"}],"steps":[{"name":"a","wait":"1m"}],"exit":["x"]}`, "vars[0].default", "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := parse(t, tc.text).Validate(known())
			if !Broken(faults) || !slices.ContainsFunc(faults, func(f Fault) bool { return f.Field == tc.field && strings.Contains(f.Detail, tc.detail) && !f.Warning }) {
				t.Errorf("want %s: %s, got %v", tc.field, tc.detail, faults)
			}
		})
	}
}

func TestLadderGoesFromNarrowToBroad(t *testing.T) {
	p := parse(t, `{"name":"p","steps":[{"name":"stop","correction":{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r"}},
	 {"name":"limit","correction":{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1m"},"scope":{"models":["sim-large"]},"reason":"r"}}],"exit":["x"]}`)
	faults := p.Validate(known())
	if len(faults) != 1 || !faults[0].Warning || faults[0].Field != "steps[1].correction" || !strings.Contains(faults[0].Detail, `"limit" takes less away than "stop"`) {
		t.Fatal(faults)
	}
	p.Steps[1].After = []string{Start} // side by side, they are no ladder
	if faults := p.Validate(known()); len(faults) > 0 {
		t.Fatal(faults)
	}
}

func TestFill(t *testing.T) {
	p := parse(t, example)
	got, faults := p.Fill(map[string]string{"orgs": "globex, acme-eu", "ip": "198.51.100.9"})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	block := got.Step("block").Correction.Scope
	if !slices.Equal(block.Orgs, []string{"acme", "globex", "acme-eu"}) || block.IPs[0] != "198.51.100.9" {
		t.Error(block)
	}
	if s := got.Step("tell").Notice.Text; s != "We look into it: forbidden phrase" {
		t.Error(s)
	}
	if p.Step("tell").Notice.Text == got.Step("tell").Notice.Text || len(p.StopGap.Corrections[0].Scope.Orgs) != 1 {
		t.Error("the playbook itself was changed")
	}
	for name, tc := range map[string]struct {
		vars          map[string]string
		field, detail string
	}{
		"missing":    {nil, "vars.orgs", "--var orgs=… (who is seen)"},
		"undeclared": {map[string]string{"orgs": "a", "x": "y"}, "vars.x", "not a variable"},
		"empty part": {map[string]string{"orgs": "a,,b"}, "vars.orgs", "empty"},
		"two lines":  {map[string]string{"orgs": "a", "phrase": "b\nc"}, "vars.phrase", "one line"},
		"hidden":     {map[string]string{"orgs": "a\u202eb"}, "vars.orgs", "plain text"},
		"recursive":  {map[string]string{"orgs": "__ip__:value"}, "vars.orgs", "itself"},
		"long":       {map[string]string{"orgs": strings.Repeat("x", 600)}, "vars.orgs", "at most 512"},
	} {
		if _, faults := p.Fill(tc.vars); len(faults) != 1 || faults[0].Field != tc.field || !strings.Contains(faults[0].Detail, tc.detail) {
			t.Error(name, faults)
		}
	}
}

func TestDigestIsOfTheContent(t *testing.T) {
	a, b := parse(t, example), parse(t, example)
	if a.Digest() != b.Digest() || !strings.HasPrefix(a.Digest(), "sha256:") {
		t.Fatal(a.Digest(), b.Digest())
	}
	if b.Exit[0] = "other"; a.Digest() == b.Digest() {
		t.Fatal("another playbook has the same digest")
	}
}
