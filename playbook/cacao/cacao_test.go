package cacao

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"andon/playbook"
)

const schemas = "../../../shared/data/cacao-schemas/schemas"

// standard compiles a schema of the standard: as it was published (draft-07, which
// passes over unevaluatedProperties), or strictly, as 2020-12 reads that word.
// There, command-data.json would refuse what every command adds to it, so its own
// lid is taken off: each kind of command has one.
func standard(strict bool, name string) (*jsonschema.Schema, error) {
	const base = "https://raw.githubusercontent.com/oasis-open/cacao-json-schemas/main/schemas/"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	err := filepath.WalkDir(schemas, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			return err
		}
		m := doc.(map[string]any)
		if strict {
			delete(m, "$schema")
			if d.Name() == "command-data.json" {
				delete(m, "unevaluatedProperties")
			}
		}
		return c.AddResource(m["$id"].(string), doc)
	})
	if err != nil {
		return nil, err
	}
	return c.Compile(base + name)
}

var compiled sync.Map

// fits holds a value against a schema of the standard, both ways.
func fits(t *testing.T, name string, v any) {
	t.Helper()
	for _, strict := range []bool{false, true} {
		key := fmt.Sprint(name, strict)
		s, ok := compiled.Load(key)
		if !ok {
			one, err := standard(strict, name)
			if err != nil {
				t.Fatal("the standard's schemas cannot be used: ", err)
			}
			s, _ = compiled.LoadOrStore(key, one)
		}
		if err := s.(*jsonschema.Schema).Validate(v); err != nil {
			t.Fatalf("%s, strict %v: %v", name, strict, err)
		}
	}
}

// conforms holds a document against the schemas: the whole of it, and each
// command, which the whole leaves open, against that of its kind.
func conforms(t *testing.T, doc []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	fits(t, "playbook.json", v)
	for _, s := range v.(map[string]any)["workflow"].(map[string]any) {
		commands, _ := s.(map[string]any)["commands"].([]any)
		for _, c := range commands {
			fits(t, "commands/"+c.(map[string]any)["type"].(string)+".json", c)
		}
	}
}

var when = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

// The playbook of package playbook's own tests, and a stop-gap alone.
var examples = []string{`{
 "name":"jailbreak","description":"A jailbreak spreads.","version":"3","threats":["jailbreak"],"owner":"safety","tested_at":"2026-09-01",
 "vars":[{"name":"orgs","description":"who is seen","list":true},{"name":"phrase","default":"forbidden phrase"},{"name":"ip","default":"192.0.2.7"}],
 "stop_gap":{"corrections":[{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m","per":"org"},"scope":{"orgs":["__orgs__:value"]},"reason":"stop-gap"}],"for":"2h"},
 "steps":[
  {"name":"snapshot","evidence":{"models":["sim-large"],"what":["orders"]}},
  {"name":"filter","correction":{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["__phrase__:value"],"action":"cut"}},"scope":{"models":["sim-large"]},"reason":"known phrase"},"for":"12h"},
  {"name":"tell","after":["snapshot"],"notice":{"to":["press"],"text":"We look into it"}},
  {"name":"watch","after":["filter"],"wait":"30m"},
  {"name":"widen","after":["watch","tell"],"decision":{"question":"Is it contained?","options":["yes","it's not"],"default":"it's not","within":"15m"}},
  {"name":"block","if":{"step":"widen","is":["it's not"]},"correction":{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme","__orgs__:value"],"ips":["__ip__:value"]},"reason":"they use it"},"confirm":true},
  {"name":"stop","if":{"step":"widen","is":["it's not"]},"correction":{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"last rung"},"confirm":true},
  {"name":"review","task":{"do":"write down what was learnt","who":"safety","within":"2d"}}],
 "exit":["no hit for an hour","a fix is in place"]}`,
	`{"name":"gap","stop_gap":{"corrections":[{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"r"}],"for":"5m","then":"lapse"},"steps":[],"exit":[]}`,
	`{"name":"kinds","steps":[
	 {"name":"clamp","correction":{"kind":"capability","params":{"clamp":{"output_tokens":100}},"scope":{"all":true},"reason":"r"}},
	 {"name":"disable","correction":{"kind":"capability","params":{"disable":["web_search"]},"scope":{"all":true},"reason":"r"}},
	 {"name":"pin","correction":{"kind":"capability","params":{"pin":"1"},"scope":{"models":["sim-large"]},"reason":"r"}},
	 {"name":"use","correction":{"kind":"use","params":{"use_case":"malware"},"scope":{"all":true},"reason":"r"}},
	 {"name":"limit","correction":{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1m"},"scope":{"all":true},"reason":"r"}},
	 {"name":"only","correction":{"kind":"access","params":{"mode":"allow_only"},"scope":{"orgs":["acme"]},"reason":"r"}},
	 {"name":"drain","correction":{"kind":"stop","params":{"level":"L2"},"scope":{"all":true},"reason":"r"}}],"exit":["over"]}`}

