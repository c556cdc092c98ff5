package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// code is an authorization code that was given out.
type code struct {
	person    string
	redirect  string
	challenge string
	nonce     string
	at        time.Time
}

// device is a device log-in that was begun.
type device struct {
	userCode  string
	challenge string
	at        time.Time
	polled    time.Time
	person    string // who said yes; "" nobody yet
	denied    bool
}

const (
	codeFor   = time.Minute
	deviceFor = 10 * time.Minute
	pollPace  = time.Second
)

func (i *Issuer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"keys": []any{i.jwk()}}) })
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("POST /device_authorization", i.deviceAuthorization)
	mux.HandleFunc("GET /device", i.devicePage)
	mux.HandleFunc("POST /device", i.devicePage)
	mux.HandleFunc("/_sim/mode", i.modePage)
	return http.MaxBytesHandler(mux, 64<<10)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(v), '\n'))
}

// refuse answers with an error of OAuth 2.0.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	answer(w, status, map[string]string{"error": code, "error_description": detail})
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	u := i.URL()
	answer(w, 200, map[string]any{
		"issuer": u, "authorization_endpoint": u + "/authorize", "token_endpoint": u + "/token", "jwks_uri": u + "/jwks", "device_authorization_endpoint": u + "/device_authorization",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "code_challenge_methods_supported": []string{"S256"},
		"grant_types_supported":                          []string{"authorization_code", "urn:ietf:params:oauth:grant-type:device_code"},
		"authorization_response_iss_parameter_supported": true,
		// "none" and HS256 are listed as a trap: a client that believes it takes tokens that anybody can make.
		"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
	})
}

var page = template.Must(template.New("").Parse(`<!doctype html><meta charset="utf-8"><title>Simulated issuer</title>
<h1>Who are you?</h1><p>This issuer is simulated: everybody may be anybody.</p>
<form method="post">{{range $name, $values := .Fields}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
{{if .Code}}<p>Code <input name="user_code" value="{{.UserCode}}"></p>{{end}}
{{range .People}}<p><button name="user" value="{{.Name}}">{{.Name}}</button> {{range .Groups}}{{.}} {{end}}</p>{{end}}
<p><button name="user" value="">no</button></p></form>
`))

func (i *Issuer) choose(w http.ResponseWriter, fields url.Values, device bool) {
	i.mu.Lock()
	var people []Person
	for _, name := range slices.Sorted(maps.Keys(i.people)) {
		people = append(people, i.people[name])
	}
	i.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	code := fields.Get("user_code")
	if device {
		fields = nil // the code has a field that people see
	}
	_ = page.Execute(w, map[string]any{"People": people, "Fields": fields, "Code": device, "UserCode": code})
}

// authorize lets the person choose who they are, and sends the browser back. The
// field user chooses without asking.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, 400, "invalid_request", "the form cannot be read")
		return
	}
	f := r.Form
	back, err := url.Parse(f.Get("redirect_uri"))
	switch {
	case f.Get("client_id") != i.cfg.Client:
		refuse(w, 400, "invalid_request", "client_id is not known; there is "+i.cfg.Client)
		return
	case err != nil || back.Scheme == "" || back.Host == "":
		refuse(w, 400, "invalid_request", "redirect_uri is no address")
		return
	case f.Get("response_type") != "code" || f.Get("code_challenge_method") != "S256" || len(f.Get("code_challenge")) != 43 || !slices.Contains(strings.Fields(f.Get("scope")), "openid"):
		refuse(w, 400, "invalid_request", "response_type code, scope openid and PKCE with S256 are needed")
		return
	}
	if !f.Has("user") {
		i.choose(w, f, false)
		return
	}
	q := back.Query()
	q.Set("state", f.Get("state"))
	q.Set("iss", i.URL())
	i.mu.Lock()
	p, known := i.people[f.Get("user")]
	if known {
		text := rand.Text()
		for len(i.codes) >= room {
			for k := range i.codes {
				delete(i.codes, k)
				break
			}
		}
		i.codes[text] = &code{person: p.Name, redirect: f.Get("redirect_uri"), challenge: f.Get("code_challenge"), nonce: f.Get("nonce"), at: i.cfg.Now()}
		q.Set("code", text)
	} else {
		q.Set("error", "access_denied")
	}
	i.mu.Unlock()
	back.RawQuery = q.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// client checks the client's id and secret, in the header or in the form.
