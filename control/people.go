package control

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/people"
)

// This room holds people and machines: accounts, tokens, sessions.
//
// What is public about them is in the ledger: who there is, with which roles from
// when to when, that a password was set, which tokens and sessions exist (by the
// SHA-256 of 256 random bits, which nobody can turn back), that somebody proved
// anew who they are, and how each of these ended. So a revocation is durable,
// survives a restart, and is judged under the same lock as the command that it
// would forbid.
//
// What strangers must not see is in a private file (peopleFile): password hashes,
// and the key under which an issuer's subjects are known. An entry names the hash
// that counts by a random id; so a file that is rolled back, or lost, lets nobody
// in with an old password.
//
// Not written at all is when something was last used, but for a coarse note in the
// private file: no request costs an entry.

// The bounds of what an account has.
const (
	maxSessions  = 20 // that last, for each operator; the oldest ends
	maxAPITokens = 50 // in force, for each operator
	stepUpFor    = 5 * time.Minute
)

type peopleState struct {
	creds     map[[sha256.Size]byte]*badge // API tokens and sessions, by hash
	byID      map[string]*badge            // likewise; an API token stays, once it has ended
	tokenList []string                     // API tokens, as they were made
	subjects  map[string]string            // hash of issuer and subject → operator

	nTokens, nSessions int
}

// person is what an operator is beside its token.
type person struct {
	tenures    people.Tenures
	verifier   string    // id of the password's hash in the private file; "": none
	passwordAt time.Time // when it was set
	subject    string    // hash of issuer and subject, for who comes from an issuer
	proved     time.Time // when it was last proved beside the token who it is
	first      bool      // it comes in with the token that its maker saw
	readmitted time.Time // when it was let in anew by whoever holds the data folder
	given      []granted // roles beyond those that it was made with
	via        *caller   // of the copy that a request has; nil in the state
}

// heldAt says whether the operator had one of the roles at that time. An approval
// counts by the role at its time.
func (op *operator) heldAt(roles authority.Set, at time.Time) bool {
	return op != nil && op.tenures.At(at).Meets(roles)
}

// own says whether an account is kept here: it has a token or a password. Others
// come from an issuer, and are gone when the issuer is.
func (op *operator) own() bool { return op.subject == "" }

// factor says whether the operator can prove who it is by more than a token.
func (op *operator) factor() bool { return op.verifier != "" || op.subject != "" }

func (op *operator) factors() []string {
	out := []string{}
	if op.verifier != "" {
		out = append(out, methodPassword)
	}
	if op.subject != "" {
		out = append(out, methodIssuer)
	}
	return out
}

// peopleTable is the API of accounts, tokens and sessions.
var peopleTable = []route{
	{"POST", "/api/v1/operators", "operator.create", false, (*Control).postOperator},
	{"GET", "/api/v1/operators", "", false, (*Control).getOperators},
	{"DELETE", "/api/v1/operators/{id}", "operator.remove", false, (*Control).deleteOperator},
	{"POST", "/api/v1/operators/{id}/roles", "operator.roles", false, (*Control).postRoles},
	{"DELETE", "/api/v1/operators/{id}/password", "operator.password_remove", false, (*Control).deletePassword},
	{"POST", "/api/v1/enrol", "operator.enrol", false, (*Control).postEnrol},
	{"GET", "/api/v1/whoami", "", false, (*Control).getWhoami},
	{"PUT", "/api/v1/password", "operator.password", false, (*Control).putPassword},
	{"POST", "/api/v1/step-up", "operator.step_up", false, (*Control).postStepUp},
	{"POST", "/api/v1/tokens", "token.create", false, (*Control).postToken},
	{"GET", "/api/v1/tokens", "", false, (*Control).getTokens},
	{"DELETE", "/api/v1/tokens/{id}", "token.revoke", false, (*Control).deleteToken},
	{"POST", "/api/v1/session", "session.open", true, (*Control).postSession},
	{"DELETE", "/api/v1/session", "session.close", false, (*Control).deleteOwnSession},
	{"GET", "/api/v1/sessions", "", false, (*Control).getSessions},
	{"DELETE", "/api/v1/sessions/{id}", "session.revoke", false, (*Control).deleteSession},
	{"GET", "/api/v1/oidc", "", true, (*Control).getOIDC},
	{"GET", "/api/v1/oidc/login", "", true, (*Control).getOIDCLogin},
	{"GET", "/api/v1/oidc/callback", "", true, (*Control).getOIDCCallback},
	{"POST", "/api/v1/oidc/device", "", true, (*Control).postDevice},
	{"POST", "/api/v1/oidc/device/token", "session.open", true, (*Control).postDeviceToken},
}

