package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/plan"
)

// planFolder is the example of a small company in a folder of its own.
func planFolder(t *testing.T, change func(name, text string) string) string {
	t.Helper()
	files, err := plan.Example("company", noon)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "plan")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		text := string(data)
		if change != nil {
			text = change(name, text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unreviewed makes the example's review date one that is past.
func unreviewed(_, text string) string {
	return regexp.MustCompile(`(?m)^review_by: .*$`).ReplaceAllString(text, "review_by: 2026-01-31")
}

func offline(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, Env{Args: args})
}

func TestPlanCheckOffline(t *testing.T) {
	offline(t, "plan", "check", planFolder(t, nil), "--offline").want(t, 0, "plan of acme: READY", "score ", "Not checked:", "no control plane was asked: ", "share of checks passed")
	dir := planFolder(t, unreviewed)
	r := offline(t, "plan", "check", dir, "--offline")
	r.want(t, 1, "NOT READY", "Blocking:\n  ANDON-PLAN-001  plan: its review was due by 2026-01-31; review the plan", filepath.Join(dir, "plan.yaml")+":", "andon plan waive RULE SUBJECT")
	if strings.Index(r.out, "Blocking:") > strings.Index(r.out, "Not checked:") {
		t.Error("what blocks does not come first")
	}
	offline(t, "plan", "check", "--offline").want(t, 2, "needs a plan's folder")
	offline(t, "plan", "check", dir).want(t, 2, "no control plane is named", "--offline, which checks the folder alone")
	offline(t, "plan", "check", dir, "--offline", "-o", "json", "--sarif", "-").want(t, 2, "either SARIF or JSON")
	offline(t, "plan", "check", filepath.Join(dir, "none"), "--offline").want(t, 2, "none", "andon plan init")
	offline(t, "plan", "check", t.TempDir(), "--offline").want(t, 2, "holds no file that ends in .yaml", "andon plan init")
	offline(t, "plan", "check", "a", "b", "--offline").want(t, 2)
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("modles: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	offline(t, "plan", "check", dir, "--offline").want(t, 2, "bad.yaml:1:1", "modles")
}

func TestPlanCheckForMachines(t *testing.T) {
	dir := planFolder(t, unreviewed)
	r := offline(t, "plan", "check", dir, "--offline", "-o", "json")
	var rep plan.Report
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil || r.code != 1 || rep.Ready || rep.Blocking != 1 || rep.Findings[0].Rule != "ANDON-PLAN-001" || rep.Findings[0].At.File != filepath.ToSlash(filepath.Join(dir, "plan.yaml")) {
		t.Fatalf("%d %v %+v", r.code, err, rep.Findings)
	}
	// SARIF names files from where the command runs.
	t.Chdir(filepath.Dir(dir))
	for _, arg := range []string{"plan", dir} {
		r = offline(t, "plan", "check", arg, "--offline", "--sarif", "-")
		r.want(t, 1, `"version": "2.1.0"`, `"ruleId": "ANDON-PLAN-001"`, `"uri": "plan/plan.yaml"`)
		if strings.Contains(r.out, "READY") || !jsontext.Value(r.out).IsValid() {
			t.Error(r.out)
		}
	}
	r = offline(t, "plan", "check", "plan", "--offline", "--sarif", "out.sarif")
	r.want(t, 1, "NOT READY", "SARIF is in out.sarif")
	data, err := os.ReadFile("out.sarif")
	if err != nil || !strings.Contains(string(data), `"uri": "plan/plan.yaml"`) {
		t.Errorf("%s %v", data, err)
	}
	offline(t, "plan", "check", "plan", "--offline", "--sarif", "no/such/folder").want(t, 1, "write SARIF")
}

func TestTheMatrixFitsATerminal(t *testing.T) {
	r := offline(t, "plan", "check", planFolder(t, nil), "--offline", "--matrix")
	r.want(t, 0, "CORRECTION", "RANK", "P99", "not measured", "unknown", "severity ")
	at := strings.Index(r.out, "severity ")
	for _, line := range strings.Split(r.out[strings.LastIndexByte(r.out[:at], '\n')+1:], "\n") {
		if n := utf8.RuneCountInString(line); n >= 120 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestPlanCheckAgainstAControlPlane(t *testing.T) {
	dir := planFolder(t, nil)
	p, err := plan.Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	seen := plan.Observed{At: noon, Gateways: []plan.Gateway{}, Models: []plan.Served{{Name: "secret"}}, Accounts: []plan.Account{{Name: "ann", Roles: []authority.Role{authority.Viewer}}},
		Waivers: []plan.Waiver{{ID: "w-1", Rule: "ANDON-PLAN-107", Subject: "model/secret", By: "bea", Reason: "it goes on Friday", Until: noon.Add(time.Hour)}}}
	answer, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t).on("GET /readiness/observed", 200, string(answer))
	f.run(t, "plan", "check", dir).want(t, 1, "NOT READY", "ANDON-PLAN-102", "was never seen", "Waived:\n  ANDON-PLAN-107  model/secret: gateways serve it, and the plan does not know it; waived by bea until 2026-11-20 13:00 UTC: it goes on Friday (w-1)",
		"no gateway has recorded any traffic")
	rep := plan.Check(p, seen, noon)
	rep.Version = "3"
	answer, err = json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	f.on("GET /readiness", 200, string(answer))
	f.run(t, "plan", "check").want(t, 1, "version 3 of the plan of acme: NOT READY", "ANDON-PLAN-102")
	f.run(t, "plan", "check", "--sarif", "-").want(t, 1, `"suppressions"`, `"kind": "external"`, `"fullyQualifiedName": "model/secret"`)
	none := newFake(t).on("GET /readiness", 404, `{"title":"There is no plan in force","status":404,"code":"no_plan","detail":"there is nothing to check: no plan is in force","hint":"andon plan init"}`)
	none.run(t, "plan", "check").want(t, 1, "no plan is in force", "andon plan init")
}

func TestWaivingAFinding(t *testing.T) {
	const w = `{"id":"w-1","rule":"ANDON-PLAN-801","title":"t","subject":"contact/desk","reason":"r","by":"op-1","by_name":"ann","at":"2026-11-20T12:00:00Z","until":"2026-12-01T00:00:00Z","state":"active"`
	f := newFake(t).on("POST /readiness/waivers", 201, w+`,"warnings":[{"code":"no_finding","field":"subject","detail":"the plan in force has no such finding now"}]}`).
		on("POST /readiness/waivers/w-1/withdraw", 200, strings.Replace(w, "active", "withdrawn", 1)+"}").
		on("GET /readiness/waivers", 200, `{"waivers":[`+w+`}],"next":"w-1"}`).on("GET /readiness/waivers", 200, `{"waivers":[]}`)
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--until", "2026-11-30", "--reason", "new address").want(t, 0, "w-1  ANDON-PLAN-801 for contact/desk does not block until 2026-12-01 00:00 UTC", "warning: subject", "undo: andon plan unwaive w-1")
	if b := f.sent("POST /readiness/waivers")[0].body; b["until"] != "2026-12-01T00:00:00Z" || b["rule"] != "ANDON-PLAN-801" || b["subject"] != "contact/desk" || b["reason"] != "new address" {
		t.Error(b)
	}
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--until", "2026-11-30T08:00:00+01:00", "--reason", "r").want(t, 0)
	if b := f.sent("POST /readiness/waivers")[1].body; b["until"] != "2026-11-30T07:00:00Z" {
		t.Error(b)
	}
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--until", "soon", "--reason", "r").want(t, 2, "neither a day nor a time")
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--reason", "r").want(t, 2, "when the waiver ends")
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--until", "2026-11-30").want(t, 2, "a reason is required")
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "--until", "2026-11-30", "--reason", "r").want(t, 2, "2 arguments needed")
	f.run(t, "plan", "waivers").want(t, 0, "w-1  active", "contact/desk", "in 10 d")
	f.run(t, "plan", "waivers").want(t, 0, "no finding is waived")
	f.run(t, "plan", "unwaive", "w-1", "--reason", "closed").want(t, 0, "w-1  withdrawn; ANDON-PLAN-801 for contact/desk counts again")
	f.run(t, "plan", "unwaive", "w-1").want(t, 2, "a reason is required")
	f.on("POST /readiness/waivers", 202, `{"approval":{"id":"a-7","act":"plan","do":"waive","says":"waive it","takes":{"approvals":1}}}`)
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--until", "2026-11-30", "--reason", "r") // the answer before
	f.run(t, "plan", "waive", "ANDON-PLAN-801", "contact/desk", "--until", "2026-11-30", "--reason", "r").want(t, 3, "others have to agree", "a-7")
}
