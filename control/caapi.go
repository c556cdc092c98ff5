package control

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/credential"
)

var caTable = []route{
	{"GET", "/api/v1/ca", "", false, (*Control).getCA},
	{"POST", "/api/v1/ca/rotate", "ca.rotate", false, (*Control).postRotateCA},
	{"POST", "/api/v1/ca/{fingerprint}/withdraw", "ca.withdraw", false, (*Control).postWithdrawCA},
	{"POST", "/api/v1/join/authorities", "", true, (*Control).postAuthorities},
}

// The states of a certificate authority.
const (
	caCurrent    = "current"   // listeners of the control plane show its certificates
	caAnnouncing = "announced" // it is believed, and issues nothing yet
	caIssuing    = "issuing"   // certificates of gateways come from it
	caGone       = "withdrawn"
)

// caView is an authority as the API shows it.
type caView struct {
	Fingerprint   string    `json:"fingerprint"`
	State         string    `json:"state"`
	EndsAt        time.Time `json:"ends_at,omitzero"` // of one that is believed
	AnnouncedAt   time.Time `json:"announced_at,omitzero"`
	IssuesFrom    time.Time `json:"issues_from,omitzero"`
	WithdrawAfter time.Time `json:"withdraw_after,omitzero"` // when it is withdrawn once nobody depends on it
	WithdrawnAt   time.Time `json:"withdrawn_at,omitzero"`
	By            string    `json:"by,omitempty"` // who announced or withdrew it
	Reason        string    `json:"reason,omitempty"`
	Gateways      []string  `json:"gateways,omitempty"` // that depend on it: withdrawn, they have to join anew
	Tokens        []string  `json:"tokens,omitempty"`   // open join tokens, likewise
}

// listenerView is a listener of the control plane with a certificate from files.
type listenerView struct {
	Listener string    `json:"listener"` // as the configuration calls it
	EndsAt   time.Time `json:"ends_at"`
}

type caList struct {
	Authorities []caView       `json:"authorities"` // withdrawn ones first, then those that are believed
	Believed    string         `json:"believed"`    // PEM: what clients keep as their file of authorities
	Listeners   []listenerView `json:"listeners,omitempty"`
}

// newCA asks for another authority.
type newCA struct {
	IssuesIn   *correction.Duration `json:"issues_in,omitempty"`   // until certificates come from it: 0s to 30d, default 1d
	WithdrawIn *correction.Duration `json:"withdraw_in,omitempty"` // until the one before is withdrawn, once nobody depends on it: up to 365d, default 30d; 0s: by command alone
	Reason     string               `json:"reason"`
}

// withdrawal has an authority be believed no more.
type withdrawal struct {
	CutOff bool   `json:"cut_off,omitempty"` // whoever still depends on it
	Reason string `json:"reason"`
}

// authoritiesView is what a gateway is told.
type authoritiesView struct {
	Authorities string `json:"authorities"` // PEM: those by which the control plane may be known
	Issuer      string `json:"issuer"`      // fingerprint of the one that its next certificate comes from
}

// ownCA is what this room works with.
func (c *Control) ownCA() (*Joining, error) {
	if c.cfg.Joining == nil {
		return nil, problem("join_unavailable", "this control plane has no certificate authority")
	}
	return c.cfg.Joining, nil
}

func (c *Control) getCA(cl *call) error {
	if err := cl.op.may("ca.read"); err != nil {
		return err
	}
	j, err := c.ownCA()
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, c.viewCA(j))
}

func (c *Control) viewCA(j *Joining) caList {
	now := c.cfg.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := caList{Believed: string(j.CA.PEM())}
	for _, p := range c.state.ca.past {
		list.Authorities = append(list.Authorities, caView{Fingerprint: p.Authority, State: caGone, WithdrawnAt: p.at, By: p.by, Reason: p.Reason})
	}
	own := j.CA.Certificate()
	current := caView{Fingerprint: credential.Fingerprint(own), State: caCurrent, EndsAt: own.NotAfter.UTC()}
	n := c.state.ca.next
	if n == nil {
		list.Authorities = append(list.Authorities, current)
	} else {
		next := caView{Fingerprint: n.Authority, State: caAnnouncing, AnnouncedAt: n.at, IssuesFrom: n.IssuesFrom, By: n.by, Reason: n.Reason}
		if ca := j.CA.Next(); ca != nil {
			next.EndsAt = ca.Certificate().NotAfter.UTC()
		}
		if !now.Before(n.IssuesFrom) {
			next.State = caIssuing
		}
		current.WithdrawAfter = n.WithdrawAfter
		current.Gateways, current.Tokens = c.state.depending(n.Former, now)
		next.Gateways, _ = c.state.depending(n.Authority, now)
		list.Authorities = append(list.Authorities, current, next)
	}
	if j.Files != nil {
		files := j.Files()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			list.Listeners = append(list.Listeners, listenerView{name, files[name].UTC()})
		}
	}
	return list
}