// peoplePermits: what everybody may do, they may do to their own alone; the
// administrator may to all. What is not listed is the administrator's.
var peoplePermits = map[string]authority.Set{
	"operator.read": authority.All, "operator.password": authority.All, "operator.step_up": authority.All, "operator.enrol": authority.All,
	"token.create": authority.All, "token.read": authority.All, "token.revoke": authority.All,
	"session.close": authority.All, "session.read": authority.All, "session.revoke": authority.All,
}

var peopleCodes = map[string]code{
	"login_failed":        {401, "The log-in failed"},
	"step_up_needed":      {403, "Prove anew who you are"},
	"cross_origin":        {403, "The request comes from another site"},
	"operator_exists":     {409, "There is an operator of this name"},
	"enrolled":            {409, "Enrolled already"},
	"not_enrolled":        {403, "Enrol first"},
	"last_operator":       {409, "Somebody has to remain"},
	"too_many_api_tokens": {409, "Too many API tokens"},
	"too_many_attempts":   {429, "Too many attempts"},
	"rate_limited":        {429, "Too many requests"},
	"oidc_failed":         {401, "The issuer's answer cannot be taken"},
	"oidc_unavailable":    {503, "The issuer cannot be reached"},
}

// peopleClock ends sessions that are over. They are refused before that: a clock
// that is ahead ends them for as long as it is, and this for good once it is sure.
func peopleClock(c *Control, s *state, early time.Time) []draft {
	var out []draft
	for _, k := range s.people.byID {
		if k.kind != kindSession {
			continue
		}
		if why := c.over(k, early); why != "" {
			out = append(out, draft{typeSessionEnded, sessionEndedBody{ID: k.id, Why: why}})
		}
	}
	slices.SortFunc(out, func(a, b draft) int {
		return number(a.body.(sessionEndedBody).ID, "s-") - number(b.body.(sessionEndedBody).ID, "s-")
	})
	return out[:min(len(out), 100)]
}

// over says why a credential has ended by that time, or "".
func (c *Control) over(k *badge, now time.Time) string {
	if k.kind == kindSession {
		return c.desk.span.Over(k.made, c.desk.file.seen(k.id), k.expires, now)
	}
	if !k.expires.IsZero() && !now.Before(k.expires) {
		return "expired"
	}
	return ""
}

// irreversible is what takes a proof of everybody, whatever the configuration
// says, and of accounts that have no way to give one, too.
var irreversible = map[string]bool{typeSealed: true, typeDestroying: true, typeDestroyed: true, "personal.erase": true, actWithdrawCA: true}

// stepUp is asked for before what cannot be undone: who does it has proved anew,
// within five minutes and by more than a token, who they are.
//
// A fresh installation has one account, with a token and nothing else. So that it
// can do its everyday work, only accounts that have a second way to prove who they
// are must use it, unless control.step_up is "always". What is irreversible takes
// the proof in any case: set a password first.
func (cl *call) stepUp(what string) error {
	via := cl.op.via
	if via == nil { // nobody came in: nothing was proved
		return problem("step_up_needed", what+" cannot be undone and takes a caller that proved who it is")
	}
	if via.fresh() {
		return nil
	}
	if !irreversible[what] && !cl.op.factor() && via.c.cfg.StepUp != StepUpAlways {
		return nil
	}
	p := problem("step_up_needed", what+" takes a proof of who you are that is not older than "+strconv.Itoa(int(stepUpFor/time.Minute))+" minutes; a token alone is none")
	switch {
	case via.cred.kind == kindAPI:
		p.Hint = "an API token cannot do this: andon login, then the same command"
	case cl.op.subject != "":
		p.Hint = "andon step-up; it has you log in anew at the issuer"
	case cl.op.verifier != "":
		p.Hint = "andon step-up; it asks for your password (POST /api/v1/step-up)"
	default:
		p.Hint = "set a password first: andon operators passwd; then andon step-up"
	}
	// RFC 9470: the client learns in the usual place what is missing.
	cl.w.Header().Set("WWW-Authenticate", `Bearer realm="andon", error="insufficient_user_authentication", error_description="prove anew who you are", max_age=`+strconv.Itoa(int(stepUpFor/time.Second)))
	return p
}

// fresh says whether the caller proved a moment ago who it is. A proof that seems
// to lie ahead is none.
func (v *caller) fresh() bool {
	if v.cred.proved.IsZero() {
		return false
	}
	since := v.c.late().Sub(v.cred.proved)
	return since < stepUpFor && since > -time.Minute
}