func parsePlaybook(t testing.TB, text string) *playbook.Playbook {
	t.Helper()
	p := &playbook.Playbook{}
	if err := json.Unmarshal([]byte(text), p, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	if faults := p.Validate(playbook.Known{Now: when}); playbook.Broken(faults) {
		t.Fatal(faults)
	}
	return p
}

// TestExportIsTheStandardsAndComesBackAsItWas: both directions, signed.
func TestExportIsTheStandardsAndComesBackAsItWas(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	sign := func(d [32]byte) ([]byte, error) { return ed25519.Sign(private, []byte(hex.EncodeToString(d[:]))), nil }
	for _, text := range examples {
		p := parsePlaybook(t, text)
		doc, err := Export(p, Meta{Org: "acme", Created: when, Modified: when.Add(time.Hour), Signed: true})
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, doc)
		if doc, err = Sign(doc, public, "acme", when, sign); err != nil {
			t.Fatal(err)
		}
		conforms(t, doc)
		imp, err := Read(doc, when)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if diff := cmp.Diff(p, imp.Playbook); diff != "" || !imp.Own || p.Digest() != imp.Playbook.Digest() {
			t.Error(diff)
		}
		again, err := Export(imp.Playbook, Meta{Org: "acme", Created: when, Modified: when.Add(time.Hour), Signed: true})
		if err != nil {
			t.Fatal(err)
		}
		unsigned, err := with(doc, nil)
		if err != nil || !bytes.Equal(again, unsigned) {
			t.Error("a second export is another document", err)
		}
	}
}

// TestAnotherProgramSeesTheSameSteps: without our extension, the workflow alone
// is read back to the same order, and nothing is applied without a question.
func TestAnotherProgramSeesTheSameSteps(t *testing.T) {
	p := parsePlaybook(t, examples[0])
	doc, err := Export(p, Meta{Org: "acme", Created: when, Modified: when})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := members(doc)
	delete(m, "playbook_extensions")
	doc, _ = json.Marshal(m)
	conforms(t, doc)
	imp, err := Read(doc, when)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) int {
		return slices.IndexFunc(imp.Playbook.Steps, func(s playbook.Step) bool { return s.Name == name })
	}
	for _, name := range []string{"filter", "block 2", "stop 2"} {
		if at(name) < 0 || imp.Playbook.Steps[at(name)].Correction == nil || !imp.Playbook.Steps[at(name)].Confirm {
			t.Errorf("%s: %+v", name, imp.Playbook.Steps)
		}
	}
	if s := imp.Playbook.Step("filter"); s.For != p.Step("filter").For || s.Correction.Params.Filter.Patterns[0] != "__phrase__:value" {
		t.Errorf("%+v", s)
	}
	if s := imp.Playbook.Step("block"); s.If == nil {
		t.Error("the condition is lost")
	}
	if imp.Own || len(imp.Notes) == 0 {
		t.Error("nothing is said about what changed")
	}
}

