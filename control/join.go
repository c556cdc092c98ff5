package control

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"andon/authority"
	"andon/bus"
	"andon/credential"
	"andon/ledger"
	"andon/order"
)

// This room holds how a gateway joins, and its credentials. An operator makes a
// token for one name; the gateway makes a key of its own and gets a certificate for
// it, once. From then on nobody else speaks in its name, and the shared token
// does not help. A credential that was revoked comes back by a new token alone.

const (
	typeJoinToken    = "join_token.created"
	typeJoinRevoked  = "join_token.revoked"
	typeCredIssued   = "credential.issued"
	typeCredRenewed  = "credential.renewed"
	typeCredRevoked  = "credential.revoked"
	maxJoinTokens    = 1000 // that are open at once
	maxJoinHosts     = 16
	defaultJoinToken = time.Hour
	minJoinToken     = time.Minute
	maxJoinToken     = 7 * 24 * time.Hour
)

// Joining is what a control plane needs to let gateways join, and what it gives
// them.
type Joining struct {
	CA  *credential.Authorities
	Pin func() string // fingerprint of what vouches for the API's certificate; "": it has none

	Control string // https://host:port that gateways reach; "": the one by which the operator came
	Bus     string // host:port of the bus; the host may be unspecified: then it is that of Control
	Refused string // why nobody can join; "": gateways can

	EmergencyTrust []string
	PseudonymKey   string                      // the secret that gateways share
	Disconnect     func(gateway string)        // breaks off who came in under the name
	Trust          func() []string             // public keys of orders; nil: the signer's
	Files          func() map[string]time.Time // listeners with certificates from files, and when those end; nil: there are none
}

type joinState struct {
	tokens      map[string]*joinToken  // by id
	hashes      map[string]*joinToken  // by hash
	tokenList   []*joinToken           // as they were made
	credentials map[string]*credRecord // by gateway: the latest
	credList    []*credRecord          // as they were issued
}

// joinBody is a token as it was made; its secret is nowhere.
type joinBody struct {
	ID        string    `json:"id"`
	Gateway   string    `json:"gateway"`
	Hash      string    `json:"sha256"` // hex, of the secret
	Control   string    `json:"control"`
	Hosts     []string  `json:"hosts,omitempty"` // that the gateway's certificate may name
	ExpiresAt time.Time `json:"expires_at"`
}

type joinToken struct {
	joinBody
	created time.Time
	by      string
	used    string // the credential
	revoked time.Time
}

// issuedBody is a credential, or a new certificate of one.
type issuedBody struct {
	ID        string    `json:"id"`
	Gateway   string    `json:"gateway"`
	Token     string    `json:"token,omitempty"` // id
	Key       string    `json:"key_sha256"`      // of its public key
	ExpiresAt time.Time `json:"expires_at"`
	Authority string    `json:"authority,omitempty"` // fingerprint of the one that issued the first certificate; missing: the one that counted
}

type credRecord struct {
	issuedBody
	hosts   []string
	control string
	issued  time.Time
	renewed time.Time
	revoked time.Time
	by      string
	reason  string
}

// credRevokedBody ends a credential.
type credRevokedBody struct {
	ID      string `json:"id"`
	Gateway string `json:"gateway"`
	Reason  string `json:"reason"`
}

var joinPermits = map[string]authority.Set{
	"join_token.read": readers, "join_token.revoke": actors, "credential.read": readers,
	"credential.revoke": actors, // it tightens: the gateway's models take their postures
	// join_token.create is the administrator's.
}

var joinCodes = map[string]code{
	"join_unavailable":   {409, "Gateways cannot join here"},
	"join_token_unknown": {403, "The join token is not known"},
	"join_token_used":    {403, "The join token was used"},
	"join_token_expired": {403, "The join token has expired"},
	"join_token_revoked": {403, "The join token was revoked"},
	"join_token_other":   {403, "The join token is for another gateway"},
	"credential_refused": {403, "The credential is refused"},
	"too_many_tokens":    {409, "Too many open join tokens"},
}

var joinFolds = map[string]foldFunc{
	typeJoinToken: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[joinBody](e.Body)
		if err != nil {
			return nil, err
		}
		if raw, err := hex.DecodeString(b.Hash); err != nil || len(raw) != 32 || !credential.NameValid(b.Gateway) || s.join.tokens[b.ID] != nil || s.join.hashes[b.Hash] != nil {
			return nil, fmt.Errorf("join token %q: %w", b.ID, errForm)
		}
		return func() {
			t := &joinToken{joinBody: b, created: e.At.UTC(), by: e.Actor}
			if s.join.tokens == nil {
				s.join.tokens, s.join.hashes = map[string]*joinToken{}, map[string]*joinToken{}
			}
			s.join.tokens[b.ID], s.join.hashes[b.Hash] = t, t
			s.join.tokenList = append(s.join.tokenList, t)
		}, nil
	},
	typeJoinRevoked: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[revokedBody](e.Body)
		t := s.join.tokens[b.ID]
		if err == nil && (t == nil || t.used != "" || !t.revoked.IsZero()) {
			err = fmt.Errorf("join token %q is not open: %w", b.ID, errForm)
		}
		return func() { t.revoked = e.At.UTC() }, err
	},
	typeCredIssued: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[issuedBody](e.Body)
		t := s.join.tokens[b.Token]
		if err == nil && (t == nil || t.used != "" || !t.revoked.IsZero() || t.Gateway != b.Gateway || b.ID != "cr-"+strconv.Itoa(len(s.join.credList)+1) || s.join.credentials[b.Gateway].active()) {
			err = fmt.Errorf("credential %q: %w", b.ID, errForm)
		}
		return func() {
			cr := &credRecord{issuedBody: b, hosts: t.Hosts, control: t.Control, issued: e.At.UTC(), renewed: e.At.UTC()}
			t.used = b.ID
			if s.join.credentials == nil {
				s.join.credentials = map[string]*credRecord{}
			}
			s.join.credentials[b.Gateway] = cr
			s.join.credList = append(s.join.credList, cr)
		}, err
	},
	typeCredRenewed: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[issuedBody](e.Body)
		cr := s.join.credentials[b.Gateway]
		if err == nil && (!cr.active() || cr.ID != b.ID || cr.Key != b.Key) {
			err = fmt.Errorf("credential %q is not in force: %w", b.ID, errForm)
		}
		return func() { cr.ExpiresAt, cr.renewed = b.ExpiresAt, e.At.UTC() }, err
	},
	typeCredRevoked: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[credRevokedBody](e.Body)
		cr := s.join.credentials[b.Gateway]
		if err == nil && (!cr.active() || cr.ID != b.ID) {
			err = fmt.Errorf("credential %q is not in force: %w", b.ID, errForm)
		}
		return func() { cr.revoked, cr.by, cr.reason = e.At.UTC(), e.Actor, b.Reason }, err
	},
}

