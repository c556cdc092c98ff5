package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-json-experiment/json"

	"andon/plan"
)

// exampleFolder writes an example and returns its folder.
func exampleFolder(t *testing.T, example string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plan")
	r := runWith(t, Env{Args: []string{"plan", "init", "--example", example, dir}})
	if r.code != 0 || !strings.Contains(r.out, filepath.Join(dir, "people.yaml")) {
		t.Fatalf("%+v", r)
	}
	return dir
}

// version is the company's plan as a control plane would show it.
func version(t *testing.T, change func(*plan.Plan)) string {
	t.Helper()
	files, err := plan.Example("company", noon)
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	p, err := plan.Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(p)
	}
	data, err := json.Marshal(map[string]any{"version": 3, "org": p.Org, "digest": "d1", "applied_at": noon, "applied_by": "op-1", "reason": "r", "in_force": true, "addresses": "shown", "plan": p})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const noPlan = `{"title":"There is no plan in force","status":404,"code":"no_plan","detail":"no plan was put in force yet"}`

func edit(t *testing.T, name, old, new string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatal(name, "does not hold", old, err)
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(data), old, new)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPlanInitWritesOverNothing(t *testing.T) {
	dir := exampleFolder(t, "frontier")
	before, err := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r := runWith(t, Env{Args: []string{"plan", "init", dir}})
	if r.code != 1 || !strings.Contains(r.err, "is there already; nothing was written") {
		t.Fatalf("%+v", r)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	if string(before) != string(after) {
		t.Fatal("it wrote over a plan")
	}
	if r := runWith(t, Env{Args: []string{"plan", "init", "--example", "bank", t.TempDir()}}); r.code != 2 || !strings.Contains(r.err, "frontier") {
		t.Fatalf("%+v", r)
	}
	schema := runWith(t, Env{Args: []string{"plan", "schema"}})
	if beside, _ := os.ReadFile(filepath.Join(dir, plan.SchemaFile)); schema.out != string(beside) || len(beside) < 1000 {
		t.Fatal("the schema is another one")
	}
}

func TestPlanDiff(t *testing.T) {
	dir := exampleFolder(t, "company")
	f := newFake(t).on("GET /plan", 404, noPlan)
	if r := f.run(t, "plan", "diff", dir); r.code != 0 || !strings.Contains(r.out, "no plan is in force") || !strings.Contains(r.out, "+ threats leaking-data\n") ||
		!strings.Contains(r.out, "--replaces 0") {
		t.Fatalf("%+v", r)
	}
	f = newFake(t).on("GET /plan", 200, version(t, func(p *plan.Plan) {
		p.Threats[1].Severity, p.Limits[0].Count, p.Retention[0].Basis = 2, 5, "another"
		p.Terms = nil
	}))
	r := f.run(t, "plan", "diff", dir)
	for _, want := range []string{"~ threats leaking-data: severity  2 → 1\n", "~ limits ten-an-hour: count  5 → 10\n    LOOSENS: more before others look\n", "+ terms globex-agreement\n",
		"~ retention requests: basis  another → Legitimate", "4 changes to version 3; that loosen: 1\n", "andon plan apply " + dir + " --replaces 3"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	if r.code != 0 {
		t.Error(r.code)
	}
	r = f.run(t, "plan", "diff", dir, "-o", "json")
	var out struct {
		Replaces int           `json:"replaces"`
		Changes  []plan.Change `json:"changes"`
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil || out.Replaces != 3 || len(out.Changes) != 4 {
		t.Errorf("%v %+v", err, r)
	}
	f = newFake(t).on("GET /plan", 200, version(t, nil))
	if r := f.run(t, "plan", "diff", dir); r.code != 0 || r.out != "nothing: version 3 says the same\n" {
		t.Fatalf("%+v", r)
	}
}

func TestPlanApply(t *testing.T) {
	dir := exampleFolder(t, "company")
	f := newFake(t).on("GET /plan", 200, version(t, func(p *plan.Plan) { p.Owner = "leads" })).on("POST /plan", 201, strings.Replace(version(t, nil), `"version":3`, `"version":4`, 1))
	if r := f.run(t, "plan", "apply", dir); r.code != 2 || !strings.Contains(r.err, "reason") {
		t.Fatalf("%+v", r)
	}
	r := f.run(t, "plan", "apply", dir, "--reason", "review")
	if r.code != 0 || !strings.Contains(r.out, "~ plan: owner  leads → operations") || !strings.Contains(r.out, "version 4 is in force") || !strings.Contains(r.out, "undo: andon plan apply --version 3") {
		t.Fatalf("%+v", r)
	}
	sent := f.sent("POST /plan")[0].body
	if sent["replaces"] != 3.0 || sent["reason"] != "review" || len(sent["files"].(string)) != 64 {
		t.Errorf("%v", sent)
	}
	if p := sent["plan"].(map[string]any); p["org"] != "acme" || len(p["playbooks"].([]any)) != 4 {
		t.Error("not the whole plan was sent")
	}
	if r := f.run(t, "plan", "apply", dir, "--reason", "review", "--replaces", "2"); r.code != 0 || f.sent("POST /plan")[1].body["replaces"] != 2.0 {
		t.Fatalf("%+v", r)
	}
	if r := f.run(t, "plan", "apply", dir, "--version", "1", "--reason", "r"); r.code != 2 {
		t.Fatalf("%+v", r)
	}
	f.on("GET /plan/versions/1", 200, strings.Replace(version(t, nil), `"shown"`, `"erased"`, 1))
	if r := f.run(t, "plan", "apply", "--version", "1", "--reason", "r"); r.code != 1 || !strings.Contains(r.err, "are erased") {
		t.Fatalf("%+v", r)
	}
	f = newFake(t).on("GET /plan", 404, noPlan).on("POST /plan", 202, `{"approval":{"id":"a-1","state":"open","says":"put version 1 of the plan in force","takes":{"approvals":1,"approvers":["approver"]}}}`)
	if r := f.run(t, "plan", "apply", dir, "--reason", "review"); r.code != 3 || !strings.Contains(r.out, "not done yet") {
		t.Fatalf("%+v", r)
	}
}

func TestAFaultyPlanIsNotSent(t *testing.T) {
	dir := exampleFolder(t, "company")
	edit(t, filepath.Join(dir, "plan.yaml"), "owner: operations", "owner: opertions")
	edit(t, filepath.Join(dir, "threats.yaml"), "severity: 1", "severity: one")
	f := newFake(t).on("GET /plan", 404, noPlan)
	for _, verb := range []string{"diff", "apply"} {
		args := []string{"plan", verb, dir}
		if verb == "apply" {
			args = append(args, "--reason", "r")
		}
		r := f.run(t, args...)
		for _, want := range []string{filepath.Join(dir, "plan.yaml") + `:8:8: owner: "opertions" is not one of the plan's teams; did you mean "operations"? Allowed: board, leads, operations, platform`,
			filepath.Join(dir, "threats.yaml") + `:`, "wrong type: the text \"one\"", "faults in " + dir + "; nothing was done"} {
			if !strings.Contains(r.err, want) {
				t.Errorf("no %q in\n%s", want, r.err)
			}
		}
		if r.code != 2 || len(f.sent("POST /plan")) > 0 {
			t.Errorf("%s: exit %d", verb, r.code)
		}
	}
	r := f.run(t, "plan", "diff", dir, "-o", "json")
	var out struct {
		Faults []plan.Fault `json:"faults"`
	}
	if err := json.Unmarshal([]byte(r.err), &out); err != nil || len(out.Faults) < 3 || out.Faults[0].Line == 0 || out.Faults[0].File == "" {
		t.Errorf("%v %s", err, r.err)
	}
	if r := f.run(t, "plan", "diff", filepath.Join(dir, "nowhere")); r.code != 2 || !strings.Contains(r.err, "andon plan init") {
		t.Errorf("%+v", r)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "more.yaml")); err != nil {
		t.Fatal(err)
	}
	if r := f.run(t, "plan", "diff", dir); !strings.Contains(r.err, "more.yaml: is a symbolic link") {
		t.Errorf("%+v", r)
	}
}

func TestPlanShow(t *testing.T) {
	f := newFake(t).on("GET /plan", 200, version(t, nil)).
		on("GET /plan/proposals/a-1", 200, `{"approval":"a-1","replaces":3,"digest":"d2","reason":"r","changes":[{"section":"threats","name":"x","what":"removed","loosens":"gone"}]}`).
		on("GET /plan/versions", 200, `{"versions":[{"version":3,"digest":"d1","reason":"r","applied_at":"2026-11-20T11:00:00Z"}],"next":3}`).
		on("GET /plan/versions", 200, `{"versions":[{"version":2,"digest":"d0","reason":"first","applied_at":"2026-11-20T10:00:00Z"}]}`)
	r := f.run(t, "plan", "show")
	for _, want := range []string{"version 3 of the plan of acme  in force", "sim-large", "leaking-data", "two-to-loosen", "over 50 %", "Europe/Berlin", "support-customers"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	for line := range strings.Lines(r.out) {
		if n := len([]rune(line)); n > 121 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if r := f.run(t, "plan", "show", "--proposed", "a-1"); r.code != 0 || !strings.Contains(r.out, "- threats x\n    LOOSENS: gone") || !strings.Contains(r.out, "andon approve a-1") {
		t.Errorf("%+v", r)
	}
	if r := f.run(t, "plan", "show", "--proposed", "a-1", "--version", "2"); r.code != 2 {
		t.Errorf("%+v", r)
	}
	if r := f.run(t, "plan", "versions"); r.code != 0 || !strings.Contains(r.out, "first") || strings.Count(r.out, "\n") != 3 {
		t.Errorf("%+v", r)
	}
}