func TestSignatures(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	other, otherPrivate, _ := ed25519.GenerateKey(nil)
	by := func(k ed25519.PrivateKey) func([32]byte) ([]byte, error) {
		return func(d [32]byte) ([]byte, error) { return ed25519.Sign(k, d[:]), nil }
	}
	plain, err := Export(parsePlaybook(t, examples[0]), Meta{Org: "acme", Created: when, Modified: when})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Verify(plain, when, nil); err != nil || len(s) != 0 {
		t.Fatal(s, err)
	}
	doc, err := Sign(plain, public, "acme", when, by(private))
	if err != nil {
		t.Fatal(err)
	}
	if doc, err = Sign(doc, other, "globex", when, by(otherPrivate)); err != nil { // beside the first
		t.Fatal(err)
	}
	conforms(t, doc)
	got, err := Verify(doc, when, []ed25519.PublicKey{public})
	if err != nil || len(got) != 2 || !got[0].Trusted || got[1].Trusted || got[1].By != "globex" || !got[1].Key.Equal(other) {
		t.Fatal(got, err)
	}
	// Another order of members, and blanks, are the same document.
	pretty := jsontext.Value(slices.Clone(doc))
	if err := pretty.Indent(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(pretty, when, nil); err != nil {
		t.Error(err)
	}
	first := func(edit func(s map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(doc, &m); err != nil {
			t.Fatal(err)
		}
		edit(m["signatures"].([]any)[0].(map[string]any))
		out, _ := json.Marshal(m)
		return out
	}
	for name, tc := range map[string]struct {
		doc  []byte
		says string
	}{
		"changed":       {bytes.Replace(doc, []byte("A jailbreak spreads."), []byte("All is well."), 1), "does not hold"},
		"another key":   {first(func(s map[string]any) { s["public_key"] = der(other) }), "does not hold"},
		"no value":      {first(func(s map[string]any) { delete(s, "value") }), "value is not"},
		"revoked":       {first(func(s map[string]any) { s["revoked"] = true }), "revoked by acme"},
		"past":          {first(func(s map[string]any) { s["valid_until"] = "2026-09-01T00:00:00.000Z" }), "valid_until"},
		"not yet":       {first(func(s map[string]any) { s["valid_from"] = "2027-09-01T00:00:00.000Z" }), "valid_from"},
		"another":       {first(func(s map[string]any) { s["related_to"] = id("playbook", "x") }), "is for the playbook"},
		"version":       {first(func(s map[string]any) { s["related_version"] = "2020-01-01T00:00:00.000Z" }), "is for the version"},
		"algorithm":     {first(func(s map[string]any) { s["algorithm"] = "HS256" }), "allowed: Ed25519"},
		"hash":          {first(func(s map[string]any) { s["hash_algorithm"] = "md5" }), "allowed: sha-256"},
		"thumbprint":    {first(func(s map[string]any) { delete(s, "public_key"); s["thumbprint"] = "x" }), "cannot be judged"},
		"countersigned": {first(func(s map[string]any) { s["signature"] = map[string]any{} }), "countersigned"},
		"unknown":       {first(func(s map[string]any) { s["x"] = 1 }), "cannot be read"},
	} {
		if _, err := Verify(tc.doc, when, nil); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "signatures[0]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func der(k ed25519.PublicKey) string {
	return base64.StdEncoding.EncodeToString(append([]byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}, k...))
}

// TestKnownSignature is the worked example of ITU-T X.590, section 7.1.
func TestKnownSignature(t *testing.T) {
	const value = "F1Sj4VcZlSt5GO3Bcu4izpCklj9DbKDNvc2Trpdznfqgv9HMPUGVtefMsHfTqel-dN20lUXsdoeD8PpVr1ssCg"
	sig := `{"type":"jss","hash_algorithm":"sha-256","algorithm":"Ed25519","public_key":"MCowBQYDK2VwAyEAubMonBfU9pvIbj5RCiWQLD45Jvu6mKr+kQXjvjW8ZkU","value":"` + value + `"}`
	doc := `{"statement":"Hello signed world!","otherProperties":["home","food"],"signatures":[{"value":"another"}]}`
	over, err := signed([]byte(doc), jsontext.Value(sig))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"otherProperties":["home","food"],"signatures":[{"algorithm":"Ed25519","hash_algorithm":"sha-256","public_key":"MCowBQYDK2VwAyEAubMonBfU9pvIbj5RCiWQLD45Jvu6mKr+kQXjvjW8ZkU"}],"statement":"Hello signed world!"}`
	if got := strings.Replace(string(over), `,"type":"jss"`, "", 1); got != want {
		t.Fatalf("%s", got)
	}
	// The example has no type; ours has. Without it, the signature is the example's.
	bare := strings.Replace(sig, `"type":"jss",`, "", 1)
	if over, err = signed([]byte(doc), jsontext.Value(bare)); err != nil {
		t.Fatal(err)
	}
	if err := check(over, bare); err != nil {
		t.Fatal(err)
	}
	if err := check(append(over, ' '), bare); err == nil {
		t.Fatal("a changed document was accepted")
	}
}

func check(over []byte, sig string) error {
	var s Signature
	if err := json.Unmarshal([]byte(sig), &s); err != nil {
		return err
	}
	_, err := s.over(over)
	return err
}

// foreign is a document that another program wrote.
func foreign(steps string) string {
	return `{"type":"playbook","spec_version":"cacao-2.0","id":"playbook--a0777575-5c4c-4710-9f01-15776103837f","name":"Isolate a Model!","created_by":"identity--e4e3d5f6-9e8d-4fb1-8c9e-2f0a7b6c5d4e",
	"created":"2026-01-01T00:00:00.000Z","modified":"2026-01-02T00:00:00.000Z","workflow_start":"` + at("start", 1) + `","workflow":{` + steps + `},
	"playbook_variables":{"__host__":{"type":"string","value":"gw.example"},"__result__":{"type":"string"}},
	"agent_definitions":{"` + at("group", 1) + `":{"type":"group","name":"on-call"}}}`
}

func at(kind string, n int) string { return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", kind, n) }

func step(kind string, n int, rest string) string {
	return fmt.Sprintf(`"%s":{"type":"%s"%s}`, at(kind, n), kind, rest)
}

func act(n int, next, commands string) string {
	return step("action", n, fmt.Sprintf(`,"name":"a%d","agent":"%s","on_completion":"%s","commands":[%s]`, n, at("group", 1), next, commands))
}

const manual = `{"type":"manual","command":"look at __host__:value"}`

func workflow(steps ...string) string { return foreign(strings.Join(steps, ",")) }

func TestForeignPlaybooks(t *testing.T) {
	start := step("start", 1, `,"on_completion":"`+at("action", 1)+`"`)
	end := step("end", 1, "")
	openc2 := func(text string) string {
		return `{"type":"openc2-http","command":"POST /x","content_b64":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
	}
	t.Run("commands", func(t *testing.T) {
		doc := workflow(start, end, act(1, at("action", 2), manual+`,{"type":"bash","command":"rm -rf /"},{"type":"http-api","command":"GET /x","content_b64":"aGVsbG8="}`),
			act(2, at("end", 1), openc2(`{"action":"deny","target":{"ipv4_net":"192.0.2.0/24"},"args":{"duration":3600000}}`)+","+openc2(`{"action":"allow","target":{"ipv4_net":"192.0.2.0/24"}}`)+","+
				openc2(`{"action":"deny","target":{"ipv4_net":"not a net"}}`)+","+openc2(`{"action":"deny","action":"allow","target":{}}`)))
		conforms(t, []byte(doc))
		imp, err := Read([]byte(doc), when)
		if err != nil {
			t.Fatal(err)
		}
		p := imp.Playbook
		if p.Name != "isolate-a-model" || len(p.Steps) != 7 || len(p.Vars) != 1 || p.Vars[0].Name != "host" {
			t.Fatalf("%+v", p)
		}
		if s := p.Steps[1]; s.Task == nil || !strings.HasPrefix(s.Task.Do, "By hand, after reading it (bash):") || !strings.Contains(s.Task.Do, "rm -rf /") || s.Task.Who != "on-call" {
			t.Errorf("%+v", s.Task)
		}
		if s := p.Steps[2]; !strings.Contains(s.Task.Do, "hello") {
			t.Errorf("%+v", s.Task)
		}
		if s := p.Steps[3]; s.Correction == nil || !s.Confirm || s.Correction.Scope.IPs[0] != "192.0.2.0/24" || s.For.String() != "1h" {
			t.Errorf("%+v", s)
		}
		for _, s := range p.Steps[4:] {
			if s.Task == nil {
				t.Errorf("%+v is applied", s)
			}
		}
	})
	t.Run("branches", func(t *testing.T) {
		doc := workflow(step("start", 1, `,"on_completion":"`+at("parallel", 1)+`"`), end,
			step("parallel", 1, `,"next_steps":["`+at("action", 1)+`","`+at("action", 2)+`"],"on_completion":"`+at("if-condition", 1)+`"`),
			act(1, at("end", 1), manual), act(2, at("end", 1), manual),
			step("if-condition", 1, `,"name":"q","condition":"__x__:value = 'y'","on_true":"`+at("action", 3)+`","on_false":"`+at("switch-condition", 1)+`","on_completion":"`+at("action", 6)+`"`),
			act(3, at("end", 1), manual),
			step("switch-condition", 1, `,"name":"s","switch":"__y__:value","cases":{"one":"`+at("action", 4)+`","two":"`+at("action", 5)+`"},"on_completion":"`+at("end", 1)+`"`),
			act(4, at("action", 5), manual), act(5, at("end", 1), manual), act(6, at("end", 1), manual))
		conforms(t, []byte(doc))
		imp, err := Read([]byte(doc), when)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"a1": "[start]", "a2": "[start]", "q": "[a1 a2]", "a3": "[q] q=[true]", "s": "[q] q=[false]", "a4": "[s] s=[one]", "a5": "[a4 s] s=[one two]",
			"a6": "[a3 a5 s]", // whatever was decided
		}
		for _, s := range imp.Playbook.Steps {
			slices.Sort(s.After)
			got := fmt.Sprint(s.After)
			if s.If != nil {
				got += fmt.Sprint(" ", s.If.Step, "=", s.If.Is)
			}
			if got != want[s.Name] {
				t.Errorf("%s: %s, want %s", s.Name, got, want[s.Name])
			}
			delete(want, s.Name)
		}
		if len(want) > 0 {
			t.Error("missing:", want)
		}
	})
	t.Run("failure", func(t *testing.T) {
		doc := workflow(start, end, strings.Replace(act(1, at("action", 2), manual), `"on_completion"`, `"on_failure":"`+at("action", 3)+`","delay":60000,"on_success"`, 1), act(2, at("end", 1), manual), act(3, at("end", 1), manual))
		conforms(t, []byte(doc))
		imp, err := Read([]byte(doc), when)
		if err != nil {
			t.Fatal(err)
		}
		p := imp.Playbook
		if p.Steps[0].Wait.String() != "1m" || p.Step("outcome of a1") == nil || p.Step("a3").If == nil || p.Step("a3").If.Is[0] != "failure" || p.Step("a2").If.Is[0] != "success" {
			t.Errorf("%+v", p.Steps)
		}
	})
	deep := strings.Repeat(`{"x":`, 40) + "1" + strings.Repeat("}", 40)
	good := workflow(start, end, act(1, at("end", 1), manual))
	for name, tc := range map[string]struct{ doc, says string }{
		"nothing":            {``, "not a JSON object"},
		"a list":             {`[]`, "not a JSON object"},
		"another thing":      {`{"type":"bundle"}`, `type is "bundle"`},
		"another version":    {strings.Replace(good, "cacao-2.0", "cacao-1.1", 1), "allowed: cacao-2.0"},
		"twice":              {strings.Replace(good, `"type":"playbook"`, `"type":"playbook","type":"playbook"`, 1), "RFC 7493"},
		"twice inside":       {strings.Replace(good, `"type":"action"`, `"type":"action","type":"action"`, 1), "RFC 7493"},
		"deep":               {strings.Replace(good, `"type":"playbook"`, `"x":`+deep+`,"type":"playbook"`, 1), "deeper"},
		"large":              {good + strings.Repeat(" ", MaxDocument), "at most"},
		"two documents":      {good + good, "something follows"},
		"unknown member":     {strings.Replace(good, `"type":"playbook"`, `"typo":1,"type":"playbook"`, 1), "typo"},
		"unknown in step":    {strings.Replace(good, `"agent":`, `"force":true,"agent":`, 1), "force"},
		"other case":         {strings.Replace(good, `"agent":`, `"On_Completion":"x","agent":`, 1), "On_Completion"},
		"revoked":            {strings.Replace(good, `"type":"playbook"`, `"revoked":true,"type":"playbook"`, 1), "revoked"},
		"over":               {strings.Replace(good, `"type":"playbook"`, `"valid_until":"2020-01-01T00:00:00Z","type":"playbook"`, 1), "valid_until"},
		"no start":           {strings.Replace(good, `"workflow_start":"start--`, `"workflow_start":"end--`, 1), "start step"},
		"circle":             {workflow(start, end, act(1, at("action", 2), manual), act(2, at("action", 1), manual)), "comes back"},
		"circle by the way":  {workflow(step("start", 1, `,"on_completion":"`+at("parallel", 1)+`"`), end, step("parallel", 1, `,"next_steps":["`+at("action", 1)+`","`+at("action", 2)+`"],"on_completion":"`+at("action", 3)+`"`), act(1, at("end", 1), manual), act(2, at("end", 1), manual), act(3, at("action", 1), manual)), "comes back"},
		"missing step":       {workflow(start, end, act(1, at("action", 9), manual)), "leads to action--00000000-0000-4000-8000-000000000009, which is not"},
		"while":              {workflow(step("start", 1, `,"on_completion":"`+at("while-condition", 1)+`"`), end, step("while-condition", 1, `,"condition":"x","on_true":"`+at("action", 1)+`","on_completion":"`+at("end", 1)+`"`), act(1, at("end", 1), manual)), "while-condition--00000000-0000-4000-8000-000000000001: a while-condition"},
		"type and id":        {strings.Replace(good, `"type":"end"`, `"type":"action"`, 1), "its identifier says"},
		"bad identifier":     {strings.ReplaceAll(good, at("action", 1), "action--1"), "no identifier"},
		"nothing to do":      {workflow(step("start", 1, `,"on_completion":"`+at("end", 1)+`"`), end), "no step that does anything"},
		"an empty action":    {workflow(start, end, act(1, at("end", 1), "")), "no commands"},
		"both ways":          {workflow(start, end, strings.Replace(act(1, at("end", 1), manual), `"on_completion"`, `"on_success":"`+at("end", 1)+`","on_completion"`, 1)), "stands beside"},
		"different branches": {workflow(step("start", 1, `,"on_completion":"`+at("parallel", 1)+`"`), end, step("parallel", 1, `,"next_steps":["`+at("if-condition", 1)+`","`+at("if-condition", 2)+`"],"on_completion":"`+at("end", 1)+`"`), step("if-condition", 1, `,"condition":"a","on_true":"`+at("action", 1)+`","on_completion":"`+at("end", 1)+`"`), step("if-condition", 2, `,"condition":"b","on_true":"`+at("action", 1)+`","on_completion":"`+at("end", 1)+`"`), act(1, at("end", 1), manual)), "different decisions"},
	} {
		if _, err := Read([]byte(tc.doc), when); err == nil || !strings.Contains(err.Error(), tc.says) || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhatLiesInTheExtension: whoever changes one half is found out.
func TestWhatLiesInTheExtension(t *testing.T) {
	doc, err := Export(parsePlaybook(t, examples[0]), Meta{Org: "acme", Created: when, Modified: when})
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string][]byte{
		"extension": bytes.Replace(doc, []byte(`"level":"L3"`), []byte(`"level":"L4"`), 1),
		"workflow":  bytes.Replace(doc, []byte(`"command":"write down what was learnt"`), []byte(`"command":"nothing"`), 1),
	} {
		if bytes.Equal(lie, doc) {
			t.Fatal(name, "nothing was changed")
		}
		if _, err := Read(lie, when); err == nil || !strings.Contains(err.Error(), "different things") {
			t.Error(name, err)
		}
	}
}
