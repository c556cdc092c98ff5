package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const incident7 = `{"id":"i-7","title":"wrong doses","kind":"incident","entry":"under_way","status":"investigating","severity":"SEV-1","commander":"op-1","opened_at":"2026-11-20T11:30:00Z","opened_by":"op-1",
	"changed_at":"2026-11-20T11:40:00Z","first_signal_at":"2026-11-20T10:48:00Z","subject":{"models":["sim-large"]},"tlp":"RED","restricted":true,"corrections_in_force":1,
	"harm":[{"harm":"serious_health","status":"suspected"}],"roles":[{"role":"commander","operator":"op-1","from":"2026-11-20T11:30:00Z","by":"op-1"},{"role":"scribe","operator":"op-2","from":"2026-11-20T11:30:00Z","by":"op-1"}],
	"times":[{"name":"started_at","history":[{"value":"2026-11-19T00:00:00Z","precision":"day","status":"estimated","by":"op-1","at":"2026-11-20T11:30:00Z","entry":4}]}],"time_warnings":["contained_at is before started_at"],
	"hypotheses":[{"id":"h-1","text":"a new system prompt","confidence":0.7,"words":"likely","status":"open","by":"op-1","at":"2026-11-20T11:30:00Z","changed_at":"2026-11-20T11:30:00Z"}],
	"tasks":[{"id":"k-1","text":"tell the provider","status":"open","by":"op-1","at":"2026-11-20T11:30:00Z"}],"attachments":[],
	"corrections":[{"id":"c-5","kind":"stop","says":"stop L3 of model sim-large","state":"active"}],"decisions":0,"cases":["t-2"],"signals":3,"merged":[],"splits":[],"entries":12,"next":["contained"],"missing":["task k-1 of i-7 done"]}`

func TestIncidentAtThreeInTheMorning(t *testing.T) {
	f := newFake(t).on("GET /incidents/i-7", 200, incident7)
	r := f.run(t, "incident", "show", "i-7")
	r.want(t, 0, "i-7  INVESTIGATING  SEV-1  wrong doses\n", "clock          72 min since the first signal (2026-11-20T10:48:00Z)", "in force       c-5 stop L3 of model sim-large", "led by         op-1, op-2 scribe",
		"next           andon incident status i-7 contained", "TLP:RED, need to know", "serious health suspected", "started        2026-11-19, estimated", "check          contained_at is before started_at", "h-1 open, likely (0.70): a new system prompt")
	for i, line := range strings.Split(r.out, "\n") {
		if i < 5 && !strings.Contains(line, []string{"INVESTIGATING", "clock", "in force", "led by", "next"}[i]) {
			t.Errorf("line %d is %q", i, line)
		}
		if len([]rune(line)) > 120 {
			t.Errorf("%d wide: %q", len(line), line)
		}
	}
	f.run(t, "incident", "show", "i-7", "-o", "json").want(t, 0, `"id":"i-7"`)
}

