package plan

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// sarifShape is what SARIF 2.1.0 says of the objects that a report uses: their
// required members first, then those that may be there. Its schema refuses others.
var sarifShape = map[string][2]string{
	"log":          {"version runs", "$schema"},
	"run":          {"tool", "results invocations automationDetails columnKind properties"},
	"tool":         {"driver", ""},
	"driver":       {"name", "version rules"},
	"rule":         {"id", "shortDescription help defaultConfiguration"},
	"config":       {"", "level"},
	"message":      {"text", ""},
	"automation":   {"", "id"},
	"invocation":   {"executionSuccessful", "toolExecutionNotifications"},
	"notification": {"message", "level associatedRule"},
	"reference":    {"id", ""},
	"result":       {"message", "ruleId ruleIndex level locations partialFingerprints suppressions"},
	"location":     {"", "physicalLocation logicalLocations"},
	"logical":      {"fullyQualifiedName", ""},
	"physical":     {"artifactLocation", "region"},
	"artifact":     {"uri", ""},
	"region":       {"startLine", "startColumn"},
	"suppression":  {"kind", "status justification"},
}

// sarifMembers leads from an object's member to the kind of object it holds, or
// holds a list of.
var sarifMembers = map[string]string{
	"log.runs": "run", "run.tool": "tool", "tool.driver": "driver", "driver.rules": "rule", "rule.shortDescription": "message", "rule.help": "message", "rule.defaultConfiguration": "config",
	"run.automationDetails": "automation", "run.invocations": "invocation", "invocation.toolExecutionNotifications": "notification", "notification.message": "message", "notification.associatedRule": "reference",
	"run.results": "result", "result.message": "message", "result.locations": "location", "result.suppressions": "suppression",
	"location.physicalLocation": "physical", "location.logicalLocations": "logical", "physical.artifactLocation": "artifact", "physical.region": "region",
}

func sarifFaults(kind, path string, v any) (out []string) {
	if l, ok := v.([]any); ok {
		for i, x := range l {
			out = append(out, sarifFaults(kind, fmt.Sprintf("%s[%d]", path, i), x)...)
		}
		return out
	}
	m, ok := v.(map[string]any)
	if !ok {
		return []string{path + " is no " + kind}
	}
	required, others := strings.Fields(sarifShape[kind][0]), strings.Fields(sarifShape[kind][1])
	for _, r := range required {
		if m[r] == nil {
			out = append(out, path+" lacks "+r)
		}
	}
	for k, x := range m {
		at := path + "." + k
		if !slices.Contains(required, k) && !slices.Contains(others, k) {
			out = append(out, at+" is not known")
		}
		if next := sarifMembers[kind+"."+k]; next != "" {
			out = append(out, sarifFaults(next, at, x)...)
			continue
		}
		s, isText := x.(string)
		n, isNumber := x.(float64)
		good := true
		switch k {
		case "version":
			good = kind == "driver" || s == "2.1.0"
		case "level":
			good = slices.Contains([]string{"none", "note", "warning", "error"}, s)
		case "startLine", "startColumn":
			good = isNumber && n >= 1 && n == float64(int(n))
		case "ruleIndex":
			good = isNumber && n >= 0 && n == float64(int(n))
		case "text", "fullyQualifiedName", "ruleId", "id", "name", "justification":
			good = isText && s != ""
		case "uri":
			u, err := url.Parse(s)
			good = isText && err == nil && u.Scheme == "" && u.Host == "" && !strings.HasPrefix(s, "/") && !strings.Contains(s, "\\")
		case "kind":
			good = s == "external" || s == "inSource"
		case "status":
			good = slices.Contains([]string{"accepted", "underReview", "rejected"}, s)
		case "columnKind":
			good = s == "unicodeCodePoints" || s == "utf16CodeUnits"
		case "executionSuccessful":
			_, good = x.(bool)
		}
		if !good {
			out = append(out, fmt.Sprintf("%s: %v is not valid", at, x))
		}
	}
	return out
}

func TestSARIF(t *testing.T) {
	p, o := loadText(t, goodPlan), goodSeen()
	for _, tc := range gapCases {
		if tc.rule != ruleEmptyRow && tc.rule != ruleNoPlaybook { // which leave nothing to look at
			q, r := loadText(t, goodPlan), goodSeen()
			tc.change(world{q, &r})
			checkSARIF(t, q, r)
		}
	}
	p.Contacts[0].VerifiedAt = Date{}
	o.Traffic = nil
	o.Waivers = []Waiver{{ID: "w-1", Rule: ruleUnverified, Subject: "contact/desk", By: "ann", Reason: "they moved", Until: checkedAt.Add(time.Hour)}}
	log := checkSARIF(t, p, o)
	run := log["runs"].([]any)[0].(map[string]any)
	result := run["results"].([]any)[0].(map[string]any)
	text, _ := json.Marshal(result, json.Deterministic(true))
	for _, want := range []string{`"ruleId":"ANDON-PLAN-801"`, `"level":"error"`, `"uri":"ops/the%20plan/plan.yaml"`, `"startLine":70`, `"startColumn":85`, `"kind":"external"`, `"status":"accepted"`,
		`waived by ann until 2026-11-26 13:00 UTC (w-1): they moved`, `"fullyQualifiedName":"contact/desk"`, `contact/desk: nobody has answered a test message yet. Send a test message`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if rules := run["tool"].(map[string]any)["driver"].(map[string]any)["rules"].([]any); rules[int(result["ruleIndex"].(float64))].(map[string]any)["id"] != ruleUnverified || len(rules) != len(Rules()) {
		t.Error("the index leads to another rule")
	}
	if n := run["invocations"].([]any)[0].(map[string]any)["toolExecutionNotifications"].([]any); len(n) != 2 {
		t.Error(n)
	}
}

func checkSARIF(t *testing.T, p *Plan, o Observed) map[string]any {
	t.Helper()
	r := Check(p, o, checkedAt)
	data, err := r.SARIF("ops/the plan", "dev")
	if err != nil {
		t.Fatal(err)
	}
	var log map[string]any
	if err := json.Unmarshal(data, &log); err != nil {
		t.Fatal(err)
	}
	for _, f := range sarifFaults("log", "log", log) {
		t.Error(f)
	}
	if s, _ := log["$schema"].(string); !strings.HasSuffix(s, "sarif-schema-2.1.0.json") {
		t.Error(s)
	}
	run := log["runs"].([]any)[0].(map[string]any)
	results := run["results"].([]any)
	if len(results) != len(r.Findings) || len(results) == 0 {
		t.Fatalf("%d results of %d findings", len(results), len(r.Findings))
	}
	seen := map[any]bool{}
	for _, x := range results {
		m := x.(map[string]any)
		print := fmt.Sprint(m["partialFingerprints"])
		if seen[print] {
			t.Error("two results have one fingerprint:", m["message"])
		}
		seen[print] = true
	}
	return log
}

// The validator itself finds what is wrong.
func TestTheSARIFValidatorIsStrict(t *testing.T) {
	for _, text := range []string{
		`{"runs":[]}`, `{"version":"2.0.0","runs":[]}`, `{"version":"2.1.0","runs":[{}]}`, `{"version":"2.1.0","runs":[],"x":1}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":""}}}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"a"}},"results":[{"message":{"text":"m"},"level":"blocking"}]}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"a"}},"results":[{"message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"/etc"},"region":{"startLine":0}}}]}]}]}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if len(sarifFaults("log", "log", v)) == 0 {
			t.Errorf("nothing is wrong with %s", text)
		}
	}
}
