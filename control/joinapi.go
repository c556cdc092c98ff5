package control

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/credential"
	"andon/order"
)

var joinTable = []route{
	{"POST", "/api/v1/join-tokens", "join_token.create", false, (*Control).postJoinToken},
	{"GET", "/api/v1/join-tokens", "", false, (*Control).getJoinTokens},
	{"DELETE", "/api/v1/join-tokens/{id}", "join_token.revoke", false, (*Control).deleteJoinToken},
	{"GET", "/api/v1/credentials", "", false, (*Control).getCredentials},
	{"POST", "/api/v1/points/{name}/revoke", "credential.revoke", false, (*Control).postRevoke},
	{"POST", "/api/v1/join", "", true, (*Control).postJoin},
	{"POST", "/api/v1/join/renew", "", true, (*Control).postRenew},
}

// newJoinToken asks for a token.
type newJoinToken struct {
	Gateway string              `json:"gateway"`
	For     correction.Duration `json:"for,omitzero"`      // 1m to 7d, default 1h
	Control string              `json:"control,omitempty"` // https://host:port by which the gateway reaches this API; default: that of this request
	Hosts   []string            `json:"hosts,omitempty"`   // names and addresses that the gateway's certificate may carry towards callers
}

// joinTokenView is a token as the API shows it.
type joinTokenView struct {
	ID        string    `json:"id"`
	Gateway   string    `json:"gateway"`
	State     string    `json:"state"`           // open, used, expired, revoked
	Token     string    `json:"token,omitempty"` // once, in the answer that makes it
	Control   string    `json:"control"`
	Hosts     []string  `json:"hosts"`
	ExpiresAt time.Time `json:"expires_at"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	Used      string    `json:"credential,omitempty"` // the credential that came of it
	Replaces  string    `json:"replaces,omitempty"`   // the credential that ends when it is used
}

type joinTokenList struct {
	Tokens []joinTokenView `json:"tokens"`
}

func (s *state) viewJoinToken(t *joinToken, now time.Time) joinTokenView {
	v := joinTokenView{ID: t.ID, Gateway: t.Gateway, State: "open", Control: t.Control, Hosts: append([]string{}, t.Hosts...),
		ExpiresAt: t.ExpiresAt, CreatedAt: t.created, CreatedBy: t.by, Used: t.used}
	if err := t.open(now); err != nil {
		v.State = strings.TrimPrefix(asProblem(err).Code, "join_token_")
	} else if cr := s.join.credentials[t.Gateway]; cr.active() {
		v.Replaces = cr.ID
	}
	return v
}

// check fills in what was left out, and refuses what cannot be.
func (b *newJoinToken) check(cl *call, j *Joining) error {
	if b.Gateway == "" {
		return badField("gateway", "missing: the name of the gateway that may join")
	}
	if !credential.NameValid(b.Gateway) {
		return badField("gateway", strconv.Quote(short(b.Gateway))+" cannot have a credential", "1 to 64 letters, digits, - and _")
	}
	if order.Reserved(b.Gateway) {
		return badField("gateway", strconv.Quote(b.Gateway)+" is the control plane's name on the bus, and no gateway's")
	}
	if b.For == 0 {
		b.For = correction.Duration(defaultJoinToken)
	}
	if d := time.Duration(b.For); d < minJoinToken || d > maxJoinToken {
		return badField("for", "is "+b.For.String(), "1m to 7d")
	}
	if b.Control == "" {
		if b.Control = j.Control; b.Control == "" {
			b.Control = "https://" + cl.r.Host
		}
	}
	if u, err := url.Parse(b.Control); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || len(b.Control) > 300 {
		return badField("control", strconv.Quote(short(b.Control))+" is not where a gateway reaches this control plane", "https://host:port")
	}
	if len(b.Hosts) > maxJoinHosts {
		return badField("hosts", fmt.Sprintf("has %d names; at most %d", len(b.Hosts), maxJoinHosts))
	}
	for i, h := range b.Hosts {
		if !hostValid(h) {
			return badField(fmt.Sprintf("hosts[%d]", i), strconv.Quote(short(h))+" is neither a host's name nor an address", "gw.example.com", "10.0.0.5")
		}
	}
	return nil
}

// hostValid takes addresses, and names of DNS without wildcards.
func hostValid(h string) bool {
	if net.ParseIP(h) != nil {
		return true
	}
	for _, label := range strings.Split(h, ".") {
		if !credential.NameValid(label) || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") || strings.Contains(label, "_") {
			return false
		}
	}
	return len(h) <= 253
}

// joining is what joining takes, or why nobody can.
func (c *Control) joining() (*Joining, error) {
	j := c.cfg.Joining
	switch {
	case j == nil:
		return nil, problem("join_unavailable", "this control plane has no authority for credentials")
	case j.Refused != "":
		return nil, problem("join_unavailable", j.Refused)
	case j.Pin() == "":
		return nil, problem("join_unavailable", "nothing vouches for the control API: set control.tls")
	}
	return j, nil
}

func (c *Control) postJoinToken(cl *call) error {
	if err := cl.op.may("join_token.create"); err != nil {
		return err
	}
	if err := cl.stepUp("let a gateway join"); err != nil {
		return err
	}
	b, err := decode[newJoinToken](cl)
	if err != nil {
		return err
	}
	j, err := c.joining()
	if err != nil {
		return err
	}
	if err := b.check(cl, j); err != nil {
		return err
	}
	if b.Gateway == c.cfg.Local {
		return badField("gateway", b.Gateway+" is the gateway in the control plane's own process, and needs none")
	}
	t := credential.NewToken(b.Control, j.Pin(), b.Gateway)
	text, err := t.Text()
	if err != nil {
		return err
	}
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		n := 0
		for _, t := range s.join.tokenList {
			if t.open(now) == nil {
				n++
			}
		}
		if n >= maxJoinTokens {
			return nil, problem("too_many_tokens", fmt.Sprintf("%d tokens are open; revoke those that nobody needs", n))
		}
		id = "jt-" + strconv.Itoa(len(s.join.tokenList)+1)
		return []draft{{typeJoinToken, joinBody{ID: id, Gateway: b.Gateway, Hash: t.Hash(), Control: b.Control, Hosts: b.Hosts, ExpiresAt: now.Add(time.Duration(b.For)).UTC()}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.viewJoinToken(c.state.join.tokens[id], c.cfg.Now())
	c.mu.RUnlock()
	v.Token = text
	return cl.reply(http.StatusCreated, v)
}

func (c *Control) getJoinTokens(cl *call) error {
	if err := cl.op.may("join_token.read"); err != nil {
		return err
	}
	list := joinTokenList{Tokens: []joinTokenView{}}
	c.mu.RLock()
	latest := c.state.join.tokenList
	for _, t := range latest[max(0, len(latest)-maxJoinTokens):] {
		list.Tokens = append(list.Tokens, c.state.viewJoinToken(t, c.cfg.Now()))
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

func (c *Control) deleteJoinToken(cl *call) error {
	if err := cl.op.may("join_token.revoke"); err != nil {
		return err
	}
	reason := cl.r.URL.Query().Get("reason")
	if err := reasonGiven(reason); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		t := s.join.tokens[id]
		switch {
		case t == nil:
			return nil, problem("not_found", "there is no join token "+strconv.Quote(short(id)))
		case !t.revoked.IsZero():
			return nil, nil
		case t.used != "":
			return nil, problem("join_token_used", id+" has let "+t.Gateway+" in already; to shut it out: andon points revoke "+t.Gateway)
		}
		return []draft{{typeJoinRevoked, revokedBody{ID: id, Reason: reason}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.viewJoinToken(c.state.join.tokens[id], c.cfg.Now())
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// credentialView is a gateway's credential as the API shows it.
type credentialView struct {
	ID        string    `json:"id"`
	Gateway   string    `json:"gateway"`
	State     string    `json:"state"` // active, expired, revoked
	Key       string    `json:"key_sha256"`
	Token     string    `json:"join_token"`
	Hosts     []string  `json:"hosts"`
	IssuedAt  time.Time `json:"issued_at"`
	RenewedAt time.Time `json:"renewed_at"`
	ExpiresAt time.Time `json:"expires_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

type credentialList struct {
	Credentials []credentialView `json:"credentials"`
	Next        string           `json:"next,omitempty"` // what to give as after; missing: that was all
}

func (cr *credRecord) view(now time.Time) credentialView {
	v := credentialView{ID: cr.ID, Gateway: cr.Gateway, State: "active", Key: cr.Key, Token: cr.Token, Hosts: append([]string{}, cr.hosts...),
		IssuedAt: cr.issued, RenewedAt: cr.renewed, ExpiresAt: cr.ExpiresAt, RevokedAt: cr.revoked, RevokedBy: cr.by, Reason: cr.reason}
	switch {
	case !cr.active():
		v.State = "revoked"
	case now.After(cr.ExpiresAt):
		v.State = "expired"
	}
	return v
}

func (c *Control) getCredentials(cl *call) error {
	if err := cl.op.may("credential.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if q.Get("limit") == "" {
		limit, err = 100, nil
	}
	if err != nil || limit < 1 || limit > 1000 {
		p := problem("invalid_query", "limit must be 1 to 1000")
		p.Field = "limit"
		return p
	}
	after := number(q.Get("after"), "cr-")
	if q.Get("after") != "" && after == 0 {
		p := problem("invalid_query", "after is the id of a credential, such as cr-5")
		p.Field = "after"
		return p
	}
	list := credentialList{Credentials: []credentialView{}}
	c.mu.RLock()
	all := c.state.join.credList
	for _, cr := range all[min(after, len(all)):min(after+limit, len(all))] {
		list.Credentials = append(list.Credentials, cr.view(c.cfg.Now()))
	}
	if after+limit < len(all) {
		list.Next = "cr-" + strconv.Itoa(after+limit)
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

// postRevoke shuts a gateway out: its connections end, it gets no lease, and its
// models take their postures once the one that it holds runs out. Tokens for its
// name that are still open end with it.
func (c *Control) postRevoke(cl *call) error {
	if err := cl.op.may("credential.revoke"); err != nil {
		return err
	}
	b, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	name := cl.r.PathValue("name")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		var drafts []draft
		cr := s.join.credentials[name]
		if cr.active() {
			drafts = append(drafts, draft{typeCredRevoked, credRevokedBody{ID: cr.ID, Gateway: name, Reason: b.Reason}})
		}
		for _, t := range s.join.tokenList {
			if t.Gateway == name && t.open(now) == nil {
				drafts = append(drafts, draft{typeJoinRevoked, revokedBody{ID: t.ID, Reason: b.Reason}})
			}
		}
		if cr == nil && len(drafts) == 0 {
			p := problem("not_found", strconv.Quote(short(name))+" has no credential of its own")
			p.Hint = "a gateway that comes with the shared token is shut out by another control.token; a joined one is listed by GET /api/v1/credentials"
			return nil, p
		}
		return drafts, nil
	})
	if err != nil {
		return err
	}
	if j := c.cfg.Joining; j != nil && j.Disconnect != nil {
		j.Disconnect(name)
	}
	var v credentialView
	c.mu.RLock()
	cr := c.state.join.credentials[name]
	if cr != nil {
		v = cr.view(c.cfg.Now())
	}
	c.mu.RUnlock()
	if cr == nil { // there were tokens alone
		cl.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return cl.reply(http.StatusOK, v)
}

// joinAsk is what a gateway says that wants in. The secret of its token is its
// authority.
type joinAsk struct {
	Gateway string `json:"gateway"`
	Secret  string `json:"secret"`
	Request string `json:"request"` // certificate request, PEM
}

// postJoin lets a gateway in. A token counts once; the same key gets its answer
// again while the token lasts, since an answer can be lost.
func (c *Control) postJoin(cl *call) error {
	cl.r.Body = http.MaxBytesReader(cl.w, cl.r.Body, 64<<10)
	b, err := decode[joinAsk](cl)
	if err != nil {
		return err
	}
	j, err := c.joining()
	if err != nil {
		return err
	}
	if !credential.NameValid(b.Gateway) {
		return badField("gateway", "is no name of a gateway", "1 to 64 letters, digits, - and _")
	}
	csr, err := credential.ReadRequest(b.Request)
	if err != nil {
		return badField("request", err.Error())
	}
	key := credential.KeyPrint(csr.RawSubjectPublicKeyInfo)
	sum := sha256.Sum256([]byte(b.Secret))
	hash := hex.EncodeToString(sum[:]) // the look-up is by hash: its timing says nothing of any token
	if err := c.notTooOften(cl, &c.desk.joins, c.desk.source(cl.r)); err != nil {
		return err
	}
	var grant credential.Grant
	_, err = c.execute(cl.r.Context(), system, func(s *state, now time.Time) ([]draft, error) {
		t := s.join.hashes[hash]
		if t == nil {
			return nil, problem("join_token_unknown", "nobody made this token here; ask for one: andon join-token add --gateway "+b.Gateway)
		}
		if t.Gateway != b.Gateway {
			return nil, problem("join_token_other", t.ID+" is for gateway "+t.Gateway+", not for "+b.Gateway)
		}
		cr := s.join.credentials[b.Gateway]
		again := t.used != "" && cr.active() && cr.ID == t.used && cr.Key == key && now.Before(t.ExpiresAt)
		if err := t.open(now); err != nil && !again {
			return nil, err
		}
		id := t.used
		if !again {
			id = "cr-" + strconv.Itoa(len(s.join.credList)+1)
		}
		ca := j.issuer(s, now, func(string) bool { return true }) // it learns of it in the same answer
		chain, leaf, err := ca.Issue(credential.Identity{Role: credential.RoleGateway, Name: b.Gateway, ID: id}, csr.PublicKey, t.Hosts)
		if err != nil {
			return nil, err
		}
		grant = c.grant(j, ca, t.Control, b.Gateway, id, chain)
		if again {
			return nil, nil
		}
		var drafts []draft
		if cr.active() {
			drafts = append(drafts, draft{typeCredRevoked, credRevokedBody{ID: cr.ID, Gateway: b.Gateway, Reason: "replaced by " + id}})
		}
		return append(drafts, draft{typeCredIssued, issuedBody{ID: id, Gateway: b.Gateway, Token: t.ID, Key: key, ExpiresAt: leaf.NotAfter.UTC(), Authority: credential.Fingerprint(ca.Certificate())}}), nil
	})
	if err != nil {
		if p := asProblem(err); c.complaints.first(p.Detail) {
			c.log.Warn("a gateway was not let in", "gateway", b.Gateway, "from", cl.r.RemoteAddr, "code", p.Code, "error", p.Detail)
		}
		return err
	}
	if j.Disconnect != nil {
		j.Disconnect(b.Gateway) // whoever held the credential before
	}
	c.log.Info("a gateway has joined", "gateway", b.Gateway, "credential", grant.Credential, "from", cl.r.RemoteAddr)
	return cl.reply(http.StatusCreated, grant)
}

// grant is all that a gateway needs.
func (c *Control) grant(j *Joining, ca *credential.CA, control, gateway, id string, chain []byte) credential.Grant {
	g := credential.Grant{Gateway: gateway, Credential: id, Certificate: string(chain), CA: string(ca.PEM()), Authorities: string(j.CA.PEM()), Control: control,
		EmergencyTrust: j.EmergencyTrust, Lease: correction.Duration(c.cfg.Lease).String(), PseudonymKey: j.PseudonymKey}
	if j.Trust != nil {
		g.Trust = j.Trust()
	}
	if len(g.Trust) == 0 {
		g.Trust = []string{c.OrderKey().String()}
	}
	if host, port, err := net.SplitHostPort(j.Bus); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			if u, err := url.Parse(control); err == nil {
				host = u.Hostname()
			}
		}
		g.Bus = "tls://" + net.JoinHostPort(host, port)
	}
	return g
}
