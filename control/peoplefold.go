package control

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/people"
)

// The entries of this room, beside those of control/entry.go. None makes a revision.
const (
	typeRoles         = "operator.roles_changed"
	typePassword      = "operator.password_set"
	typePasswordGone  = "operator.password_removed"
	typeProved        = "operator.proved"
	typeAPIToken      = "token.created"
	typeAPIRevoked    = "token.revoked"
	typeSession       = "session.opened"
	typeSessionEnded  = "session.ended"
	kindOwn           = "operator_token"
	kindAPI           = "api_token"
	kindSession       = "session"
	methodPassword    = "password"
	methodIssuer      = "oidc"
	maxVerifierLength = 64
)

// rolesBody are an operator's roles from now on. None take them all away.
type rolesBody struct {
	ID     string   `json:"id"`
	Roles  []string `json:"roles"`
	Reason string   `json:"reason"`
}

// passwordBody says that a password was set. Its hash is in the private file, under
// the verifier, which is random.
type passwordBody struct {
	ID       string `json:"id"`
	Verifier string `json:"verifier"`
}

// provedBody says that somebody proved, beside the credential in use, who they are.
type provedBody struct {
	ID         string `json:"id"`         // of the operator
	Credential string `json:"credential"` // that counts as proved: a session, or the operator's own token by the operator's id
	Method     string `json:"method"`
}

// apiTokenBody is a token for a machine.
type apiTokenBody struct {
	ID        string    `json:"id"`
	Operator  string    `json:"operator"` // whose roles it has at most
	Name      string    `json:"name"`
	Roles     []string  `json:"roles"`
	Scopes    []string  `json:"scopes"`
	Token     string    `json:"token_sha256"` // hex
	ExpiresAt time.Time `json:"expires_at"`
}

type apiRevokedBody struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// sessionBody is a session that begins.
type sessionBody struct {
	ID        string    `json:"id"`
	Operator  string    `json:"operator"`
	Method    string    `json:"method"`
	Token     string    `json:"token_sha256"` // hex
	ExpiresAt time.Time `json:"expires_at"`
	ProvedAt  time.Time `json:"proved_at,omitzero"` // when the person last proved who they are
}

// sessionEndedBody ends a session: expired, idle, closed, revoked, replaced,
// password_set.
type sessionEndedBody struct {
	ID     string `json:"id"`
	Why    string `json:"why"`
	Reason string `json:"reason,omitempty"`
}

var peopleFolds = map[string]foldFunc{
	typeOperator: (*state).foldOperator, typeToken: (*state).foldOperator,
	typeOpRemoved: (*state).foldOpRemoved, typeRoles: (*state).foldRoles, typePassword: (*state).foldPassword, typePasswordGone: (*state).foldPasswordGone,
	typeProved: (*state).foldProved, typeEnrolled: foldEnrolled, typeReadmitted: foldReadmitted, typeAPIToken: (*state).foldAPIToken, typeAPIRevoked: (*state).foldAPIRevoked,
	typeSession: (*state).foldSession, typeSessionEnded: (*state).foldSessionEnded,
}

// names are the roles of an operator that is made.
func (b *operatorBody) names() []string {
	if b.Role != "" {
		return append([]string{b.Role}, b.Roles...)
	}
	return b.Roles
}

func (s *state) foldOperator(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[operatorBody](e.Body)
	if err != nil {
		return nil, err
	}
	old := s.operators[b.ID]
	if (old != nil) != (e.Type == typeToken) {
		return nil, fmt.Errorf("operator %q: %w", b.ID, errForm)
	}
	op := &operator{id: b.ID, name: b.Name, created: e.At.UTC(), by: e.Actor}
	if old != nil {
		*op = *old
		op.proved = time.Time{} // the proof was the old token's
	} else {
		if op.roles, err = authority.ParseRoles(b.names()...); err != nil {
			return nil, fmt.Errorf("operator %q: %w", b.ID, err)
		}
		op.tenures = op.tenures.Begin(op.roles, e.At.UTC())
		op.subject, op.first = b.Subject, b.Enrol
	}
	if b.Subject == "" || old != nil {
		if op.token, err = tokenHash(b.Token); err != nil {
			return nil, fmt.Errorf("operator %q: %w", b.ID, err)
		}
	} else if b.Token != "" || s.people.subjects[b.Subject] != "" {
		return nil, fmt.Errorf("operator %q: subject: %w", b.ID, errForm)
	}
	return func() {
		if old != nil {
			delete(s.tokens, old.token)
		} else {
			s.operatorList = append(s.operatorList, op.id)
		}
		s.operators[op.id] = op
		if op.subject != "" {
			s.people.make()
			s.people.subjects[op.subject] = op.id
		} else {
			s.tokens[op.token] = op
		}
		s.nOperators = max(s.nOperators, number(op.id, "op-"))
	}, nil
}

// make makes the maps, once there is something to be kept in them.
func (p *peopleState) make() {
	if p.byID == nil {
		p.creds, p.byID, p.subjects = map[[sha256.Size]byte]*badge{}, map[string]*badge{}, map[string]string{}
	}
}

func tokenHash(text string) (out [sha256.Size]byte, err error) {
	if n, err := hex.Decode(out[:], []byte(text[:min(len(text), 2*len(out))])); err != nil || n != len(out) || len(text) != 2*len(out) {
		return out, fmt.Errorf("token hash: %w", errForm)
	}
	return out, nil
}

func (s *state) foldOpRemoved(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[removedOperatorBody](e.Body)
	op := s.operators[b.ID]
	if err == nil && !op.active() {
		err = fmt.Errorf("operator %q is not there: %w", b.ID, errForm)
	}
	return func() {
		op.removed = e.At.UTC()
		op.tenures = op.tenures.Begin(0, e.At.UTC())
		delete(s.tokens, op.token)
		for _, k := range s.people.byID {
			if k.owner == op.id && k.ended.IsZero() {
				s.people.end(k, e.At.UTC(), "removed")
			}
		}
	}, err
}

