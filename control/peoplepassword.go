package control

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"time"

	"andon/people"
)

// newPassword is one's own password to be. Current is needed where there is one,
// unless the caller proved a moment ago who it is.
type newPassword struct {
	Password string `json:"password"`
	Current  string `json:"current,omitempty"`
}

// passwordView says since when there is a password.
type passwordView struct {
	ID    string    `json:"id"`
	SetAt time.Time `json:"set_at"`
}

// putPassword sets one's own password. Other sessions of the account end with it:
// whoever knew the old one is out.
func (c *Control) putPassword(cl *call) error {
	if err := cl.op.may("operator.password"); err != nil {
		return err
	}
	if err := cl.notByToken("set a password"); err != nil {
		return err
	}
	b, err := decode[newPassword](cl)
	if err != nil {
		return err
	}
	op := cl.op
	if !op.own() {
		return badField("password", op.name+" comes from the issuer and has its password there")
	}
	if err := people.CheckPassword(b.Password, op.name); err != nil {
		return badField("password", err.Error())
	}
	proved := op.via != nil && op.via.fresh()
	if op.verifier != "" && !proved {
		if b.Current == "" || len(b.Current) > people.MaxPasswordBytes {
			return badField("current", "give the password that is in force, too: a token that was stolen must not be worth more than it is")
		}
		if err := c.tryPassword(cl, c.attemptBy(cl), b.Current); err != nil {
			return err
		}
	}
	hash, err := c.hashPassword(cl, b.Password)
	if err != nil {
		return err
	}
	if err := c.replacePassword(cl, hash); err != nil {
		return err
	}
	c.mu.RLock()
	v := passwordView{op.id, c.state.operators[op.id].passwordAt}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// replacePassword puts the hash of one's own new password in force.
func (c *Control) replacePassword(cl *call, hash string) error {
	op, verifier := cl.op, rand.Text()
	c.desk.setting.Lock()
	defer c.desk.setting.Unlock()
	if err := c.desk.file.set(verifier, hash); err != nil {
		c.log.Error("a password cannot be kept", "error", err)
		return problem("unavailable", "the password cannot be kept, because the data folder cannot be written; nothing was changed")
	}
	current := ""
	if op.via != nil {
		current = op.via.cred.id
	}
	_, err := c.execute(cl.r.Context(), op.id, func(s *state, _ time.Time) ([]draft, error) {
		if s.operators[op.id].verifier != op.verifier {
			return nil, problem("unauthenticated", "the password was changed meanwhile; nothing was changed by this")
		}
		return append([]draft{{typePassword, passwordBody{ID: op.id, Verifier: verifier}}}, s.endSessions(op.id, current, "password_set")...), nil
	})
	c.forgetPasswords() // the one that counts no more: the old, or, on an error, the new
	return err
}

// endSessions drafts the end of an operator's sessions, but for one.
func (s *state) endSessions(owner, but, why string) []draft {
	var out []draft
	for id, k := range s.people.byID {
		if k.kind == kindSession && k.owner == owner && id != but {
			out = append(out, draft{typeSessionEnded, sessionEndedBody{ID: id, Why: why}})
		}
	}
	return out
}

// forgetPasswords drops hashes that no account names. The caller holds
// desk.setting, so that none is between its file and its entry.
func (c *Control) forgetPasswords() {
	counts := map[string]bool{}
	c.mu.RLock()
	for _, op := range c.state.operators {
		counts[op.verifier] = op.active()
	}
	c.mu.RUnlock()
	if err := c.desk.file.drop(func(v string) bool { return !counts[v] }, func(string) bool { return false }); err != nil {
		c.log.Warn("a password's old hash is still on disk; it counts no more", "error", err)
	}
}

// hashPassword hashes a password where there is room for it.
func (c *Control) hashPassword(cl *call, password string) (string, error) {
	release := c.desk.lane(cl.r.Context(), true)
	if release == nil {
		return "", c.tooMany(cl, laneWait, "many passwords are being set; nothing was changed")
	}
	defer release()
	return people.Hash(password, c.desk.hashing, newSalt()), nil
}

// attemptBy is a password given by somebody who is in already: it is slowed for
// that credential and for nobody else.
func (c *Control) attemptBy(cl *call) attempt {
	a := attempt{account: cl.op.name, id: cl.op.id, verifier: cl.op.verifier, source: c.desk.source(cl.r), known: true}
	if cl.op.via != nil {
		a.cred = cl.op.via.cred.id
	}
	return a
}

// deletePassword takes somebody's password away: it was lost, or is no longer to be
// trusted. The account's own token goes on.
func (c *Control) deletePassword(cl *call) error {
	if err := cl.op.may("operator.password_remove"); err != nil {
		return err
	}
	reason, err := cl.reason()
	if err == nil {
		err = reasonGiven(reason)
	}
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		op := s.operators[id]
		if !op.active() {
			return nil, problem("not_found", "there is no operator "+strconv.Quote(short(id)))
		}
		if op.verifier == "" {
			return nil, nil
		}
		return append([]draft{{typePasswordGone, removedOperatorBody{id, reason}}}, s.endSessions(id, "", "password_removed")...), nil
	})
	if err != nil {
		return err
	}
	c.desk.setting.Lock()
	c.forgetPasswords()
	c.desk.setting.Unlock()
	return cl.reply(http.StatusOK, endedView{id, "no_password"})
}

// stepUpAsk proves anew who one is.
type stepUpAsk struct {
	Password string `json:"password"`
}

// stepUpView says until when the proof counts.
type stepUpView struct {
	ID    string    `json:"id"`         // of the operator
	Cred  string    `json:"credential"` // for which it counts
	Until time.Time `json:"stepped_up_until"`
}

// postStepUp proves by the password who sends the requests of this session, or of
// the operator's own token.
func (c *Control) postStepUp(cl *call) error {
	if err := cl.op.may("operator.step_up"); err != nil {
		return err
	}
	if err := cl.notByToken("prove who somebody is"); err != nil {
		return err
	}
	b, err := decode[stepUpAsk](cl)
	if err != nil {
		return err
	}
	op := cl.op
	switch {
	case op.via == nil:
		return problem("unauthenticated", "nobody came in")
	case !op.own():
		return badField("password", op.name+" comes from the issuer: log in anew there (GET /api/v1/oidc/login?fresh=true, or andon step-up)")
	case op.verifier == "":
		p := badField("password", "the account has none yet")
		p.Hint = "andon operators passwd"
		return p
	case b.Password == "" || len(b.Password) > people.MaxPasswordBytes:
		return badField("password", "give the password, 1 to "+strconv.Itoa(people.MaxPasswordBytes)+" bytes")
	}
	if err := c.tryPassword(cl, c.attemptBy(cl), b.Password); err != nil {
		return err
	}
	return c.provedNow(cl.r.Context(), cl, methodPassword)
}

func (c *Control) provedNow(ctx context.Context, cl *call, method string) error {
	op, cred := cl.op, cl.op.via.cred.id
	entries, err := c.execute(ctx, op.id, func(s *state, _ time.Time) ([]draft, error) {
		if s.operators[op.id].verifier != op.verifier {
			return nil, loginFailed() // it was changed while the password was looked at
		}
		return []draft{{typeProved, provedBody{ID: op.id, Credential: cred, Method: method}}}, nil
	})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, stepUpView{op.id, cred, entries[0].At.Add(stepUpFor).UTC()})
}