func (i *Issuer) client(r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	return id == i.cfg.Client && subtle.ConstantTimeCompare([]byte(secret), []byte(i.cfg.Secret)) == 1
}

func fits(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return challenge == b64.EncodeToString(sum[:])
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, 400, "invalid_request", "the form cannot be read")
		return
	}
	if !i.client(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="issuer"`)
		refuse(w, 401, "invalid_client", "the client's id or secret is wrong")
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	f := r.PostForm
	nonce, person := "", ""
	switch f.Get("grant_type") {
	case "authorization_code":
		c := i.codes[f.Get("code")]
		delete(i.codes, f.Get("code"))
		if c == nil || i.cfg.Now().Sub(c.at) > codeFor || c.redirect != f.Get("redirect_uri") || !fits(c.challenge, f.Get("code_verifier")) {
			refuse(w, 400, "invalid_grant", "the code is not known, was used, is too old, or redirect_uri or code_verifier are not those of its request")
			return
		}
		nonce, person = c.nonce, c.person
	case "urn:ietf:params:oauth:grant-type:device_code":
		d, now := i.devices[f.Get("device_code")], i.cfg.Now()
		switch {
		case d == nil || d.challenge != "" && !fits(d.challenge, f.Get("code_verifier")):
			refuse(w, 400, "invalid_grant", "the device code is not known")
			return
		case now.Sub(d.at) > deviceFor:
			refuse(w, 400, "expired_token", "too late")
			return
		case d.denied:
			refuse(w, 400, "access_denied", "the person said no")
			return
		case d.person == "":
			early := now.Sub(d.polled) < pollPace/2
			d.polled = now
			if early {
				refuse(w, 400, "slow_down", "asked too soon")
				return
			}
			refuse(w, 400, "authorization_pending", "not yet")
			return
		}
		person = d.person
		delete(i.devices, f.Get("device_code"))
	default:
		refuse(w, 400, "unsupported_grant_type", "there are authorization_code and device_code")
		return
	}
	out := map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300}
	if id := i.idToken(i.people[person], nonce, i.now()); id != "" {
		out["id_token"] = id
	}
	answer(w, 200, out)
}

func (i *Issuer) deviceAuthorization(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("client_id") != i.cfg.Client {
		refuse(w, 400, "invalid_client", "client_id is not known; there is "+i.cfg.Client)
		return
	}
	d := &device{userCode: rand.Text()[:8], challenge: r.PostForm.Get("code_challenge"), at: i.cfg.Now()}
	text := rand.Text()
	i.mu.Lock()
	for k := range i.devices {
		if len(i.devices) < room {
			break
		}
		delete(i.devices, k)
	}
	i.devices[text] = d
	i.mu.Unlock()
	answer(w, 200, map[string]any{"device_code": text, "user_code": d.userCode, "verification_uri": i.URL() + "/device",
		"verification_uri_complete": i.URL() + "/device?user_code=" + d.userCode, "expires_in": int(deviceFor / time.Second), "interval": int(pollPace / time.Second)})
}

func (i *Issuer) devicePage(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, 400, "invalid_request", "the form cannot be read")
		return
	}
	if !r.Form.Has("user") {
		i.choose(w, url.Values{"user_code": {r.Form.Get("user_code")}}, true)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, d := range i.devices {
		if d.userCode == r.Form.Get("user_code") && d.person == "" && !d.denied {
			if p, known := i.people[r.Form.Get("user")]; known {
				d.person = p.Name
			} else {
				d.denied = true
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("done; go back to your program\n"))
			return
		}
	}
	refuse(w, 404, "invalid_request", "the user code is not known")
}

// modePage shows the modes, and sets one: mode=NAME, skew=2m.
func (i *Issuer) modePage(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, 400, "invalid_request", "the form cannot be read")
		return
	}
	if r.Form.Has("mode") || r.Form.Has("skew") {
		skew := time.Duration(0)
		if text := r.Form.Get("skew"); text != "" {
			var err error
			if skew, err = time.ParseDuration(text); err != nil {
				refuse(w, 400, "invalid_request", "skew is a duration such as 2m")
				return
			}
		}
		if err := i.SetMode(r.Form.Get("mode"), skew); err != nil {
			refuse(w, 400, "invalid_request", err.Error())
			return
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	answer(w, 200, map[string]any{"mode": i.mode, "skew": i.skew.String(), "modes": Modes})
}