// postRotateCA announces another authority. Its key is made, and lies on the disk,
// before anybody is asked to agree.
func (c *Control) postRotateCA(cl *call) error {
	if err := cl.op.may("ca.rotate"); err != nil {
		return err
	}
	if err := cl.notByToken("replace the certificate authority"); err != nil {
		return err
	}
	b, err := decode[newCA](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	what := announceWhat{Issues: defaultIssues, Withdraw: defaultWithdraw, Reason: b.Reason}
	if b.IssuesIn != nil {
		what.Issues = *b.IssuesIn
	}
	if b.WithdrawIn != nil {
		what.Withdraw = *b.WithdrawIn
	}
	if what.Issues < 0 || what.Issues > defaultWithdraw {
		return badField("issues_in", "is "+what.Issues.String(), "0s to 30d")
	}
	if what.Withdraw != 0 && what.Withdraw < what.Issues || what.Withdraw > maxCATime {
		return badField("withdraw_in", "is "+what.Withdraw.String(), "0s: by command alone", "not before issues_in, up to 365d")
	}
	j, err := c.ownCA()
	if err != nil {
		return err
	}
	if err := cl.stepUp("replace the certificate authority"); err != nil {
		return err
	}
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		if s.ca.next == nil { // else the doer says what is wrong
			next, err := j.CA.Prepare()
			if err != nil {
				c.log.Error("the next certificate authority cannot be made", "error", err)
				return wanted{}, problem("unavailable", "the next certificate authority cannot be made, because the data folder cannot be written; nothing was changed")
			}
			what.Authority = credential.Fingerprint(next.Certificate())
		}
		return wanted{question: authority.Question{Act: authority.Rekey}, do: doesAnnounceCA, subject: "ca",
			says: "have certificate authority " + shortPrint(what.Authority) + " take the place of " + shortPrint(credential.Fingerprint(j.CA.Certificate())), what: what, reason: b.Reason}, nil
	})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, c.viewCA(j))
}

// postWithdrawCA has one of two authorities be believed no more.
func (c *Control) postWithdrawCA(cl *call) error {
	if err := cl.op.may("ca.withdraw"); err != nil {
		return err
	}
	if err := cl.notByToken("withdraw a certificate authority"); err != nil {
		return err
	}
	b, err := decode[withdrawal](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	j, err := c.ownCA()
	if err != nil {
		return err
	}
	if err := cl.stepUp(actWithdrawCA); err != nil {
		return err
	}
	what := withdrawCAWhat{Authority: cl.r.PathValue("fingerprint"), CutOff: b.CutOff, Reason: b.Reason}
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		if n := s.ca.next; n != nil && len(what.Authority) >= 8 { // as it is shown: enough of it to tell it from the other
			for _, full := range []string{n.Former, n.Authority} {
				if full[:min(len(full), len(what.Authority))] == what.Authority {
					what.Authority = full
				}
			}
		}
		return wanted{question: authority.Question{Act: authority.Rekey}, do: doesWithdrawCA, subject: "ca",
			says: "withdraw certificate authority " + shortPrint(what.Authority), what: what, reason: b.Reason}, nil
	})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, c.viewCA(j))
}

// postAuthorities tells a gateway by which authorities the control plane may be
// known. Its certificate is its authority, and says how far it has come.
func (c *Control) postAuthorities(cl *call) error {
	j, err := c.joining()
	if err != nil {
		return err
	}
	name, cert, err := c.gatewayCalls(cl)
	if err != nil {
		return err
	}
	_, by, err := j.CA.Holder(cert)
	if err != nil {
		return problem("credential_refused", err.Error())
	}
	moved := func(s *state) *credRecord {
		n, cr := s.ca.next, s.join.credentials[name]
		if n == nil || !cr.active() || (cr.Authority == n.Authority) == (by == n.Authority) {
			return nil
		}
		return cr
	}
	c.mu.RLock()
	news := moved(c.state) != nil
	v := authoritiesView{string(j.CA.PEM()), credential.Fingerprint(j.issuer(c.state, c.cfg.Now(), func(string) bool { return true }).Certificate())}
	c.mu.RUnlock()
	if news {
		_, err := c.execute(cl.r.Context(), system, func(s *state, _ time.Time) ([]draft, error) {
			cr := moved(s)
			if cr == nil {
				return nil, nil
			}
			return []draft{{typeCAMoved, caMoved{ID: cr.ID, Gateway: name, Authority: by}}}, nil
		})
		if err != nil {
			return err
		}
	}
	return cl.reply(http.StatusOK, v)
}