func joinClock(c *Control, s *state, early time.Time) []draft { return nil }

// active says whether a credential was not revoked.
func (cr *credRecord) active() bool { return cr != nil && cr.revoked.IsZero() }

// open says why a token lets nobody in any more; nil: it does.
func (t *joinToken) open(now time.Time) error {
	switch {
	case !t.revoked.IsZero():
		return problem("join_token_revoked", t.ID+" was revoked; ask for another one: andon join-token add --gateway "+t.Gateway)
	case t.used != "":
		return problem("join_token_used", t.ID+" has let a gateway in already, and lets in one; ask for another one: andon join-token add --gateway "+t.Gateway)
	case !now.Before(t.ExpiresAt):
		return problem("join_token_expired", t.ID+" ended at "+t.ExpiresAt.Format(time.RFC3339)+"; ask for another one: andon join-token add --gateway "+t.Gateway)
	}
	return nil
}

// The ways in which a point comes in.
const (
	credentialOwn     = "own"
	credentialLocal   = "local"  // in this process
	credentialShared  = "shared" // by the token that all share
	credentialRevoked = "revoked"
)

// credentialOf says how a point comes in. The caller holds mu.
func (c *Control) credentialOf(gateway string) (string, time.Time) {
	cr := c.state.join.credentials[gateway]
	switch {
	case cr.active():
		return credentialOwn, cr.ExpiresAt
	case cr != nil:
		return credentialRevoked, time.Time{}
	case c.cfg.Local != "" && gateway == c.cfg.Local:
		return credentialLocal, time.Time{}
	}
	return credentialShared, time.Time{}
}

// speaks reports whether what came on a subject may speak in a gateway's name. on
// is the plain subject. What may not is dropped, with an alarm.
func (c *Control) speaks(m bus.Msg, on, gateway string) bool {
	return c.believes(order.Speaker(m.Subject, on), gateway)
}

// believes reports whether who spoke as from, "" being anybody with the shared
// token, may speak in a gateway's name. The bus lets nobody but its holder speak
// in a name.
func (c *Control) believes(from, gateway string) bool {
	c.mu.RLock()
	how, _ := c.credentialOf(gateway)
	c.mu.RUnlock()
	if from == gateway && (how == credentialOwn || how == credentialLocal) || from == "" && how == credentialShared {
		return true
	}
	who := "somebody with the shared token"
	if from != "" {
		who = "gateway " + strconv.Quote(short(from))
	}
	if text := who + " as " + short(gateway); c.complaints.first(text) {
		c.log.Error("ALARM: somebody speaks in another gateway's name, or under a revoked credential; it is not listened to", "who", who, "as", short(gateway), "credential", how)
	}
	c.metrics.alarms.Inc()
	return false
}

// certified reports whether who calls has presented a certificate, where operators
// have to. A gateway's own is none of theirs.
func (c *Control) certified(r *http.Request) error {
	if !c.cfg.ClientCerts {
		return nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if _, err := credential.Of(r.TLS.PeerCertificates[0]); err != nil {
			return nil
		}
	}
	return problem("unauthenticated", "operators come with a certificate of control.tls.client_ca, besides their token")
}

// Admits decides about who presents a certificate of the installation to the bus
// or the API: it returns the gateway whose credential it is, or why it is refused.
func (c *Control) Admits(cert *x509.Certificate) (gateway string, err error) {
	j := c.cfg.Joining
	if j == nil {
		return "", problem("join_unavailable", "this control plane has issued no credentials")
	}
	id, _, err := j.CA.Holder(cert)
	if err != nil {
		return "", problem("credential_refused", err.Error())
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	cr := c.state.join.credentials[id.Name]
	switch {
	case cr == nil || cr.ID != id.ID && cr.active():
		return "", problem("credential_refused", fmt.Sprintf("%s of %s is no credential that is in force here", short(id.ID), id.Name))
	case !cr.active():
		return "", problem("credential_refused", fmt.Sprintf("the credential of %s was revoked", id.Name))
	case cr.Key != credential.KeyPrint(cert.RawSubjectPublicKeyInfo):
		return "", problem("credential_refused", fmt.Sprintf("%s of %s is for another key", id.ID, id.Name))
	}
	return id.Name, nil
}
