package control

import (
	"net/url"
	"strings"
	"testing"
)

// TestASearchTellsNoMerge: that an incident was merged into one that the reader may
// not know of stands on no timeline of theirs, and no search finds it.
func TestASearchTellsNoMerge(t *testing.T) {
	w := newWorld(t, nil)
	w.ok(201, "POST", "/incidents", `{"title":"odd answers"}`, nil)
	w.ok(201, "POST", "/incidents", `{"title":"for the few","marking":{"tlp":"RED","need_to_know":{"roles":["auditor"]}}}`, nil)
	_, few := w.outsider("cora", "commander")
	w.ok(200, "POST", "/incidents/i-1/merge", `{"into":"i-2","reason":"the zebra case","confirm":true}`, nil)
	w.token = few
	var page timelinePage
	w.ok(200, "GET", "/incidents/i-1/timeline", "", &page)
	if told := jsonText(page); strings.Contains(told, "zebra") || strings.Contains(told, "i-2") {
		t.Errorf("the timeline: %s", told)
	}
	for _, words := range []string{"zebra", "i-2"} {
		var l incidentList
		w.ok(200, "GET", "/incidents?in=texts&kind=all&q="+url.QueryEscape(words), "", &l)
		if len(l.Incidents) != 0 || len(l.Found) != 0 {
			t.Errorf("%q: %s", words, jsonText(l))
		}
	}
}
