package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A stop in an incident: what stood before it is sealed, as the real gateway held on
// to it, though the stop waited for nothing.
func TestEvidenceEndToEnd(t *testing.T) {
	in := install(t)
	key := in.key(`{"org":"acme"}`)
	for range 3 {
		in.expect("before", 200, key, "sim-large")
	}
	body := `{"model":"sim-large","messages":[{"role":"system","content":"be brief, acme"},{"role":"user","content":"hi"}]}`
	if status, _, text := in.do("POST", in.a.GatewayURL()+"/v1/chat/completions", key, body); status != 200 {
		t.Fatal(status, text)
	}
	in.command(in.a.OperatorToken, "POST", "/incidents", `{"title":"odd answers"}`, nil)
	in.command(in.a.OperatorToken, "POST", "/corrections", `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","incident":"i-1","reason":"drill"}`, nil)
	in.expect("after", 503, key, "sim-large")
	var v struct {
		State          string           `json:"state"`
		SHA256         string           `json:"sha256"`
		Missing        []map[string]any `json:"missing"`
		PointsAsked    int              `json:"points_asked"`
		PointsAnswered int              `json:"points_answered"`
		BeforeRevision uint64           `json:"before_revision"`
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if in.command(in.a.OperatorToken, "GET", "/evidence/e-1", "", &v); v.State == "sealed" {
			break
		}
	}
	if v.State != "sealed" || v.PointsAsked != 1 || v.PointsAnswered != 1 || len(v.Missing) != 0 {
		t.Fatalf("%+v", v)
	}
	data, err := os.ReadFile(filepath.Join(in.a.cfg.Layout().Evidence(), v.SHA256[:2], v.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Texts  map[string]string `json:"system_prompt_texts"`
		Points []struct {
			Captured struct{ Before, Revision uint64 }
			Ruling   struct {
				Revision uint64
				Rules    int
			}
			Models []struct{ Name string }
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	p := d.Points[0]
	if p.Captured.Revision != v.BeforeRevision || p.Captured.Before+1 != v.BeforeRevision || p.Ruling.Revision != p.Captured.Before || p.Ruling.Rules != 0 || len(p.Models) != 1 {
		t.Errorf("%+v", p)
	}
	all := ""
	for _, text := range d.Texts {
		all += text
	}
	if !strings.Contains(all, `{"role":"system","content":"be brief, acme"}`) {
		t.Error(all)
	}
}
