package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/correction"
	"andon/credential"
	"andon/ledger"
	"andon/order"
)

// This room holds how another certificate authority takes the place of the
// installation's own. It is two entries. The first announces the next one: from
// then on both are believed, by this control plane, by every gateway that joined,
// and by whoever reads ca.crt. Some time later certificates of gateways come from
// the next one; listeners here show those of the first until the second entry
// withdraws it. So whoever believes one of the two gets in, and only who heard
// nothing all that time has to join anew. The record says which count; the data
// folder follows it (credential.Authorities), after a crash as well.

const (
	typeCAAnnounced = "ca.announced"
	typeCAWithdrawn = "ca.withdrawn"
	typeCAMoved     = "ca.gateway_moved"                        // a gateway came in with a certificate of the other authority
	typeCAOverdue   = "ca.withdrawal_overdue"                   // somebody still depends on the one to be withdrawn
	typeCAEnding    = "ca.certificate_ending"                   // an authority or a certificate ends soon
	doesAnnounceCA  = "ca-announce"                             // see doers
	doesWithdrawCA  = "ca-withdraw"                             // likewise
	actWithdrawCA   = "withdraw an authority"                   // takes a proof of everybody, see irreversible
	maxCATime       = correction.Duration(365 * 24 * time.Hour) // between announcing and withdrawing
	defaultIssues   = correction.Duration(24 * time.Hour)       // after it was announced
	defaultWithdraw = correction.Duration(30 * 24 * time.Hour)  // likewise
	credentialEnds  = 14 * 24 * time.Hour                       // before its end it is told; a gateway renews it a month earlier
	maxCANames      = 20                                        // in an error or an alarm
)

// authorityEnds are the times before an authority's end at which it is told.
var authorityEnds = []time.Duration{180 * 24 * time.Hour, 30 * 24 * time.Hour, 7 * 24 * time.Hour}

// caAnnounced is the authority that comes next.
type caAnnounced struct {
	Authority     string    `json:"authority"`               // fingerprint
	Former        string    `json:"former"`                  // of the one that counts until it is withdrawn
	Certificate   string    `json:"certificate"`             // PEM
	IssuesFrom    time.Time `json:"issues_from"`             // certificates of gateways come from it
	WithdrawAfter time.Time `json:"withdraw_after,omitzero"` // from when on the former is withdrawn once nobody depends on it; missing: by command alone
	Reason        string    `json:"reason"`
}

// caWithdrawn says that an authority is believed no more.
type caWithdrawn struct {
	Authority string   `json:"authority"`
	Remains   string   `json:"remains"`           // the one that counts
	CutOff    []string `json:"cut_off,omitempty"` // gateways that depended on it, and have to join anew
	Reason    string   `json:"reason"`
}

// caMoved says by which authority a gateway was seen to come in.
type caMoved struct {
	ID        string `json:"id"` // of the credential
	Gateway   string `json:"gateway"`
	Authority string `json:"authority"`
}

type caOverdue struct {
	Authority string   `json:"authority"`
	Gateways  []string `json:"gateways,omitempty"` // the first of those that depend on it
	Tokens    []string `json:"tokens,omitempty"`   // likewise, open join tokens
}

// caEnding is told once for each time ahead.
type caEnding struct {
	About string    `json:"about"` // authority, credential, certificate
	Name  string    `json:"name"`  // fingerprint; the gateway; the listener, as the configuration calls it
	Ends  time.Time `json:"ends"`
	Ahead string    `json:"ahead"` // the time ahead: 720h0m0s
}

func (b *caEnding) key() string {
	return b.About + " " + b.Name + " " + b.Ends.UTC().Format(time.RFC3339) + " " + b.Ahead
}

type caState struct {
	current string // fingerprint; "": the one that is there
	next    *caNext
	past    []caPast // withdrawn, oldest first
	told    map[string]bool
}

// caNext is an authority that was announced.
type caNext struct {
	caAnnounced
	by      string
	at      time.Time
	overdue bool
}

