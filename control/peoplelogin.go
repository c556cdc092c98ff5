package control

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"andon/people"
)

// loginAsk begins a session: with a name and a password, or with what a log-in at
// the issuer left at the program that began it.
type loginAsk struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	Device   string `json:"device,omitempty"`   // from an earlier log-in on this device
	Grant    string `json:"grant,omitempty"`    // from GET /oidc/login, by way of the program's own address
	Verifier string `json:"verifier,omitempty"` // whose SHA-256 was the challenge there
	Cookie   bool   `json:"cookie,omitempty"`   // keep the session in a cookie, for a browser
}

// deviceNote is what a device keeps to be known again. It lets nobody in: it gives
// the device delays of its own.
type deviceNote struct {
	Operator string    `json:"o"`
	Nonce    string    `json:"n"`
	Until    time.Time `json:"u"`
}

const (
	devicePurpose = "device"
	deviceFor     = 90 * 24 * time.Hour
)

// postSession logs somebody in.
func (c *Control) postSession(cl *call) error {
	b, err := decode[loginAsk](cl)
	if err != nil {
		return err
	}
	if b.Cookie {
		if err := c.desk.csrf.Check(cl.r); err != nil {
			return problem("cross_origin", "a session in a cookie is begun by its own site alone")
		}
	}
	switch {
	case b.Grant != "" && b.Name+b.Password+b.Device == "":
		v, err := c.fromGrant(cl, b.Grant, b.Verifier)
		if err != nil {
			return err
		}
		return c.replySession(cl, v, b.Cookie)
	case b.Grant != "" || b.Verifier != "":
		return badField("grant", "a log-in is by grant and verifier, or by name and password; not by both")
	case b.Name == "" || len(b.Name) > 200:
		return badField("name", "give the account's name, 1 to 200 bytes")
	case b.Password == "" || len(b.Password) > people.MaxPasswordBytes:
		return badField("password", "give the password, 1 to "+strconv.Itoa(people.MaxPasswordBytes)+" bytes")
	}
	c.mu.RLock()
	op := c.state.operatorNamed(b.Name)
	id, verifier := "", ""
	if op != nil {
		id, verifier = op.id, op.verifier
	}
	c.mu.RUnlock()
	var note deviceNote
	now := c.late()
	if !c.desk.open(devicePurpose, b.Device, &note) || note.Operator != id || id == "" || !now.Before(note.Until) {
		note = deviceNote{}
	}
	source := c.desk.source(cl.r)
	who := attempt{account: strings.ToLower(b.Name), id: id, verifier: verifier, source: source, device: note.Nonce, known: note.Nonce != "" || id != "" && c.desk.knows(id, source)}
	if err := c.tryPassword(cl, who, b.Password); err != nil {
		return err
	}
	c.desk.remember(id, source)
	v, err := c.openSession(cl.r.Context(), methodPassword, func(s *state, now time.Time) (string, time.Time, []draft, error) {
		if op := s.operators[id]; !op.active() || op.verifier != verifier {
			return "", now, nil, loginFailed() // it ended while the password was looked at
		}
		return id, now, nil, nil
	})
	if err != nil {
		return err
	}
	if note.Nonce == "" {
		note = deviceNote{Operator: id, Nonce: rand.Text()}
	}
	note.Until = now.Add(deviceFor)
	v.Device = c.desk.seal(devicePurpose, note)
	return c.replySession(cl, v, b.Cookie)
}

func (c *Control) replySession(cl *call, v sessionView, cookie bool) error {
	if cookie {
		c.desk.setCookie(cl, sessionCookie, v.Token, v.ExpiresAt.Sub(c.early()), http.SameSiteStrictMode)
		v.Token = ""
	}
	return cl.reply(http.StatusCreated, v)
}

// loginFailed says the same whatever was wrong: that there is no such account, too.
func loginFailed() *Problem {
	p := problem("login_failed", "the name or the password is not right, or this account does not log in with a password")
	p.Hint = "andon login, if the account comes from an issuer; whoever lost a password asks an administrator"
	return p
}

// attempt is a password that somebody gives.
type attempt struct {
	account  string // as it was given
	id       string // of the operator; "": there is none
	verifier string // of the password; "": it has none
	source   string // where it comes from
	device   string // that the account has logged in from before, by its nonce
	cred     string // of who is in already
	known    bool
}

