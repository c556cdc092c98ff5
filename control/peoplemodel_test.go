package control

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/people"
)

// TestSessionsAndTokensAgainstAModel: whatever is begun, used, ended, outlived and
// restarted in whatever order, exactly those come in who should.
func TestSessionsAndTokensAgainstAModel(t *testing.T) {
	w := clocked(t)
	w.passwd(w.token, passphrase)
	rapid.Check(t, func(rt *rapid.T) {
		type held struct {
			id, token, kind string
			seen, expires   time.Time
			ended           bool
		}
		var all []*held
		defer func() { // the next check begins with nothing
			for _, h := range all {
				if path := map[string]string{kindAPI: "/tokens/", kindSession: "/sessions/"}[h.kind]; !h.ended {
					w.send(w.token, "DELETE", path+h.id, "", nil)
				}
			}
		}()
		admits := func(h *held) bool {
			now := w.clock.Now()
			return !h.ended && now.Before(h.expires) && (h.kind == kindAPI || now.Sub(h.seen) < people.DefaultSpan.Idle)
		}
		one := func(rt *rapid.T) *held {
			if len(all) == 0 {
				rt.Skip("there is none")
			}
			return all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")]
		}
		rt.Repeat(map[string]func(*rapid.T){
			"log in": func(rt *rapid.T) {
				var s sessionView
				w.good("", "POST", "/session", login("ann", passphrase), &s)
				live := 0
				for _, h := range all { // the oldest makes room
					if h.kind == kindSession && w.lasts(h.id) {
						live++
					}
				}
				if live >= maxSessions {
					rt.Fatalf("%d sessions last beside the new one", live)
				}
				for _, h := range all {
					if h.kind == kindSession && !w.lasts(h.id) {
						h.ended = true
					}
				}
				all = append(all, &held{s.ID, s.Token, kindSession, w.clock.Now(), s.ExpiresAt, false})
			},
			"make a token": func(rt *rapid.T) {
				life := rapid.SampledFrom([]string{"10m", "5h", "30d"}).Draw(rt, "life")
				var v tokenView
				if _, p, _ := w.send(w.token, "POST", "/tokens", `{"name":"x","roles":["administrator"],"scopes":["correction.*"],"expires_in":"`+life+`"}`, &v); p != nil {
					if p.Code != "too_many_api_tokens" {
						rt.Fatal(p)
					}
					return
				}
				all = append(all, &held{v.ID, v.Token, kindAPI, w.clock.Now(), v.ExpiresAt, false})
			},
			"use": func(rt *rapid.T) {
				h := one(rt)
				status, p, _ := w.send(h.token, "GET", "/corrections", "", nil)
				if got := status == http.StatusOK; got != admits(h) {
					rt.Fatalf("%s: %v (%v), want %v", h.id, status, p, admits(h))
				}
				if status == http.StatusOK {
					h.seen = w.clock.Now()
				} else {
					h.ended = true
				}
			},
			"revoke": func(rt *rapid.T) {
				h := one(rt)
				path := "/tokens/"
				if h.kind == kindSession {
					path = "/sessions/"
				}
				w.send(w.token, "DELETE", path+h.id, "", nil)
				h.ended = true
			},
			"wait": func(rt *rapid.T) {
				w.clock.advance(time.Duration(rapid.IntRange(1, 90).Draw(rt, "min")) * time.Minute)
			},
			"tidy": func(*rapid.T) { w.c.tidy(t.Context()) },
			"restart": func(rt *rapid.T) {
				w.restart()
				for _, h := range all { // a session that was over is not back
					if !admits(h) {
						if status, _, _ := w.send(h.token, "GET", "/corrections", "", nil); status == http.StatusOK {
							rt.Fatalf("%s is back", h.id)
						}
					}
				}
			},
		})
	})
}

// lasts says whether the state has a session.
func (w *world) lasts(id string) bool {
	w.c.mu.RLock()
	defer w.c.mu.RUnlock()
	return w.c.state.people.byID[id] != nil
}

// TestPeopleFilesThatAreDamaged: whatever stands in the private file, the control
// plane starts, and nothing in it lets anybody in.
func TestPeopleFilesThatAreDamaged(t *testing.T) {
	w := newWorld(t, nil)
	for i, text := range []string{"", "{", `{"key":""}`, `{"key":"AAAA","passwords":{}}`, `{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","passwords":{"x":"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"}}`, `{"other":1}`} {
		f := &peopleFile{}
		if err := f.read([]byte(text)); err == nil {
			t.Errorf("%d: taken: %s", i, text)
		}
	}
	good := &peopleFile{}
	if err := good.read([]byte(fmt.Sprintf(`{"key":%q,"passwords":{},"seen":{}}`, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))); err != nil {
		t.Error(err)
	}
	w.good(w.token, "GET", "/whoami", "", nil)
}
