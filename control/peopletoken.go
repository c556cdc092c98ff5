package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/people"
)

// The bounds of an API token's life.
const (
	leastTokenLife = time.Minute
	mostTokenLife  = 366 * 24 * time.Hour
)

// newToken is an API token to be made.
type newToken struct {
	Name      string              `json:"name"`
	Operator  string              `json:"operator,omitempty"`  // whose; default: one's own. Others' take an administrator
	Roles     []string            `json:"roles"`               // at most those of the operator
	Scopes    []string            `json:"scopes"`              // actions: correction.create, or correction.*
	ExpiresIn correction.Duration `json:"expires_in,omitzero"` // 1m to 366d; or expires_at
	ExpiresAt time.Time           `json:"expires_at,omitzero"`
}

// tokenView is an API token as the API shows it.
type tokenView struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Operator   string    `json:"operator"`
	Roles      []string  `json:"roles"`
	Scopes     []string  `json:"scopes"`
	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"` // to the hour
	State      string    `json:"state"`                 // active, expired, revoked, removed
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Token      string    `json:"token,omitempty"` // once, in the answer that makes it
}

type tokenList struct {
	Tokens []tokenView `json:"tokens"`
	Next   string      `json:"next,omitempty"` // after which the next page begins
}

// viewToken shows an API token. The caller holds mu.
func (c *Control) viewToken(k *badge, late time.Time) tokenView {
	v := tokenView{ID: k.id, Name: k.name, Operator: k.owner, Roles: k.roles.Names(), Scopes: k.scopes, CreatedAt: k.made, CreatedBy: k.by, ExpiresAt: k.expires, State: "active", EndedAt: k.ended}
	if seen := c.desk.file.seen(k.id); !seen.IsZero() {
		v.LastUsedAt = seen.Truncate(time.Hour)
	}
	switch {
	case !k.ended.IsZero():
		v.State = k.why
	case c.over(k, late) != "":
		v.State, v.EndedAt = "expired", k.expires
	}
	return v
}

// notByToken refuses what only a person does: a token that makes tokens, or sets
// the password of whose it is, would outlive its own end.
func (cl *call) notByToken(what string) error {
	if cl.op.via != nil && cl.op.via.cred.kind == kindAPI {
		return problem("forbidden", "an API token does not "+what+": a person does, with a session or the operator's own token")
	}
	return nil
}

// ownHand refuses a word that counts as a person's where somebody else made the
// token that it comes with: who makes a token has seen it.
func (op *operator) ownHand() error {
	if err := op.enrolled(); err != nil {
		return err
	}
	if op.via == nil || op.via.cred.kind != kindAPI || op.via.cred.by == op.id {
		return nil
	}
	p := problem("not_independent", "the token "+op.via.cred.id+" was made by "+op.via.cred.by+", so its word does not count as "+op.name+"'s")
	p.Hint = "andon login, or a token that you have made yourself"
	return p
}

