package control

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestSearchInTexts: what a timeline shows is found, by who may see it, and nobody
// else learns of it, not by a count.
func TestSearchInTexts(t *testing.T) {
	w := newWorld(t, nil)
	admin := w.token
	w.ok(201, "POST", "/incidents", `{"title":"odd answers"}`, nil)
	w.ok(201, "POST", "/incidents", `{"title":"wrong doses","text":"seen by a pharmacy"}`, nil)
	w.ok(201, "POST", "/incidents", `{"title":"for the few","marking":{"tlp":"RED","need_to_know":{"roles":["auditor"]}}}`, nil)
	for id, text := range map[string]string{"i-1": "the Zebra gateway was slow", "i-3": "a zebra as well"} {
		w.ok(200, "POST", "/incidents/"+id+"/notes", `{"text":"`+text+`"}`, nil)
	}
	w.ok(200, "POST", "/incidents/i-1/notes", `{"text":"okapi for auditors","marking":{"need_to_know":{"roles":["auditor"]}}}`, nil)
	w.ok(200, "POST", "/incidents/i-1/notes", `{"text":"a quagga called","personal":true}`, nil)
	w.ok(200, "POST", "/incidents/i-2/hypotheses", `{"text":"a tapir in the tool"}`, nil)
	_, few := w.outsider("cora", "commander")
	for who, token := range map[string]string{"admin": admin, "few": few} {
		w.token = token
		for words, want := range map[string][2]string{ // of the administrator, of who sees less
			"zebra":          {"i-3 i-1", "i-1"},
			"ZEBRA slow":     {"i-1", "i-1"},
			"okapi":          {"i-1", ""},
			"quagga":         {"i-1", "i-1"},
			"tapir tool":     {"i-2", "i-2"},
			"pharmacy":       {"i-2", "i-2"},
			"doses":          {"i-2", "i-2"},
			"for the few":    {"i-3", ""},
			"zebra quagga":   {"", ""}, // no entry holds both
			"nothing at all": {"", ""},
		} {
			var l incidentList
			w.ok(200, "GET", "/incidents?in=texts&q="+url.QueryEscape(words), "", &l)
			var ids []string
			for _, in := range l.Incidents {
				ids = append(ids, in.ID)
			}
			expect := want[0]
			if who == "few" {
				expect = want[1]
			}
			if got := strings.Join(ids, " "); got != expect || l.Total != len(ids) || l.Searched == nil || l.After != "" {
				t.Errorf("%s, %q: %s", who, words, jsonText(l))
			}
			for _, f := range l.Found {
				if who == "few" && (f.Incident == "i-3" || strings.Contains(f.Text, "okapi")) {
					t.Errorf("%s is told of %+v", who, f)
				}
			}
		}
	}
	w.token = few
	var a, b incidentList
	w.ok(200, "GET", "/incidents?in=texts&q=okapi", "", &a)
	w.token = admin
	w.ok(200, "GET", "/incidents?in=texts&q=okapi", "", &b)
	if *a.Searched >= *b.Searched {
		t.Errorf("%d entries were looked at for one who may see less, %d for the other", *a.Searched, *b.Searched)
	}
	w.bad(400, "invalid_query", "GET", "/incidents?in=texts", "")
	w.bad(400, "invalid_query", "GET", "/incidents?in=x&q=a", "")
}

// TestSearchIsBounded: a page ends after so many hits, and goes on where it ended.
func TestSearchIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 7 {
		w.ok(201, "POST", "/incidents", `{"title":"x"}`, nil)
		w.ok(200, "POST", fmt.Sprintf("/incidents/i-%d/notes", i+1), `{"text":"zebra"}`, nil)
	}
	var ids []string
	path := "/incidents?in=texts&q=zebra&limit=3"
	for pages := 0; ; pages++ {
		var l incidentList
		w.ok(200, "GET", path, "", &l)
		for _, in := range l.Incidents {
			ids = append(ids, in.ID)
		}
		if l.After == "" || pages == 5 {
			break
		}
		path = "/incidents?in=texts&q=zebra&limit=3&after=" + l.After
	}
	if got := strings.Join(ids, " "); got != "i-7 i-6 i-5 i-4 i-3 i-2 i-1" {
		t.Error(got)
	}
}
