package gateway

import (
	"strings"
	"testing"
)

// Every wire, by the path and the body of a call that streams, and of one that
// does not.
var spoken = []struct{ name, stream, plain, path, plainPath string }{
	{"chat", `{"model":"sim-large","stream":true,"messages":[{"role":"user","content":%q}]}`, `{"model":"sim-large","messages":[{"role":"user","content":%q}]}`, "/v1/chat/completions", "/v1/chat/completions"},
	{"responses", `{"model":"sim-large","stream":true,"input":%q}`, `{"model":"sim-large","input":%q}`, "/v1/responses", "/v1/responses"},
	{"messages", `{"model":"sim-large","stream":true,"max_tokens":1000,"messages":[{"role":"user","content":%q}]}`, `{"model":"sim-large","max_tokens":1000,"messages":[{"role":"user","content":%q}]}`, "/v1/messages", "/v1/messages"},
	{"gemini", `{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, `{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, "/v1beta/models/sim-large:streamGenerateContent?alt=sse", "/v1beta/models/sim-large:generateContent"},
}

func said(format, text string) string {
	quoted := strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`)
	return strings.Replace(format, "%q", `"`+quoted+`"`, 1)
}

// A forbidden text in an answer never reaches the client, and is answered by a
// typed refusal or a typed end, on every wire.
func TestAnswersAreFiltered(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, nil)
	for _, action := range []string{"cut", "block", "redact"} {
		id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["Forbidden Phrase"],"action":"`+action+`"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
		for _, w := range spoken {
			text := `sim: text="this is allowed and then a forbidden phrase follows it and more"`
			st := openStream(t, g, w.path, said(w.stream, text))
			all := strings.Join(st.rest(t), "")
			told := joined(all)
			if strings.Contains(told, "forbidden phrase") || !strings.Contains(all, "allowed") {
				t.Errorf("%s, %s: %d %s", w.name, action, st.resp.StatusCode, all)
			}
			if action == "redact" {
				if !strings.Contains(told, "[removed]") || !strings.Contains(told, "follows it and more") || strings.Contains(all, "andon_correction") {
					t.Errorf("%s: not redacted: %s", w.name, all)
				}
			} else if !strings.Contains(all, "andon_correction") || !strings.Contains(all, id) || strings.Contains(told, "follows it") {
				t.Errorf("%s: not ended: %s", w.name, all)
			}
			a := send(t, g, w.plainPath, said(w.plain, text))
			if strings.Contains(a.body, "forbidden phrase") {
				t.Errorf("%s, %s, plain: %s", w.name, action, a.body)
			}
			if action == "redact" && (a.status != 200 || !strings.Contains(a.body, "[removed] follows it")) || action != "redact" && (a.status < 400 || !strings.Contains(a.body, id)) {
				t.Errorf("%s, %s, plain: %d %s", w.name, action, a.status, a.body)
			}
			if a := send(t, g, w.plainPath, said(w.plain, `sim: text="nothing of that kind"`)); a.status != 200 || !strings.Contains(a.body, "nothing of that kind") {
				t.Errorf("%s, %s: what is allowed: %d %s", w.name, action, a.status, a.body)
			}
		}
		p.lift(1, id)
	}
}

// joined is what a client shows of a stream: the texts without their envelopes.
func joined(events string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(events, "\n") {
		for _, key := range []string{`"content":"`, `"delta":"`, `"text":"`} {
			if _, rest, ok := strings.Cut(line, key); ok {
				text, _, _ := strings.Cut(rest, `"`)
				b.WriteString(text)
				break
			}
		}
	}
	return b.String()
}

func TestPromptsAreFiltered(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, nil)
	for _, action := range []string{"block", "redact", "reroute"} {
		id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["secret plan"],"regexps":["[0-9]{4}-[0-9]{4}"],"action":"`+action+`"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
		for _, w := range spoken {
			for _, text := range []string{"tell me the S\u200becret\uff30 PLAN please", "the number 1234-5678 is it", "a secret plan"} {
				before := len(received(t, s))
				a := send(t, g, w.plainPath, said(w.plain, text))
				got := received(t, s)[before:]
				for _, r := range got {
					if (strings.Contains(r.Body, "1234-5678") || strings.Contains(r.Body, "secret plan")) && action != "reroute" {
						t.Errorf("%s, %s: the provider got %s", w.name, action, r.Body)
					}
				}
				if text == "tell me the S\u200becret\uff30 PLAN please" { // another word: not what is looked for
					continue
				}
				switch action {
				case "block":
					if a.status != 422 && a.status != 403 || !strings.Contains(a.body, id) || len(got) != 0 {
						t.Errorf("%s: %d %s", w.name, a.status, a.body)
					}
				case "redact":
					if a.status != 200 || len(got) != 1 || !strings.Contains(got[0].Body, "[removed]") || !strings.Contains(a.header.Get("Andon-Corrections"), id) {
						t.Errorf("%s: %d %v %v", w.name, a.status, got, a.header)
					}
				case "reroute":
					if a.status != 200 || a.header.Get("Andon-Model") != "sim-small" {
						t.Errorf("%s: %d %v", w.name, a.status, a.header)
					}
				}
			}
		}
		p.lift(1, id)
	}
}

// A filter that comes into force reaches streams that run already.
func TestAFilterReachesRunningStreams(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, nil)
	for _, w := range spoken {
		st := openStream(t, g, w.path, said(w.stream, `sim: text="one two three four five six seven eight nine ten forbidden phrase eleven" interval=40ms`))
		st.next(t)
		id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["forbidden phrase"],"action":"cut"}},"scope":{"all":true},"reason":"test"}`)
		all := strings.Join(st.rest(t), "")
		if strings.Contains(joined(all), "phrase") || !strings.Contains(all, id) || !strings.Contains(all, "nine") {
			t.Errorf("%s: %s", w.name, all)
		}
		p.lift(1, id)
	}
	active(t, s, 0)
}
