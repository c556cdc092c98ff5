package control

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"andon/openc2"
)

func TestTheHistoryAsOpenC2(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	w.create(stopLarge)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["globex"]},"reason":"r"}`)
	w.ok(200, "POST", "/corrections/c-2/extend", `{"reason":"r","review_by":"`+in(t, "40h")+`"}`, nil)
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"r"}`, nil)
	w.ok(200, "POST", "/restore", `{"before":"c-2","reason":"r"}`, nil)
	g.beat()
	w.clerk(t, func() bool {
		return strings.Count(bodyText(t, w.do("GET", api+"/openc2", "", nil)), `"status":200`) >= 2
	})
	resp := w.do("GET", api+"/openc2", "", nil)
	if resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Error(resp.Header)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(bodyText(t, resp)), "\n") {
		var m struct {
			openc2.Message
			Content struct {
				Action string         `json:"action"`
				Target map[string]any `json:"target"`
				Status int            `json:"status"`
			} `json:"content"`
		}
		must(t, json.Unmarshal([]byte(line), &m))
		if m.ContentType != openc2.ContentType || m.Created == 0 || m.From == "" || m.RequestID == "" {
			t.Errorf("%s", line)
		}
		if m.MsgType == "request" {
			got = append(got, m.Content.Action+" "+strings.SplitN(m.RequestID, ".", 2)[0])
			if len(m.Content.Target) != 1 {
				t.Errorf("%s", line)
			}
		}
	}
	if want := "stop c-1, deny c-2, update c-2, cancel c-1, cancel c-2, stop c-1"; strings.Join(got, ", ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
	}
	w.bad(400, "invalid_query", "GET", "/openc2?from=x", "")
}