// TestIncidentVerbsSendWhatIsMeant: each verb's body, and what it says afterwards.
func TestIncidentVerbsSendWhatIsMeant(t *testing.T) {
	for _, tc := range []struct {
		args []string
		line string
		body map[string]any
		says string
	}{
		{[]string{"incident", "open", "wrong doses", "--model", "sim-large", "--harm", "serious_health:suspected", "--case", "t-2", "--finding", "--tlp", "red", "--need-operator", "op-1,op-2"}, "POST /incidents",
			map[string]any{"title": "wrong doses", "entry": "finding", "harm": []any{map[string]any{"harm": "serious_health", "status": "suspected"}}, "subject": map[string]any{"models": []any{"sim-large"}}, "cases": []any{"t-2"},
				"marking": map[string]any{"tlp": "RED", "need_to_know": map[string]any{"operators": []any{"op-1", "op-2"}}}}, "undo: andon incident severity i-7 --harm serious_health:ruled_out"},
		{[]string{"incident", "open", "drill", "--exercise", "--severity", "3"}, "POST /incidents", map[string]any{"title": "drill", "kind": "exercise", "severity": "SEV-3"}, "next:"},
		{[]string{"incident", "note", "i-7", "seen", "--ref", "c-5", "--ref", "https://x.example/a,b"}, "POST /incidents/i-7/notes", map[string]any{"text": "seen", "refs": []any{"c-5", "https://x.example/a,b"}}, ""},
		{[]string{"incident", "note", "i-7", "a name", "--personal"}, "POST /incidents/i-7/notes", map[string]any{"text": "a name", "personal": true}, ""},
		{[]string{"incident", "status", "i-7", "contained"}, "POST /incidents/i-7/status", map[string]any{"to": "contained"}, "undo: andon incident status i-7 investigating"},
		{[]string{"incident", "severity", "i-7", "2", "--reason", "r"}, "POST /incidents/i-7/severity", map[string]any{"severity": "SEV-2", "reason": "r"}, ""},
		{[]string{"incident", "severity", "i-7", "--harm", "death:ruled_out", "--reason", "r"}, "POST /incidents/i-7/severity", map[string]any{"harm": []any{map[string]any{"harm": "death", "status": "ruled_out"}}, "reason": "r"}, ""},
		{[]string{"incident", "role", "i-7", "commander", "op-3", "--text", "see h-1"}, "POST /incidents/i-7/roles", map[string]any{"role": "commander", "operator": "op-3", "text": "see h-1"}, ""},
		{[]string{"incident", "hypothesis", "i-7", "--change", "h-1", "--confidence", "0.9", "--for", "a-1: the diff", "--against", "no such log", "--reason", "r"}, "POST /incidents/i-7/hypotheses",
			map[string]any{"id": "h-1", "confidence": 0.9, "for": []any{map[string]any{"ref": "a-1", "text": "the diff"}}, "against": []any{map[string]any{"text": "no such log"}}, "reason": "r"}, ""},
		{[]string{"incident", "time", "i-7", "started_at", "2026-11-19", "--status", "estimated", "--reason", "logs"}, "POST /incidents/i-7/times", map[string]any{"name": "started_at", "value": "2026-11-19", "status": "estimated", "reason": "logs"}, "check: contained_at"},
		{[]string{"incident", "mark", "i-7", "tlp:amber+strict", "--role", "commander", "--operator", "op-1,op-2"}, "POST /incidents/i-7/marking",
			map[string]any{"marking": map[string]any{"tlp": "AMBER+STRICT", "need_to_know": map[string]any{"roles": []any{"commander"}, "operators": []any{"op-1", "op-2"}}}}, ""},
		{[]string{"incident", "mark", "i-7", "GREEN", "--entry", "12"}, "POST /incidents/i-7/marking", map[string]any{"marking": map[string]any{"tlp": "GREEN"}, "entry": 12.0}, ""},
		{[]string{"incident", "merge", "i-7", "i-3", "--reason", "r"}, "POST /incidents/i-7/merge", map[string]any{"into": "i-3", "reason": "r"}, "undo: andon incident reopen i-7"},
		{[]string{"incident", "split", "i-7", "the other", "--entry", "12,13", "--correction", "c-5", "--reason", "r"}, "POST /incidents/i-7/split",
			map[string]any{"title": "the other", "entries": []any{12.0, 13.0}, "corrections": []any{"c-5"}, "reason": "r"}, "undo: andon incident merge i-7"},
		{[]string{"incident", "close", "i-7", "resolved", "--text", "done", "--owner", "c-5=op-3"}, "POST /incidents/i-7/close", map[string]any{"reason": "resolved", "text": "done", "owners": map[string]any{"c-5": "op-3"}}, "undo: andon incident reopen i-7"},
	} {
		f := newFake(t).on(tc.line, 200, incident7)
		r := f.run(t, tc.args...)
		r.want(t, 0, tc.says)
		sent := f.sent(tc.line)
		if len(sent) != 1 {
			t.Fatalf("%v sent %v", tc.args, f.seen)
		}
		if diff := cmp.Diff(tc.body, sent[0].body); diff != "" {
			t.Errorf("%v: %s", tc.args, diff)
		}
	}
}