// postToken makes an API token. The token exists in this answer alone.
func (c *Control) postToken(cl *call) error {
	if err := cl.op.may("token.create"); err != nil {
		return err
	}
	if err := cl.notByToken("make tokens"); err != nil {
		return err
	}
	b, err := decode[newToken](cl)
	if err != nil {
		return err
	}
	if b.Name == "" {
		return badField("name", "missing: say what the token is for")
	}
	if err := checkLine("name", b.Name, 200); err != nil {
		return err
	}
	if b.Operator == "" {
		b.Operator = cl.op.id
	}
	if b.Operator != cl.op.id {
		if err := cl.op.may("operator.others"); err != nil {
			return err
		}
	}
	roles, err := authority.ParseRoles(b.Roles...)
	if err != nil {
		return badField("roles", err.Error(), authority.All.Names()...)
	}
	scopes, err := people.ParseScopes(b.Scopes, c.desk.actions)
	if err != nil {
		return badField("scopes", err.Error(), c.desk.actions...)
	}
	if (b.ExpiresIn == 0) == b.ExpiresAt.IsZero() {
		return badField("expires_in", "give expires_in, such as 30d, or expires_at: a token that does not end is one that nobody ends")
	}
	token, hash := secret(apiPrefix)
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		until := b.ExpiresAt.UTC()
		if b.ExpiresIn != 0 {
			until = now.Add(time.Duration(b.ExpiresIn))
		}
		if life := until.Sub(now); life < leastTokenLife || life > mostTokenLife {
			return nil, badField("expires_in", "the token would end "+until.Format(time.RFC3339)+"; it may last 1m to 366d")
		}
		op := s.operators[b.Operator]
		if !op.active() {
			return nil, badField("operator", "there is no operator "+strconv.Quote(short(b.Operator)))
		}
		if !op.own() {
			return nil, badField("operator", op.name+" comes from the issuer, and a token would outlast what the issuer says; make an operator for the machine: andon operators add NAME --role …")
		}
		if more := roles &^ op.roles; more != 0 {
			return nil, badField("roles", op.name+" has not the role "+more.String()+"; a token has at most its operator's", roleNames(op)...)
		}
		n := 0
		for _, k := range s.people.byID {
			if k.kind == kindAPI && k.owner == op.id && k.ended.IsZero() && now.Before(k.expires) {
				n++
			}
		}
		if n >= maxAPITokens {
			return nil, problem("too_many_api_tokens", fmt.Sprintf("%s has %d tokens in force; revoke one first", op.name, n))
		}
		id = "t-" + strconv.Itoa(s.people.nTokens+1)
		return []draft{{typeAPIToken, apiTokenBody{ID: id, Operator: op.id, Name: b.Name, Roles: roles.Names(), Scopes: scopes, Token: hash, ExpiresAt: until}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.viewToken(c.state.people.byID[id], c.late())
	c.mu.RUnlock()
	v.Token = token
	cl.w.Header().Set("Location", "/api/v1/tokens/"+id)
	return cl.reply(http.StatusCreated, v)
}

// knownActions are all actions that a scope can name.
func knownActions() []string {
	var out []string
	for a := range permits {
		out = append(out, a)
	}
	for i := range table {
		if a := table[i].command; a != "" {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// getTokens lists one's own tokens; an administrator's query "operator" those of
// others, or of all.
func (c *Control) getTokens(cl *call) error {
	if err := cl.op.may("token.read"); err != nil {
		return err
	}
	after, limit, err := cl.page("operator")
	if err != nil {
		return err
	}
	q := cl.r.URL.Query()
	q.Del("after")
	q.Del("limit")
	cl.r.URL.RawQuery = q.Encode()
	owner, all, err := cl.whose()
	if err != nil {
		return err
	}
	list := tokenList{Tokens: []tokenView{}}
	late := c.late()
	c.mu.RLock()
	for _, id := range c.state.people.tokenList {
		if k := c.state.people.byID[id]; number(id, "t-") > after && (all || k.owner == owner) {
			if len(list.Tokens) == limit {
				list.Next = list.Tokens[limit-1].ID
				break
			}
			list.Tokens = append(list.Tokens, c.viewToken(k, late))
		}
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

// page reads the query "after" and "limit"; others may be there as well.
func (cl *call) page(others ...string) (after, limit int, err error) {
	limit = 200
	for name, values := range cl.r.URL.Query() {
		switch n, nerr := strconv.Atoi(values[0]); {
		case name == "after":
			_, text, _ := cutLast(values[0], '-')
			if after, err = strconv.Atoi(text); err != nil || after < 0 {
				err = badField("after", strconv.Quote(short(values[0]))+" is not an id, such as t-7")
			}
		case name == "limit" && (nerr != nil || n < 1 || n > 1000):
			err = badField("limit", "give 1 to 1000")
		case name == "limit":
			limit = n
		case !slices.Contains(others, name):
			p := problem("invalid_query", "unknown parameter "+short(name))
			p.Field, p.Allowed = short(name), append([]string{"after", "limit"}, others...)
			err = p
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return after, limit, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return "", s, false
}

// deleteToken ends an API token at once.
func (c *Control) deleteToken(cl *call) error {
	if err := cl.op.may("token.revoke"); err != nil {
		return err
	}
	reason, err := cl.reason()
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		k := s.people.byID[id]
		if k == nil || k.kind != kindAPI || k.owner != cl.op.id && cl.op.may("operator.others") != nil {
			return nil, problem("not_found", "you have no token "+strconv.Quote(short(id)))
		}
		if !k.ended.IsZero() {
			return nil, nil // revoked is revoked
		}
		return []draft{{typeAPIRevoked, apiRevokedBody{ID: id, Reason: reason}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.viewToken(c.state.people.byID[id], c.late())
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}