func (s *state) foldRoles(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[rolesBody](e.Body)
	if err != nil {
		return nil, err
	}
	op := s.operators[b.ID]
	if !op.active() {
		return nil, fmt.Errorf("operator %q is not there: %w", b.ID, errForm)
	}
	var roles authority.Set
	if len(b.Roles) > 0 {
		if roles, err = authority.ParseRoles(b.Roles...); err != nil {
			return nil, fmt.Errorf("operator %q: %w", b.ID, err)
		}
	}
	return func() {
		if grows(op.roles, roles) {
			op.given = append(op.given, granted{e.Actor, e.At.UTC()})
		}
		op.roles, op.tenures = roles, op.tenures.Begin(roles, e.At.UTC())
	}, nil
}

func (s *state) foldPassword(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[passwordBody](e.Body)
	op := s.operators[b.ID]
	if err == nil && (!op.active() || !op.own() || b.Verifier == "" || len(b.Verifier) > maxVerifierLength) {
		err = fmt.Errorf("password of operator %q: %w", b.ID, errForm)
	}
	return func() { op.verifier, op.passwordAt = b.Verifier, e.At.UTC() }, err
}

func (s *state) foldPasswordGone(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[removedOperatorBody](e.Body)
	op := s.operators[b.ID]
	if err == nil && (!op.active() || op.verifier == "") {
		err = fmt.Errorf("password of operator %q: %w", b.ID, errForm)
	}
	return func() { op.verifier, op.passwordAt, op.proved = "", time.Time{}, time.Time{} }, err
}

func (s *state) foldProved(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[provedBody](e.Body)
	if err != nil {
		return nil, err
	}
	op, k := s.operators[b.ID], s.people.byID[b.Credential]
	if !op.active() || b.Credential != b.ID && (k == nil || k.kind != kindSession || k.owner != b.ID) {
		return nil, fmt.Errorf("proof of operator %q by %q: %w", b.ID, b.Credential, errForm)
	}
	return func() {
		if k == nil {
			op.proved = e.At.UTC()
		} else {
			k.proved = e.At.UTC()
		}
	}, nil
}

func (s *state) foldAPIToken(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[apiTokenBody](e.Body)
	if err != nil {
		return nil, err
	}
	k := &badge{id: b.ID, kind: kindAPI, owner: b.Operator, name: b.Name, scopes: people.Scopes(b.Scopes), made: e.At.UTC(), by: e.Actor, expires: b.ExpiresAt.UTC()}
	if k.roles, err = authority.ParseRoles(b.Roles...); err != nil {
		return nil, fmt.Errorf("token %q: %w", b.ID, err)
	}
	if len(b.Scopes) == 0 || b.ExpiresAt.IsZero() {
		return nil, fmt.Errorf("token %q has no scopes, or no end: %w", b.ID, errForm)
	}
	return s.foldCredential(k, b.Token, func() {
		s.people.tokenList = append(s.people.tokenList, k.id)
		s.people.nTokens = max(s.people.nTokens, number(k.id, "t-"))
	})
}

func (s *state) foldSession(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[sessionBody](e.Body)
	if err != nil {
		return nil, err
	}
	if b.ExpiresAt.IsZero() {
		return nil, fmt.Errorf("session %q has no end: %w", b.ID, errForm)
	}
	k := &badge{id: b.ID, kind: kindSession, owner: b.Operator, roles: authority.All, method: b.Method, made: e.At.UTC(), expires: b.ExpiresAt.UTC(), proved: b.ProvedAt.UTC()}
	return s.foldCredential(k, b.Token, func() { s.people.nSessions = max(s.people.nSessions, number(k.id, "s-")) })
}

func (s *state) foldCredential(k *badge, hash string, then func()) (func(), error) {
	var err error
	if k.hash, err = tokenHash(hash); err != nil {
		return nil, fmt.Errorf("%s %q: %w", k.kind, k.id, err)
	}
	if k.id == "" || s.people.byID[k.id] != nil || s.people.creds[k.hash] != nil || s.tokens[k.hash] != nil || !s.operators[k.owner].active() {
		return nil, fmt.Errorf("%s %q of operator %q: %w", k.kind, k.id, k.owner, errForm)
	}
	return func() {
		s.people.make()
		s.people.byID[k.id], s.people.creds[k.hash] = k, k
		then()
	}, nil
}

func (s *state) foldAPIRevoked(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[apiRevokedBody](e.Body)
	k := s.people.byID[b.ID]
	if err == nil && (k == nil || k.kind != kindAPI || !k.ended.IsZero()) {
		err = fmt.Errorf("token %q is not in force: %w", b.ID, errForm)
	}
	return func() { s.people.end(k, e.At.UTC(), "revoked") }, err
}

func (s *state) foldSessionEnded(e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[sessionEndedBody](e.Body)
	k := s.people.byID[b.ID]
	if err == nil && (k == nil || k.kind != kindSession) {
		err = fmt.Errorf("session %q does not last: %w", b.ID, errForm)
	}
	return func() { s.people.end(k, e.At.UTC(), b.Why) }, err
}

// end ends a credential. A session is forgotten, the ledger has it; an API token
// stays in the list. The old value stays as it was: requests hold copies of it.
func (p *peopleState) end(k *badge, at time.Time, why string) {
	delete(p.creds, k.hash)
	if k.kind == kindSession {
		delete(p.byID, k.id)
		return
	}
	ended := *k
	ended.ended, ended.why = at, why
	p.byID[k.id] = &ended
}