func TestIncidentVerbsThatAreNotUnderstood(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"incident", "status", "i-7"}, "2 arguments needed"},
		{[]string{"incident", "open", "x", "--harm", "boredom"}, "limited_harm"},
		{[]string{"incident", "open", "x", "--tlp", "white"}, "AMBER+STRICT"},
		{[]string{"incident", "hypothesis", "i-7", "x", "--confidence", "likely"}, "no number"},
		{[]string{"incident", "close", "i-7", "resolved", "--owner", "c-5"}, "names no operator"},
		{[]string{"incident", "split", "i-7", "x", "--entry", "one"}, "no number"},
		{[]string{"incident", "attach", "i-7", dir}, "no plain file"},
		{[]string{"incident", "detach", "i-7", "a-1"}, "reason"},
		{[]string{"incident", "fetch", "i-7", "a-1"}, "where to save"},
		{[]string{"signal", "send", "x", "--data", filepath.Join(dir, "list.json")}, "no JSON object"},
		{[]string{"signal", "send", "x", "--observed", "yesterday"}, "no time"},
		{[]string{"incident", "explode"}, "unknown command"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "list.json"), []byte(`[1]`), 0o600); err != nil {
			t.Fatal(err)
		}
		f := newFake(t)
		f.run(t, tc.args...).want(t, 2, tc.says)
		if len(f.seen) > 0 {
			t.Errorf("%v was sent", tc.args)
		}
	}
}

func TestFilesOfIncidents(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "log.txt")
	if err := os.WriteFile(name, []byte("plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t).on("POST /incidents/i-7/attachments", 200, strings.Replace(incident7, `"attachments":[]`, `"attachments":[{"id":"a-1","name":"log.txt"}]`, 1)).on("GET /incidents/i-7/attachments/a-1", 200, "hostile")
	f.run(t, "incident", "attach", "i-7", name, "--type", "text/plain", "--need-operator", "op-1").want(t, 0, `undo: andon incident detach i-7 a-1 --reason`)
	if got := f.sent("POST /incidents/i-7/attachments"); len(got) != 1 || got[0].header.Get("Content-Type") != "text/plain" {
		t.Errorf("%+v", got)
	}
	to := filepath.Join(dir, "out")
	f.run(t, "incident", "fetch", "i-7", "a-1", "--to", to).want(t, 0, "came from outside")
	if data, err := os.ReadFile(to); err != nil || string(data) != "hostile" {
		t.Error(string(data), err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	f.run(t, "incident", "fetch", "i-7", "a-1", "--to", to).want(t, 2, "nothing is written over")
}

func TestSignalsAndCases(t *testing.T) {
	f := newFake(t).
		on("POST /signals", 201, `{"id":"s-1","case":"t-1","title":"odd","count":1,"repeated":false}`).
		on("GET /signals", 200, `{"total":9,"after":"s-1","signals":[{"id":"s-1","case":"t-1","type":"t","source":"m","title":"odd","count":3,"last_at":"2026-11-20T11:00:00Z"}]}`).
		on("GET /signals/outcomes", 200, `{"outcomes":[{"source":"m","type":"t","signals":4,"repeats":1,"cases":3,"open":1,"promoted":1,"closed":{"benign":1},"precision":0.5}]}`).
		on("GET /cases", 200, `{"total":1,"cases":[{"id":"t-1","status":"new","title":"odd","signal_count":2,"repeats":1,"opened_at":"2026-11-20T11:00:00Z"}]}`).
		on("GET /cases/t-1", 200, `{"id":"t-1","status":"new","title":"odd","signal_count":1,"signals":[{"id":"s-1","title":"odd","type":"t","source":"m","count":3,"last_at":"2026-11-20T11:00:00Z"}],"timeline":[{"at":"2026-11-20T11:00:00Z","actor":"op-1","text":"signal s-1"}]}`).
		on("POST /cases/t-1/close", 200, `{"id":"t-1","status":"closed","title":"odd"}`)
	f.run(t, "signal", "send", "odd", "--type", "t", "--source", "m", "--dedup", "k").want(t, 0, "s-1  t-1  odd", "undo: andon cases close t-1 false_positive")
	f.run(t, "signals", "ls", "--type", "t").want(t, 0, "s-1", "60 min ago", "1 of 9; more: --after s-1")
	f.run(t, "signal", "outcomes").want(t, 0, "50 %", "benign 1")
	f.run(t, "cases", "ls").want(t, 0, "t-1", "new")
	f.run(t, "cases", "show", "t-1").want(t, 0, "NEW", "s-1  odd", "next: andon cases assess t-1")
	f.run(t, "cases", "close", "t-1", "benign", "--text", "a test").want(t, 0, "closed", `undo: andon cases reopen t-1 --reason "…"`)
	if got := f.sent("POST /cases/t-1/close"); len(got) != 1 || got[0].body["reason"] != "benign" || got[0].body["text"] != "a test" {
		t.Errorf("%+v", got)
	}
}