// caPast is one that was withdrawn.
type caPast struct {
	caWithdrawn
	by string
	at time.Time
}

var caFolds = map[string]foldFunc{
	typeCAAnnounced: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[caAnnounced](e.Body)
		if err == nil && (s.ca.next != nil || len(b.Authority) != 64 || len(b.Former) != 64 || b.Authority == b.Former || b.IssuesFrom.IsZero()) {
			err = fmt.Errorf("certificate authority %q after %q: %w", b.Authority, b.Former, errForm)
		}
		return func() { s.ca.next = &caNext{caAnnounced: b, by: e.Actor, at: e.At.UTC()} }, err
	},
	typeCAWithdrawn: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[caWithdrawn](e.Body)
		n := s.ca.next
		if err == nil && (n == nil || b.Remains == "" || n.remains(b.Authority) != b.Remains) {
			err = fmt.Errorf("certificate authority %q is not one of two: %w", b.Authority, errForm)
		}
		return func() {
			s.ca.current, s.ca.next = b.Remains, nil
			s.ca.past = append(s.ca.past, caPast{b, e.Actor, e.At.UTC()})
		}, err
	},
	typeCAMoved: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[caMoved](e.Body)
		cr := s.join.credentials[b.Gateway]
		if err == nil && (!cr.active() || cr.ID != b.ID || b.Authority == "") {
			err = fmt.Errorf("credential %q is not in force: %w", b.ID, errForm)
		}
		return func() { cr.Authority = b.Authority }, err
	},
	typeCAOverdue: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[caOverdue](e.Body)
		if err == nil && (s.ca.next == nil || s.ca.next.Former != b.Authority) {
			err = fmt.Errorf("certificate authority %q is not to be withdrawn: %w", b.Authority, errForm)
		}
		return func() { s.ca.next.overdue = true }, err
	},
	typeCAEnding: func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[caEnding](e.Body)
		return func() {
			if s.ca.told == nil {
				s.ca.told = map[string]bool{}
			}
			s.ca.told[b.key()] = true
		}, err
	},
}

// remains is the authority that is left when the other of the two is withdrawn; ""
// if it is none of them.
func (n *caNext) remains(withdrawn string) string {
	switch withdrawn {
	case n.Former:
		return n.Authority
	case n.Authority:
		return n.Former
	}
	return ""
}

// depending are the gateways whose certificate is of an authority, and the open
// join tokens that only it vouches for.
func (s *state) depending(on string, now time.Time) (gateways, tokens []string) {
	n := s.ca.next
	if n == nil {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.join.credentials)) {
		cr := s.join.credentials[name]
		if cr.active() && now.Before(cr.ExpiresAt) && (cr.Authority == n.Authority) == (on == n.Authority) {
			gateways = append(gateways, name)
		}
	}
	for _, t := range s.join.tokenList {
		if on == n.Former && t.open(now) == nil {
			tokens = append(tokens, t.ID)
		}
	}
	return gateways, tokens
}