// key is whom a failure delays.
func (a *attempt) key() string {
	switch {
	case a.cred != "":
		return "c " + a.cred
	case a.device != "":
		return "d " + a.device
	}
	return "a " + a.source + " " + a.account
}

// tryPassword verifies a password: bounded in memory, slowed for who fails, and
// equally slow whether there is such an account or not.
func (c *Control) tryPassword(cl *call, a attempt, password string) error {
	now := c.cfg.Now()
	wait := c.desk.byName.Try(a.key(), now)
	bySource := !a.known && a.cred == ""
	if wait == 0 && bySource {
		if wait = c.desk.bySource.Try(a.source, now); wait > 0 {
			c.desk.byName.Forgive(a.key())
		}
	}
	if wait > 0 {
		return c.tooMany(cl, wait, "too many attempts failed from here; the next one counts in "+seconds(wait)+" s")
	}
	judged := func(right bool) {
		if right {
			c.desk.byName.Clear(a.key())
		} else {
			c.desk.byName.Forgive(a.key())
		}
		if bySource {
			c.desk.bySource.Forgive(a.source)
		}
	}
	release := c.desk.lane(cl.r.Context(), a.known || a.cred != "")
	if release == nil {
		judged(false) // it was not looked at
		return c.tooMany(cl, laneWait, "many log-ins are going on; who is logged in, or has a token, works on")
	}
	defer release()
	hash := c.desk.file.password(a.verifier)
	if hash == "" {
		hash = c.desk.decoy
	}
	right, err := people.Verify(hash, password)
	if err != nil || !right || a.verifier == "" {
		who := a.id
		if who == "" {
			who = "unknown" // what was typed as a name may be a password
		}
		c.metrics.logins.WithLabelValues("failed").Inc()
		c.log.Warn("a password was wrong", "operator", who, "source", a.source, "error", err)
		return loginFailed()
	}
	judged(true)
	c.metrics.logins.WithLabelValues("done").Inc()
	if people.Outdated(hash, c.desk.hashing) {
		if err := c.desk.file.set(a.verifier, people.Hash(password, c.desk.hashing, newSalt())); err != nil {
			c.log.Warn("a password's hash could not be renewed; the old one goes on", "operator", a.id, "error", err)
		}
	}
	return nil
}

func (c *Control) tooMany(cl *call, wait time.Duration, detail string) error {
	cl.w.Header().Set("Retry-After", seconds(wait))
	p := problem("too_many_attempts", detail)
	p.Retry = true
	return p
}

func newSalt() []byte {
	salt := make([]byte, people.SaltBytes)
	rand.Read(salt)
	return salt
}

// openSession begins a session for whom decide names, in one transaction with what
// else decide drafts. proved is when the person last proved who they are.
func (c *Control) openSession(ctx context.Context, method string, decide func(s *state, now time.Time) (id string, proved time.Time, before []draft, err error)) (sessionView, error) {
	token, hash := secret(sessionPrefix)
	id := ""
	_, err := c.execute(ctx, system, func(s *state, now time.Time) ([]draft, error) {
		who, proved, drafts, err := decide(s, now)
		if err != nil {
			return nil, err
		}
		if drafts, err = s.lastSessions(drafts, who); err != nil {
			return nil, err
		}
		id = "s-" + strconv.Itoa(s.people.nSessions+1)
		return append(drafts, draft{typeSession, sessionBody{ID: id, Operator: who, Method: method, Token: hash, ExpiresAt: now.Add(c.desk.span.Absolute), ProvedAt: proved}}), nil
	})
	if err != nil {
		return sessionView{}, err
	}
	c.desk.file.touch(id, c.cfg.Now())
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.viewSession(id, id)
	if !ok {
		return v, problem("unauthenticated", "the session was ended as it began")
	}
	v.Token = token
	return v, nil
}

// lastSessions makes room for one more session of an operator: the oldest ends.
func (s *state) lastSessions(drafts []draft, who string) ([]draft, error) {
	n, oldest := 0, 0
	for _, k := range s.people.byID {
		if k.kind == kindSession && k.owner == who {
			if i := number(k.id, "s-"); oldest == 0 || i < oldest {
				oldest = i
			}
			n++
		}
	}
	if n >= maxSessions {
		drafts = append(drafts, draft{typeSessionEnded, sessionEndedBody{ID: "s-" + strconv.Itoa(oldest), Why: "replaced"}})
	}
	return drafts, nil
}
