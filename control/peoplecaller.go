package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"andon/authority"
	"andon/people"
)

// badge is what a request shows: an operator's own token, an API token, or a
// session. In the state it is never changed but for when it was proved.
type badge struct {
	id     string // of the operator for its own token, "t-1", "s-1"
	kind   string
	owner  string // operator
	hash   [sha256.Size]byte
	name   string        // of an API token
	roles  authority.Set // it has at most; and never more than the owner
	scopes people.Scopes // of an API token; the others have none and reach everything
	method string        // how a session began
	made   time.Time
	by     string
	expires,
	proved,
	ended time.Time
	why string
}

// caller is how an operator came in; it belongs to one request.
type caller struct {
	c      *Control
	cred   badge
	cookie bool
	asked  []string // the actions that the request was allowed
	self   *operator
}

type callerKey struct{}

const (
	sessionPrefix = "os_"
	apiPrefix     = "ot_"
)

// asks is called for each action that the roles allow: a scope has to reach it, too.
func (v *caller) asks(action string) error {
	if v == nil {
		return nil
	}
	if v.cred.kind == kindAPI && !v.cred.scopes.Allow(action) {
		p := problem("forbidden", action+" is outside the scopes of the token "+v.cred.name+" ("+v.cred.id+")")
		p.Allowed = v.cred.scopes
		return p
	}
	v.asked = append(v.asked, action)
	return nil
}

// authenticate finds out who sends a request: by a bearer token, or by the cookie
// of a session. A cookie counts only for what its own site asked for.
func (c *Control) authenticate(r *http.Request) (*operator, error) {
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		if len(values) > 1 {
			return nil, problem("unauthenticated", "Authorization is there more than once")
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") {
			return nil, problem("unauthenticated", `a token is sent as "Authorization: Bearer op_…"`)
		}
		return c.byToken(token, false)
	}
	cookie, err := r.Cookie(c.desk.cookie(r, sessionCookie))
	if err != nil {
		return nil, problem("unauthenticated", `a token is needed: it begins with op_, ot_ or os_ and is sent as "Authorization: Bearer op_…"; andon login gets one`)
	}
	if err := c.desk.csrf.Check(r); err != nil {
		return nil, problem("cross_origin", "a session that is kept in a cookie serves its own site alone; send the token as a bearer token")
	}
	if !strings.HasPrefix(cookie.Value, sessionPrefix) {
		return nil, problem("unauthenticated", "the cookie holds no session")
	}
	return c.byToken(cookie.Value, true)
}

// byToken finds the operator of a token.
func (c *Control) byToken(token string, cookie bool) (*operator, error) {
	if !strings.HasPrefix(token, tokenPrefix) && !strings.HasPrefix(token, apiPrefix) && !strings.HasPrefix(token, sessionPrefix) {
		return nil, problem("unauthenticated", "this is no token of a control plane: one begins with op_, ot_ or os_")
	}
	sum := sha256.Sum256([]byte(token))
	c.mu.RLock()
	op := c.standing(c.state, sum)
	c.mu.RUnlock()
	if op == nil {
		return nil, problem("unauthenticated", "the token is not known, has ended, or was revoked or replaced")
	}
	op.via.cookie = cookie
	c.desk.file.touch(op.via.cred.id, c.cfg.Now())
	return op, nil
}

// standing is the operator behind the hash of a token, as far as the token reaches
// and as things are now; nil if it lets nobody in. The caller holds mu or command.
func (c *Control) standing(s *state, hash [sha256.Size]byte) *operator {
	k := s.people.creds[hash]
	if k == nil {
		op := s.tokens[hash]
		if op == nil {
			return nil
		}
		k = &badge{id: op.id, kind: kindOwn, owner: op.id, hash: op.token, roles: authority.All, made: op.created, proved: op.proved}
	}
	// The look-up is by hash: its timing says nothing of any token. The comparison
	// is what decides.
	op := s.operators[k.owner]
	if subtle.ConstantTimeCompare(k.hash[:], hash[:]) != 1 || !op.active() || !k.ended.IsZero() || c.over(k, c.late()) != "" {
		return nil
	}
	as := *op
	as.roles &= k.roles
	as.via = &caller{c: c, cred: *k, self: &as}
	return &as
}

// stillMay is asked once more as a command decides, with nobody writing beside it:
// a token that was revoked, or a role that was taken, a moment ago counts no more.
func (c *Control) stillMay(ctx context.Context, s *state, actor string) error {
	via, _ := ctx.Value(callerKey{}).(*caller)
	if via == nil {
		if op := s.operators[actor]; op != nil && !op.active() {
			return problem("unauthenticated", "you are no longer an operator; nothing was changed")
		}
		return nil
	}
	op := c.standing(s, via.cred.hash)
	if op == nil || op.id != via.cred.owner {
		return problem("unauthenticated", "the token ended while the command waited; nothing was changed")
	}
	for _, action := range via.asked {
		if err := op.may(action); err != nil {
			return err
		}
	}
	via.self.roles = op.roles // rules are asked by those of now, too
	return nil
}

// gone says whether a request's credential has ended since: an event stream does,
// then.
func (c *Control) gone(op *operator) bool {
	if op == nil || op.via == nil {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := c.standing(c.state, op.via.cred.hash)
	if now == nil {
		return true
	}
	for _, action := range op.via.asked {
		if now.may(action) != nil {
			return true
		}
	}
	return false
}

// enter authenticates a request and counts it. Tightening has a measure of its own:
// whatever else somebody asks for, it leaves room to tighten.
func (c *Control) enter(w http.ResponseWriter, cl *call, rt *route) error {
	op, err := c.authenticate(cl.r)
	if err != nil {
		if asProblem(err).Status == http.StatusUnauthorized {
			challenge := `Bearer realm="andon"`
			if cl.r.Header.Get("Authorization") != "" {
				challenge += `, error="invalid_token"` // RFC 6750
			}
			w.Header().Set("WWW-Authenticate", challenge)
		}
		return err
	}
	meter := &c.desk.general
	if rt.command == "correction.create" {
		meter = &c.desk.tighten
	}
	if wait := meter.Take(op.via.cred.id, c.cfg.Now()); wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		p := problem("rate_limited", "this token has sent more than "+seconds(time.Duration(meter.Burst)*time.Second)+" requests in a short time; wait "+seconds(wait)+" s")
		p.Retry = true
		return p
	}
	if c.desk.file.due(c.cfg.Now(), seenPace) {
		if err := c.desk.file.keep(); err != nil {
			c.log.Warn("when sessions were last used is not kept; after a crash they end the earlier", "error", err)
		}
	}
	cl.op = op
	cl.r = cl.r.WithContext(context.WithValue(cl.r.Context(), callerKey{}, op.via))
	return nil
}

// late is the latest time that it can be now. What lets somebody in ends by it: a
// wall clock that goes back keeps no token alive.
func (c *Control) late() time.Time {
	now := c.cfg.Now()
	mono := c.started.Round(0).Add(now.Sub(c.started))
	if now = now.Round(0); mono.After(now) {
		return mono.UTC()
	}
	return now.UTC()
}