// caClock withdraws an authority in whose place another is, once its time has come
// and nobody depends on it, and tells of what ends.
func caClock(c *Control, s *state, early time.Time) []draft {
	j := c.cfg.Joining
	if j == nil {
		return nil
	}
	var out []draft
	if n := s.ca.next; n != nil && j.CA.Next() != nil {
		// A clock that leapt has certificates end that have not: only who moved on, or
		// was revoked, does not depend on it.
		gateways, _ := s.depending(n.Former, time.Time{})
		_, tokens := s.depending(n.Former, early)
		b := caWithdrawn{Authority: n.Former, Remains: n.Authority}
		switch over := early.After(j.CA.Certificate().NotAfter); {
		case over:
			b.Reason, b.CutOff = "it has ended", gateways
			out = append(out, draft{typeCAWithdrawn, b})
		case n.WithdrawAfter.IsZero() || early.Before(n.WithdrawAfter):
		case len(gateways)+len(tokens) == 0:
			b.Reason = "nobody depends on it any more"
			out = append(out, draft{typeCAWithdrawn, b})
		case !n.overdue:
			out = append(out, draft{typeCAOverdue, caOverdue{n.Former, gateways[:min(len(gateways), maxCANames)], tokens[:min(len(tokens), maxCANames)]}})
		}
	}
	tell := func(about, name string, ends time.Time, ahead ...time.Duration) {
		for i := len(ahead) - 1; i >= 0; i-- { // the nearest alone
			b := caEnding{about, name, ends.UTC(), ahead[i].String()}
			if early.Before(ends.Add(-ahead[i])) {
				continue
			}
			if !s.ca.told[b.key()] {
				out = append(out, draft{typeCAEnding, b})
			}
			return
		}
	}
	if s.ca.next == nil {
		tell("authority", credential.Fingerprint(j.CA.Certificate()), j.CA.Certificate().NotAfter, authorityEnds...)
	}
	for name, cr := range s.join.credentials {
		if cr.active() && early.Before(cr.ExpiresAt) {
			tell("credential", name, cr.ExpiresAt, credentialEnds)
		}
	}
	if j.Files != nil {
		for listener, ends := range j.Files() {
			tell("certificate", listener, ends, authorityEnds[1:]...)
		}
	}
	slices.SortStableFunc(out, func(a, b draft) int {
		x, _ := a.body.(caEnding)
		y, _ := b.body.(caEnding)
		return strings.Compare(x.key(), y.key())
	})
	return out[:min(len(out), 100)]
}

// caAlarm says what an entry of this room is an alarm about, "" if it is none.
func caAlarm(e ledger.Entry) string {
	switch e.Type {
	case typeCAOverdue:
		if b, err := read[caOverdue](e.Body); err == nil {
			return "the certificate authority " + shortPrint(b.Authority) + " was to be withdrawn, and " + fewNames(append(b.Gateways, b.Tokens...)) + " still depend on it (andon ca show)"
		}
	case typeCAEnding:
		if b, err := read[caEnding](e.Body); err == nil {
			return b.words()
		}
	}
	return ""
}

func (b *caEnding) words() string {
	on := b.Ends.Format(time.DateOnly)
	switch b.About {
	case "authority":
		return "the installation's certificate authority ends on " + on + ": andon ca rotate --reason TEXT"
	case "credential":
		return "the certificate of gateway " + b.Name + " ends on " + on + ", and it does not renew it; without it, it gets no orders and no lease"
	}
	return "the certificate of " + b.Name + " ends on " + on + ": put another one in its files"
}

// shortPrint is enough of a fingerprint to tell it from others.
func shortPrint(p string) string { return p[:min(len(p), 16)] }

func fewNames(names []string) string {
	if n := len(names); n > maxCANames {
		return strings.Join(names[:maxCANames], ", ") + fmt.Sprintf(" and %d more", n-maxCANames)
	}
	return strings.Join(names, ", ")
}

// believeCA has those authorities count that the record names. The caller holds mu,
// or nobody else is there yet.
func (c *Control) believeCA() {
	j := c.cfg.Joining
	if j == nil {
		return
	}
	next := ""
	if c.state.ca.next != nil {
		next = c.state.ca.next.Authority
	}
	if err := j.CA.Believe(c.state.ca.current, next); err != nil {
		c.log.Error("ALARM: the certificate authorities of the data folder are not those of the record; those that are there count", "error", err)
	}
}

// heedCA follows an entry that changes which authorities count, in the same breath.
// The caller holds mu.
func (c *Control) heedCA(e ledger.Entry) {
	if e.Type != typeCAAnnounced && e.Type != typeCAWithdrawn {
		return
	}
	c.believeCA()
	c.log.Warn("the certificate authorities that are believed have changed", "entry", e.Type, "by", e.Actor)
	b, err := read[caWithdrawn](e.Body)
	if j := c.cfg.Joining; err == nil && e.Type == typeCAWithdrawn && j != nil && j.Disconnect != nil {
		c.running.Go(func() { // the bus asks this control plane who may stay, which waits for mu
			for _, g := range b.CutOff {
				j.Disconnect(g)
			}
		})
	}
}

