package cacao

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/playbook"
)

// TestManyWaysDoNotGrow: ways that part and meet again and again are each one.
func TestManyWaysDoNotGrow(t *testing.T) {
	steps := []string{step("start", 1, `,"on_completion":"`+at("if-condition", 1)+`"`), step("end", 1, "")}
	const n = 60
	for i := 1; i <= n; i++ {
		next := at("if-condition", i+1)
		if i == n {
			next = at("action", 1)
		}
		steps = append(steps, step("if-condition", i, `,"condition":"c","on_true":"`+next+`","on_false":"`+next+`","on_completion":"`+at("end", 1)+`"`))
	}
	steps = append(steps, act(1, at("end", 1), manual))
	begun := time.Now()
	imp, err := Read([]byte(workflow(steps...)), when)
	if err != nil || len(imp.Playbook.Steps) != n+1 {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Error("it took", took)
	}
}

// FuzzRead: whatever comes, it is refused in few words, or it is a valid playbook
// that can be written and read again.
func FuzzRead(f *testing.F) {
	for _, text := range examples {
		doc, err := Export(parsePlaybook(f, text), Meta{Org: "acme", Created: when, Modified: when})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
		m, _ := members(doc)
		delete(m, "playbook_extensions")
		doc, _ = json.Marshal(m)
		f.Add(doc)
	}
	start := step("start", 1, `,"on_completion":"`+at("parallel", 1)+`"`)
	f.Add([]byte(workflow(start, step("end", 1, ""), step("parallel", 1, `,"next_steps":["`+at("action", 1)+`","`+at("if-condition", 1)+`"],"on_completion":"`+at("end", 1)+`"`), act(1, at("end", 1), manual),
		step("if-condition", 1, `,"condition":"x","on_true":"`+at("action", 1)+`","on_completion":"`+at("end", 1)+`"`))))
	f.Fuzz(func(t *testing.T, data []byte) {
		imp, err := Read(data, when)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Fatal("a long error:", len(err.Error()))
			}
			return
		}
		if faults := imp.Playbook.Validate(playbook.Known{Now: when}); playbook.Broken(faults) {
			t.Fatal(faults)
		}
		doc, err := Export(imp.Playbook, Meta{Org: "acme", Created: when, Modified: when})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read(doc, when)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if again.Playbook.Digest() != imp.Playbook.Digest() {
			t.Fatal("it changed on the way")
		}
	})
}
