package cli

import (
	"strings"
	"testing"
)

const someWorks = `{"points":2,"answered":1,"revision":7,"total":3,"states":{"running":3},"stops":{"cancelled":1,"failing":1,"caller_credential":1},"works":[
	{"id":"batch_1","kind":"batch","gateway":"gw-1","models":["sim-large"],"org":"acme","created":"2026-11-20T11:59:00Z","state":"cancelled","correction":"c-1","stop":"cancelled"},
	{"id":"batch_2","kind":"batch","gateway":"gw-1","models":["a","b"],"any_model":true,"created":"2026-11-20T11:00:00Z","state":"running","correction":"c-1","stop":"failing","attempts":3,"error":"the provider answered 500"}]}`

func TestWorksAreListed(t *testing.T) {
	f := newFake(t).on("GET /works", 200, someWorks)
	f.run(t, "works", "--model", "sim-large", "--state", "running").want(t, 0, "1 of 2 live points", "batch_1", "cancelled by c-1", "any of a,b",
		"NOT cancelled by c-1 after 3 attempts: the provider answered 500", "and 1 more", "acme")
	if r := f.run(t, "works", "-o", "json"); r.code != 0 || !strings.Contains(r.out, `"stops":{`) {
		t.Errorf("%+v", r)
	}
	newFake(t).on("GET /works", 200, `{"points":1,"answered":1,"works":[]}`).run(t, "works").want(t, 0, "nothing goes on")
	newFake(t).on("GET /works", 200, `{"points":1,"answered":1,"works":[]}`).run(t, "works", "--model", "sim-larg").want(t, 0, "nothing of what was asked for")
	newFake(t).on("GET /works", 200, `{"points":0,"answered":0,"works":[]}`).run(t, "works").want(t, 0, "not known: there is no live gateway")
}

// A stop says what became of what ran at providers, once every point has said it;
// for machines, andon works does.
func TestStopTellsOfWorks(t *testing.T) {
	f := accepted(t).
		on("GET /works", 200, `{"points":1,"answered":1,"revision":6,"total":0}`). // not judged yet
		on("GET /works", 200, `{"points":1,"answered":1,"revision":7,"total":4,"stops":{"pending":1,"cancelled":3}}`).
		on("GET /works", 200, `{"points":1,"answered":1,"revision":7,"total":4,"stops":{"failing":1,"cancelled":2,"ended":1}}`)
	f.run(t, "stop", "sim-large", "--reason", "r").want(t, 0, "at providers: 4 works ran, 2 cancelled, 1 had ended, 1 NOT cancelled; 1: the provider does not take it", "andon works --correction c-1")
	if n := len(f.sent("GET /works")); n != 3 {
		t.Errorf("asked %d times", n)
	}
	for _, args := range [][]string{{"stop", "x", "--level", "L1"}, {"stop", "x", "--shadow"}, {"block", "org=acme"}, {"stop", "x", "-o", "json"}} {
		f := accepted(t).on("GET /works", 200, someWorks)
		f.run(t, append(args, "--reason", "r")...).want(t, 0)
		if n := len(f.sent("GET /works")); n != 0 {
			t.Errorf("%v asked for works", args)
		}
	}
}

func TestWatchTellsOfWorks(t *testing.T) {
	v := &watchView{}
	line := v.line(event{name: "works", data: []byte(`{"at":"2026-11-20T12:00:00Z","type":"works","gateway":"gw-1","works":[{"id":"b-1","kind":"batch","stop":"cancelled","correction":"c-1"},{"id":"b-2","kind":"batch"}]}`)})
	if !strings.Contains(line, "gw-1: batch b-1 cancelled by c-1") || strings.Contains(line, "b-2") {
		t.Error(line)
	}
	if line := v.line(event{name: "works", data: []byte(`{"works":[{"id":"b-2","kind":"batch"}]}`)}); line != "" {
		t.Error(line)
	}
}