// issuer is the authority that a gateway's certificate comes from. knows are the
// fingerprints of those that the gateway believes: it gets none of another.
func (j *Joining) issuer(s *state, now time.Time, knows func(string) bool) *credential.CA {
	n, next := s.ca.next, j.CA.Next()
	if n == nil || next == nil || now.Before(n.IssuesFrom) || !knows(n.Authority) {
		return j.CA.Current()
	}
	return next
}

// announceWhat is a rotation that was agreed to.
type announceWhat struct {
	Authority string              `json:"authority"` // fingerprint
	Issues    correction.Duration `json:"issues_in,omitzero"`
	Withdraw  correction.Duration `json:"withdraw_in,omitzero"` // 0: by command alone
	Reason    string              `json:"reason"`
}

func doAnnounceCA(c *Control, s *state, _ *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	b, err := read[announceWhat](what)
	if err != nil {
		return nil, err
	}
	j := c.cfg.Joining
	if s.ca.next != nil {
		p := problem("ca_rotating", "another authority was announced on "+s.ca.next.at.Format(time.DateOnly)+" and has not taken the first one's place yet")
		p.Hint = "andon ca show; andon ca withdraw ends it, one way or the other"
		return nil, p
	}
	next := j.CA.Prepared()
	if next == nil || credential.Fingerprint(next.Certificate()) != b.Authority {
		return nil, problem("ca_rotating", "the authority that was to be announced is not in the data folder any more; ask anew")
	}
	a := caAnnounced{Authority: b.Authority, Former: credential.Fingerprint(j.CA.Certificate()), Certificate: string(next.PEM()), IssuesFrom: now.Add(time.Duration(b.Issues)), Reason: b.Reason}
	if b.Withdraw > 0 {
		a.WithdrawAfter = now.Add(time.Duration(b.Withdraw))
	}
	return []draft{{typeCAAnnounced, a}}, nil
}

// withdrawCAWhat is a withdrawal that was agreed to.
type withdrawCAWhat struct {
	Authority string `json:"authority"`
	CutOff    bool   `json:"cut_off,omitempty"` // whoever depends on it
	Reason    string `json:"reason"`
}

func doWithdrawCA(_ *Control, s *state, _ *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	b, err := read[withdrawCAWhat](what)
	if err != nil {
		return nil, err
	}
	n := s.ca.next
	if n == nil {
		p := problem("ca_last", "there is one certificate authority, and without it nobody gets in")
		p.Hint = "andon ca rotate --reason TEXT first"
		return nil, p
	}
	w := caWithdrawn{Authority: b.Authority, Remains: n.remains(b.Authority), Reason: b.Reason}
	if w.Remains == "" {
		return nil, problem("not_found", "there is no certificate authority "+short(b.Authority)+" that is believed; there are "+n.Former+" and "+n.Authority)
	}
	gateways, tokens := s.depending(b.Authority, now)
	if len(gateways)+len(tokens) > 0 && !b.CutOff {
		p := problem("ca_in_use", fmt.Sprintf("%d still depend on %s and would have to join anew: %s", len(gateways)+len(tokens), shortPrint(b.Authority), fewNames(append(gateways, tokens...))))
		p.Hint = "wait until they have renewed (andon ca show), revoke those that are gone (andon points revoke), or cut them off: --cut-off"
		return nil, p
	}
	w.CutOff = gateways
	drafts := []draft{{typeCAWithdrawn, w}}
	for _, id := range tokens { // nobody could join by them any more
		drafts = append(drafts, draft{typeJoinRevoked, revokedBody{ID: id, Reason: "the authority that vouches for it was withdrawn"}})
	}
	return drafts, nil
}

var caPermits = map[string]authority.Set{"ca.read": readers}

var caCodes = map[string]code{
	"ca_rotating": {409, "Another authority is taking its place"},
	"ca_in_use":   {409, "Somebody depends on it"},
	"ca_last":     {409, "It is the only one"},
}
