package control

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	oidcsim "andon/sim/issuer"
)

// office is a world whose people come from a simulated issuer.
type office struct {
	*world
	iss  *oidcsim.Issuer
	addr string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	iss, err := oidcsim.New(oidcsim.Config{})
	must(t, err)
	must(t, iss.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := iss.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String() // that the issuer sends browsers back to
	must(t, l.Close())
	id, secret := iss.Client()
	w := newWorld(t, func(c *Config) {
		c.Listen = addr
		c.OIDC = &OIDC{Issuer: iss.URL(), ClientID: id, ClientSecret: secret, RedirectURL: "http://" + addr + "/api/v1/oidc/callback", RoleClaim: "realm_access.roles", Roles: map[string][]string{
			"andon-administrators": {"administrator"}, "andon-commanders": {"commander"}, "andon-approvers": {"approver"}, "andon-responders": {"responder"}}}
	})
	return &office{w, iss, addr}
}

// browser follows a log-in by hand: it keeps cookies and follows no redirect.
type browser struct {
	t       testing.TB
	cookies map[string]string
}

func (b *browser) get(address string) (int, http.Header, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "GET", address, nil)
	must(b.t, err)
	for k, v := range b.cookies {
		req.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(b.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(b.t, err)
	if !strings.Contains(address, "/authorize") {
		for _, k := range resp.Cookies() {
			if b.cookies[k.Name] = k.Value; k.MaxAge < 0 {
				delete(b.cookies, k.Name)
			}
		}
	}
	return resp.StatusCode, resp.Header, string(data)
}

// to goes to the issuer as somebody, and returns where that one sends the browser.
func (o *office) to(b *browser, who, query string) string {
	o.t.Helper()
	status, h, body := b.get("http://" + o.c.Addr() + api + "/oidc/login" + query)
	if status != http.StatusFound {
		o.t.Fatalf("%d %s", status, body)
	}
	status, h, body = b.get(h.Get("Location") + "&user=" + who)
	if status != http.StatusFound {
		o.t.Fatalf("%d %s", status, body)
	}
	return h.Get("Location")
}

func (o *office) browser() *browser { return &browser{o.t, map[string]string{}} }

// login logs somebody in with a browser; the session's token is in its cookie.
func (o *office) login(who, query string) (*browser, int, string) {
	o.t.Helper()
	b := o.browser()
	status, _, body := b.get(o.to(b, who, query))
	return b, status, body
}

func TestLogInAtTheIssuer(t *testing.T) {
	o := newOffice(t)
	b, status, body := o.login("bea", "?next="+url.QueryEscape("/incidents?a=1&b=\"2"))
	if status != 200 || !strings.Contains(body, `url=/incidents?a=1&amp;b=&quot;2"`) {
		t.Fatalf("%d %s", status, body)
	}
	token := b.cookies[sessionCookie]
	var me whoamiView
	o.good(token, "GET", "/whoami", "", &me)
	if me.Name != "bea" || me.Role != "commander, approver" || me.Method != methodIssuer || me.SteppedUpTill.IsZero() || b.cookies[loginCookie] != "" {
		t.Fatalf("%+v %v", me, b.cookies)
	}
	// The same person is the same account; another one of that name is not.
	b2, _, _ := o.login("bea", "")
	var again whoamiView
	o.good(b2.cookies[sessionCookie], "GET", "/whoami", "", &again)
	if again.ID != me.ID || again.Credential == me.Credential {
		t.Fatalf("%+v", again)
	}
	o.iss.Put(oidcsim.Person{Name: "ann", Subject: "sub-other-ann", Groups: []string{"andon-responders"}})
	b3, _, _ := o.login("ann", "")
	o.good(b3.cookies[sessionCookie], "GET", "/whoami", "", &again)
	if again.ID == "op-1" || again.Name != "ann-2" || again.Role != "responder" {
		t.Fatalf("an account was taken by its name: %+v", again)
	}
	// Roles follow the issuer, from the next log-in on; none takes them all, and
	// ends the sessions.
	o.iss.Put(oidcsim.Person{Name: "bea", Groups: []string{"andon-responders"}})
	b2, _, _ = o.login("bea", "")
	o.good(token, "GET", "/whoami", "", &me)
	if me.Role != "responder" {
		t.Fatalf("%+v", me)
	}
	o.iss.Put(oidcsim.Person{Name: "bea", Groups: []string{"visitors"}})
	if _, status, body := o.login("bea", ""); status != 401 || !strings.Contains(body, "login_failed") {
		t.Fatalf("%d %s", status, body)
	}
	o.fails("unauthenticated", token, "GET", "/whoami", "")
	o.fails("unauthenticated", b2.cookies[sessionCookie], "GET", "/whoami", "")
	// A stranger makes no account.
	if _, status, _ := o.login("eve", ""); status != 401 {
		t.Fatal(status)
	}
	if strings.Contains(o.record(), "eve") || strings.Contains(o.record(), "sub-") || strings.Contains(o.record(), "@") {
		t.Error("the record knows subjects or addresses")
	}
	// It has no password here, no token, and no roles but the issuer's.
	me = whoamiView{}
	b3, _, _ = o.login("cem", "")
	cem := b3.cookies[sessionCookie]
	o.good(cem, "GET", "/whoami", "", &me)
	o.fails("invalid_field", cem, "PUT", "/password", jsonText(newPassword{Password: passphrase}))
	o.fails("invalid_field", cem, "POST", "/tokens", `{"name":"x","roles":["responder"],"scopes":["correction.*"],"expires_in":"1d"}`)
	o.fails("invalid_field", o.token, "POST", "/operators/"+me.ID+"/roles", `{"roles":["administrator"],"reason":"r"}`)
	// An administrator of the issuer's is no reason to let the last one of our own go.
	_, status, _ = o.login("ann", "")
	o.iss.Put(oidcsim.Person{Name: "dan", Groups: []string{"andon-administrators"}})
	bd, _, _ := o.login("dan", "")
	o.fails("last_operator", bd.cookies[sessionCookie], "DELETE", "/operators/op-1", "")
	// Who was removed does not come back by logging in.
	o.good(o.token, "DELETE", "/operators/"+me.ID+"?reason=left", "", nil)
	if _, status, _ := o.login("cem", ""); status != 401 {
		t.Error("the removed account is back:", status)
	}
	// And all of it after a restart.
	o.restart()
	o.good(bd.cookies[sessionCookie], "GET", "/whoami", "", &again)
	if bd, _, _ = o.login("dan", ""); again.Name != "dan" {
		t.Fatalf("%+v", again)
	}
	var after whoamiView
	o.good(bd.cookies[sessionCookie], "GET", "/whoami", "", &after)
	if after.ID != again.ID {
		t.Error("a restart made another account:", after.ID, again.ID)
	}
}

// TestBadTokensOfTheIssuer tries every mode of the simulated issuer.
func TestBadTokensOfTheIssuer(t *testing.T) {
	o := newOffice(t)
	for mode, does := range oidcsim.Modes {
		t.Run("mode "+mode, func(t *testing.T) {
			must(t, o.iss.SetMode(mode, 0))
			b, status, body := o.login("cem", "")
			took := status == 200 && b.cookies[sessionCookie] != ""
			if took == strings.HasPrefix(does, "refuse") || !took && !strings.Contains(body, "oidc_failed") {
				t.Fatalf("%s: %d %s", does, status, body)
			}
			if !took {
				return
			}
			var me whoamiView
			o.good(b.cookies[sessionCookie], "GET", "/whoami", "", &me)
			if fresh := !me.SteppedUpTill.IsZero(); fresh != (mode == "") {
				t.Errorf("proved: %v", fresh)
			}
			// Where a proof of a moment ago is asked for, nothing else will do.
			if _, status, _ := o.login("cem", "?fresh=true"); (status == 200) != (mode == "") {
				t.Errorf("fresh: %d", status)
			}
		})
	}
	for skew, took := range map[time.Duration]bool{30 * time.Second: true, -30 * time.Second: true, -5*time.Minute - 30*time.Second: true, 2 * time.Minute: false, -10 * time.Minute: false} {
		must(t, o.iss.SetMode("", skew))
		if _, status, body := o.login("cem", ""); (status == 200) != took {
			t.Errorf("a clock off by %v: %d %s", skew, status, body)
		}
	}
	must(t, o.iss.SetMode("", 0))
	// Nothing of it is told to the browser, or kept.
	for _, text := range []string{"issuer-secret", "eyJ"} {
		if strings.Contains(o.logs.String(), text) || strings.Contains(o.record(), text) {
			t.Error(text, "is in the log or the record")
		}
	}
}

func TestAnswersThatAreNotOfThisLogIn(t *testing.T) {
	o := newOffice(t)
	refused := func(what string, b *browser, address string) {
		t.Helper()
		if status, _, body := b.get(address); status != 401 || !strings.Contains(body, "oidc_failed") || b.cookies[sessionCookie] != "" {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	b := o.browser()
	back := o.to(b, "cem", "")
	refused("another browser", o.browser(), back)
	kept := b.cookies[loginCookie]
	if status, _, body := b.get(back); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	refused("a second time, without the cookie", o.browser(), back)
	refused("a second time", &browser{t, map[string]string{loginCookie: kept}}, back)
	b = o.browser()
	other := o.to(b, "cem", "")
	refused("the state of another log-in", b, strings.Replace(back, "/callback?", "/callback?x=1&", 1))
	b = o.browser()
	fresh := o.to(b, "cem", "")
	u, _ := url.Parse(fresh)
	q := u.Query()
	ou, _ := url.Parse(other)
	q.Set("code", ou.Query().Get("code"))
	u.RawQuery = q.Encode()
	refused("the code of another log-in", b, u.String()) // PKCE
	b = o.browser()
	refused("another issuer", b, strings.Replace(o.to(b, "cem", ""), "iss=http%3A%2F%2F127", "iss=http%3A%2F%2F128", 1))
	b = o.browser()
	refused("a person who said no", b, o.to(b, "nobody", ""))
	b = o.browser()
	back = o.to(b, "cem", "")
	b.cookies[loginCookie] = b.cookies[loginCookie][:40] + "A" + b.cookies[loginCookie][41:]
	refused("a cookie that was changed", b, back)
	for _, query := range []string{"?next=//evil.example", "?next=https://evil.example", "?next=%2F%5Cevil.example", "?port=80&challenge=" + strings.Repeat("a", 43), "?port=9999", "?who=x", "?fresh=perhaps"} {
		if status, _, body := o.browser().get("http://" + o.c.Addr() + api + "/oidc/login" + query); status != 400 || !strings.Contains(body, "invalid_query") {
			t.Errorf("%s: %d", query, status)
		}
	}
}

func TestLogInOfAProgram(t *testing.T) {
	o := newOffice(t)
	sum := sha256.Sum256([]byte("the verifier of a program"))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	granted := func() string {
		b := o.browser()
		status, h, body := b.get(o.to(b, "cem", "?port=54321&state=st&challenge="+challenge))
		u, err := url.Parse(h.Get("Location"))
		if status != 302 || err != nil || u.Host != "127.0.0.1:54321" || u.Query().Get("state") != "st" || b.cookies[sessionCookie] != "" {
			t.Fatalf("%d %v %s", status, h, body)
		}
		return u.Query().Get("grant")
	}
	g := granted()
	o.fails("login_failed", "", "POST", "/session", jsonText(loginAsk{Grant: g, Verifier: "another"}))
	var s sessionView
	o.good("", "POST", "/session", jsonText(loginAsk{Grant: g, Verifier: "the verifier of a program"}), &s)
	if s.Method != methodIssuer || s.Name != "cem" {
		t.Fatalf("%+v", s)
	}
	o.good(s.Token, "GET", "/whoami", "", nil)
	o.fails("login_failed", "", "POST", "/session", jsonText(loginAsk{Grant: g, Verifier: "the verifier of a program"}))
	o.fails("login_failed", "", "POST", "/session", jsonText(loginAsk{Grant: o.c.desk.seal(devicePurpose, grant{}), Verifier: "x"}))
	o.fails("invalid_field", "", "POST", "/session", jsonText(loginAsk{Grant: g, Name: "ann"}))
	// What goes wrong at the issuer reaches the program, too.
	must(t, o.iss.SetMode("alg_none", 0))
	b := o.browser()
	if _, h, _ := b.get(o.to(b, "cem", "?port=54321&state=st&challenge="+challenge)); !strings.Contains(h.Get("Location"), "error=oidc_failed") {
		t.Error(h)
	}
}

func TestLogInOnADevice(t *testing.T) {
	o := newOffice(t)
	var i oidcView
	o.good("", "GET", "/oidc", "", &i)
	if !i.Enabled || !i.Device || !i.Reachable {
		t.Fatalf("%+v", i)
	}
	begin := func(who string) deviceView {
		var d deviceView
		o.good("", "POST", "/oidc/device", `{}`, &d)
		resp, err := http.PostForm(o.iss.URL()+"/device", url.Values{"user_code": {d.UserCode}, "user": {who}})
		must(t, err)
		resp.Body.Close()
		return d
	}
	d := begin("cem")
	var s sessionView
	o.good("", "POST", "/oidc/device/token", fmt.Sprintf(`{"handle":%q}`, d.Handle), &s)
	o.good(s.Token, "GET", "/whoami", "", nil)
	o.fails("oidc_failed", "", "POST", "/oidc/device/token", fmt.Sprintf(`{"handle":%q}`, d.Handle))
	o.fails("oidc_failed", "", "POST", "/oidc/device/token", fmt.Sprintf(`{"handle":%q}`, begin("nobody").Handle))
	o.fails("login_failed", "", "POST", "/oidc/device/token", `{"handle":"made up"}`)
}

func TestWithoutTheIssuerTheRestGoesOn(t *testing.T) {
	o := newOffice(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, o.iss.Stop(ctx))
	status, _, body := o.browser().get("http://" + o.c.Addr() + api + "/oidc/login")
	if status != 503 || !strings.Contains(body, "oidc_unavailable") {
		t.Fatalf("%d %s", status, body)
	}
	o.passwd(o.token, passphrase)
	o.good("", "POST", "/session", login("ann", passphrase), nil)
	o.create(stopLarge)
}

// A flood of device log-ins from one address fills nothing that the on-call, who
// comes from another one, needs.
func TestDeviceLogInsAreFlooded(t *testing.T) {
	o := newOffice(t)
	o.c.desk.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	from := func(ctx context.Context, addr, path, body string, out any) int {
		req, err := http.NewRequestWithContext(ctx, "POST", "http://"+o.c.Addr()+api+path, strings.NewReader(body))
		must(t, err)
		req.Header.Set("X-Forwarded-For", addr)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return 0 // ctx has ended
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode/100 == 2 && out != nil {
			must(t, json.Unmarshal(data, out))
		}
		return resp.StatusCode
	}
	var flood []deviceView
	refused := 0
	for range 80 {
		var d deviceView
		switch status := from(t.Context(), "10.1.1.1", "/oidc/device", `{}`, &d); status {
		case 200:
			flood = append(flood, d)
		case 429:
			refused++
		default:
			t.Fatal(status)
		}
	}
	if refused == 0 || len(flood) < maxPollsBySource {
		t.Fatal(len(flood), "begun,", refused, "refused")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	var turned atomic.Int32
	for i := range 200 {
		waiting.Go(func() {
			if from(ctx, "10.1.1.1", "/oidc/device/token", fmt.Sprintf(`{"handle":%q}`, flood[i%len(flood)].Handle), nil) == 429 {
				turned.Add(1)
			}
		})
	}
	o.eventually(func() bool { return turned.Load() >= 200-2*maxPollsBySource }) // the others wait, or were told to be slower
	var d deviceView
	if status := from(t.Context(), "10.2.2.2", "/oidc/device", `{}`, &d); status != 200 {
		t.Fatal("the on-call cannot begin:", status)
	}
	resp, err := http.PostForm(o.iss.URL()+"/device", url.Values{"user_code": {d.UserCode}, "user": {"cem"}})
	must(t, err)
	resp.Body.Close()
	var s sessionView
	if status := from(t.Context(), "10.2.2.2", "/oidc/device/token", fmt.Sprintf(`{"handle":%q}`, d.Handle), &s); status != 201 || s.Token == "" {
		t.Error("the on-call cannot log in:", status)
	}
	cancel()
	waiting.Wait()
	o.eventually(func() bool {
		o.c.desk.mu.Lock()
		defer o.c.desk.mu.Unlock()
		return len(o.c.desk.polls) == 1 && o.c.desk.polls[""] == 0
	})
}
