package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// SARIF 2.1.0, as far as a report needs it: OASIS, Static Analysis Results
// Interchange Format, sections 3.13 to 3.58.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Automation  sarifID           `json:"automationDetails"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
		Properties  map[string]any    `json:"properties,omitempty"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string       `json:"id"`
		Short   sarifMessage `json:"shortDescription"`
		Help    sarifMessage `json:"help"`
		Default struct {
			Level string `json:"level"`
		} `json:"defaultConfiguration"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifID struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications"`
	}
	sarifNotification struct {
		Level   string       `json:"level"`
		Message sarifMessage `json:"message"`
		Rule    sarifID      `json:"associatedRule"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifMessage       `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	}
	sarifRegion struct {
		Line   int `json:"startLine"`
		Column int `json:"startColumn"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
)

var sarifLevels = map[Level]string{Blocking: "error", Warning: "warning", Note: "note"}

// SARIF is the report as SARIF 2.1.0. Files are named below folder, which is
// where the plan stands as seen from the root of its repository: relative, with
// slashes. A finding that no file says anything about stands at the beginning of
// the plan's first file, so that every reader shows it; without files it has a
// logical location only. Findings that are waived are suppressed, with who and
// until when. Version is the program's.
func (r *Report) SARIF(folder, version string) ([]byte, error) {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "andon plan check", Version: version, Rules: []sarifRule{}}}, Automation: sarifID{"andon/plan-check/" + r.Org},
		Results: []sarifResult{}, ColumnKind: "unicodeCodePoints",
		Properties: map[string]any{"ready": r.Ready, "score": r.Score.Value, "scoreIs": r.Score.How, "observed": r.Observed}}
	for _, rule := range rules {
		s := sarifRule{ID: rule.ID, Short: sarifMessage{rule.Title}, Help: sarifMessage{rule.Do}}
		s.Default.Level = sarifLevels[rule.Level]
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, s)
	}
	inv := sarifInvocation{Successful: true, Notifications: []sarifNotification{}}
	for _, n := range r.NotMade {
		inv.Notifications = append(inv.Notifications, sarifNotification{"note", sarifMessage{"not checked: " + n.Title + ": " + n.Why}, sarifID{n.Rule}})
	}
	run.Invocations = append(run.Invocations, inv)
	first := r.firstFile()
	for i := range r.Findings {
		run.Results = append(run.Results, r.Findings[i].sarif(folder, first))
	}
	return json.Marshal(sarifLog{Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}},
		json.Deterministic(true), jsontext.WithIndent("  "))
}

func (r *Report) firstFile() string {
	first := ""
	for i := range r.Findings {
		if f := r.Findings[i].At.File; f != "" && (first == "" || f < first) {
			first = f
		}
	}
	return first
}

func (f *Finding) sarif(folder, first string) sarifResult {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Subject))
	out := sarifResult{RuleID: f.Rule, RuleIndex: ruleIndex[f.Rule], Level: sarifLevels[f.Level],
		Message:      sarifMessage{f.Subject + ": " + f.Message + ". " + strings.ToUpper(f.Do[:1]) + f.Do[1:] + "."},
		Locations:    []sarifLocation{{Logical: []sarifLogical{{f.Subject}}}},
		Fingerprints: map[string]string{"andonPlanFinding/v1": hex.EncodeToString(sum[:])}}
	at := f.At
	if at.File == "" {
		at = Position{File: first, Line: 1, Col: 1}
	}
	if at.File != "" {
		p := &sarifPhysical{}
		p.Artifact.URI = (&url.URL{Path: path.Join(folder, at.File)}).String()
		if at.Line > 0 {
			p.Region = &sarifRegion{at.Line, max(at.Col, 1)}
		}
		out.Locations[0].Physical = p
	}
	if w := f.Waiver; w != nil {
		out.Suppressions = []sarifSuppression{{"external", "accepted", "waived by " + w.By + " until " + w.Until.UTC().Format("2006-01-02 15:04 UTC") + " (" + w.ID + "): " + w.Reason}}
	}
	return out
}
