package control

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// sessionView is a session as the API shows it.
type sessionView struct {
	ID         string    `json:"id"`
	Operator   string    `json:"operator"`
	Name       string    `json:"name"`
	Roles      []string  `json:"roles"`
	Method     string    `json:"method"`
	OpenedAt   time.Time `json:"opened_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"` // to the minute
	IdleUntil  time.Time `json:"idle_until"`            // it ends, unless it is used
	ProvedAt   time.Time `json:"proved_at,omitzero"`    // when the person last proved who they are
	Current    bool      `json:"current,omitempty"`     // it is the one that asks
	Token      string    `json:"token,omitempty"`       // once, in the answer that begins it, unless it is in a cookie
	Device     string    `json:"device,omitempty"`      // likewise: to be sent with the next log-in from this device
}

type sessionList struct {
	Sessions []sessionView `json:"sessions"`
}

// viewSession shows a session that lasts. The caller holds mu.
func (c *Control) viewSession(id, current string) (sessionView, bool) {
	k := c.state.people.byID[id]
	if k == nil || k.kind != kindSession {
		return sessionView{}, false
	}
	op := c.state.operators[k.owner]
	seen := c.desk.file.seen(id)
	if seen.Before(k.made) {
		seen = k.made
	}
	v := sessionView{ID: id, Operator: op.id, Name: op.name, Roles: roleNames(op), Method: k.method, OpenedAt: k.made, ExpiresAt: k.expires,
		LastUsedAt: seen.Truncate(time.Minute), IdleUntil: seen.Add(c.desk.span.Idle), ProvedAt: k.proved, Current: id == current}
	if v.IdleUntil.After(v.ExpiresAt) {
		v.IdleUntil = v.ExpiresAt
	}
	return v, true
}

// roleNames are never null.
func roleNames(op *operator) []string { return append([]string{}, op.roles.Names()...) }

// whose reads the query "operator": one's own, somebody's, or everybody's ("all").
// Only an administrator looks at others.
func (cl *call) whose() (owner string, all bool, err error) {
	q := cl.r.URL.Query()
	for name := range q {
		if name != "operator" {
			p := problem("invalid_query", "unknown parameter "+short(name))
			p.Field, p.Allowed = short(name), []string{"operator"}
			return "", false, p
		}
	}
	owner = q.Get("operator")
	if owner == "" || owner == cl.op.id {
		return cl.op.id, false, nil
	}
	if err := cl.op.may("operator.others"); err != nil {
		return "", false, err
	}
	return owner, owner == "all", nil
}

func (c *Control) getSessions(cl *call) error {
	if err := cl.op.may("session.read"); err != nil {
		return err
	}
	owner, all, err := cl.whose()
	if err != nil {
		return err
	}
	current := ""
	if cl.op.via != nil {
		current = cl.op.via.cred.id
	}
	list := sessionList{Sessions: []sessionView{}}
	late := c.late()
	c.mu.RLock()
	for id, k := range c.state.people.byID {
		if v, ok := c.viewSession(id, current); ok && (all || k.owner == owner) && c.over(k, late) == "" {
			list.Sessions = append(list.Sessions, v)
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(list.Sessions, func(a, b sessionView) int { return number(b.ID, "s-") - number(a.ID, "s-") })
	return cl.reply(http.StatusOK, list)
}

// deleteOwnSession logs out.
func (c *Control) deleteOwnSession(cl *call) error {
	if err := cl.op.may("session.close"); err != nil {
		return err
	}
	if cl.op.via == nil || cl.op.via.cred.kind != kindSession {
		return badField("session", "this request comes with a token and not with a session; a token ends by DELETE /api/v1/tokens/{id}")
	}
	id := cl.op.via.cred.id
	if err := c.endSession(cl, id, "closed", ""); err != nil {
		return err
	}
	if cl.op.via.cookie {
		c.desk.setCookie(cl, sessionCookie, "", 0, http.SameSiteStrictMode)
	}
	return cl.reply(http.StatusOK, endedView{id, "closed"})
}

// endedView is a session, a token or a password that ended.
type endedView struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// deleteSession ends a session at once: one's own, or as an administrator anybody's.
func (c *Control) deleteSession(cl *call) error {
	if err := cl.op.may("session.revoke"); err != nil {
		return err
	}
	reason, err := cl.reason()
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := c.endSession(cl, id, "revoked", reason); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, endedView{id, "revoked"})
}

func (c *Control) endSession(cl *call, id, why, reason string) error {
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		k := s.people.byID[id]
		if k == nil || k.kind != kindSession || k.owner != cl.op.id && cl.op.may("operator.others") != nil {
			return nil, problem("not_found", "you have no session "+strconv.Quote(short(id)))
		}
		return []draft{{typeSessionEnded, sessionEndedBody{ID: id, Why: why, Reason: reason}}}, nil
	})
	return err
}

// reason reads the query "reason" of a DELETE; it may be left out.
func (cl *call) reason() (string, error) {
	reason := cl.r.URL.Query().Get("reason")
	if len(reason) > maxReason {
		return "", badField("reason", "has "+strconv.Itoa(len(reason))+" bytes; at most "+strconv.Itoa(maxReason))
	}
	return reason, nil
}

// whoamiView is who asks, and how they came in.
type whoamiView struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Role          string    `json:"role"` // all of them, as text
	Roles         []string  `json:"roles"`
	Credential    string    `json:"credential"` // its id
	Kind          string    `json:"kind"`       // operator_token, api_token, session
	Method        string    `json:"method,omitempty"`
	Scopes        []string  `json:"scopes,omitempty"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	IdleUntil     time.Time `json:"idle_until,omitzero"`
	Factors       []string  `json:"factors"`  // by which the account can prove who it is, beside a token
	Enrolled      bool      `json:"enrolled"` // nobody else has seen what it comes in with; before, its approvals do not count
	SteppedUpTill time.Time `json:"stepped_up_until,omitzero"`
}

func (c *Control) getWhoami(cl *call) error {
	op := cl.op // whatever the role: it says which one it is
	v := whoamiView{ID: op.id, Name: op.name, Role: op.roles.String(), Roles: roleNames(op), Enrolled: !op.first, Factors: op.factors()}
	if via := op.via; via != nil {
		k := via.cred
		v.Credential, v.Kind, v.Method, v.Scopes, v.ExpiresAt = k.id, k.kind, k.method, k.scopes, k.expires
		if k.kind == kindSession {
			c.mu.RLock()
			s, _ := c.viewSession(k.id, k.id)
			c.mu.RUnlock()
			v.IdleUntil = s.IdleUntil
		}
		if via.fresh() {
			v.SteppedUpTill = k.proved.Add(stepUpFor)
		}
	}
	return cl.reply(http.StatusOK, v)
}
