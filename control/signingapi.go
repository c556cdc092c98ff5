package control

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/authority"
)

// The states of a signing key.
const (
	keyCurrent   = "current"   // signs orders
	keyChosen    = "chosen"    // comes next; the keys have not signed it yet
	keyWithdrawn = "withdrawn" // a gateway that knows its successor refuses it
	keyRevoked   = "revoked"   // in the wrong hands: nothing leads on from it
)

// signingKeyView is a key that signs orders, has signed them, or will.
type signingKeyView struct {
	ID        string    `json:"id"`
	Public    string    `json:"public"`
	State     string    `json:"state"`
	Source    string    `json:"source,omitempty"`
	Since     time.Time `json:"since,omitzero"` // it counts, or was chosen; missing: from the start
	Until     time.Time `json:"until,omitzero"` // it counted
	By        string    `json:"by,omitempty"`   // who put it in place
	Reason    string    `json:"reason,omitempty"`
	Successor string    `json:"successor,omitempty"` // id
	Revision  uint64    `json:"revision,omitempty"`  // the last that it signed
	Entry     uint64    `json:"entry,omitempty"`     // of the ledger that put it in place

	RevokedAt     time.Time `json:"revoked_at,omitzero"`
	RevokedBy     string    `json:"revoked_by,omitempty"`
	RevokedReason string    `json:"revoked_reason,omitempty"`

	SessionUntil time.Time `json:"session_until,omitzero"` // it is elsewhere, and what it has warranted signs until then
	Trouble      string    `json:"trouble,omitempty"`      // why it does not sign
}

type signingKeyList struct {
	Keys      []signingKeyView `json:"keys"`                // oldest first
	Following []string         `json:"following,omitempty"` // gateways that trust the current key
	Behind    []string         `json:"behind,omitempty"`    // gateways that were seen, and have not said so yet
	Note      string           `json:"note,omitempty"`
}

// rotation names the next signing key.
type rotation struct {
	To     string `json:"to"` // file:NAME, agent:SHA256:…, pkcs11:token=…;object=…
	Reason string `json:"reason"`
}

func (c *Control) getSigningKeys(cl *call) error {
	if err := cl.op.may("signing-key.read"); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, c.signingKeys())
}

func (c *Control) signingKeys() signingKeyList {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, s := c.signingKey(), &c.state.signing
	var out signingKeyList
	current := signingKeyView{ID: i.public.ID(), Public: i.public.String(), State: keyCurrent, Source: i.source, SessionUntil: i.until.UTC()}
	if i.until.IsZero() {
		current.SessionUntil = time.Time{}
	}
	for n, l := range s.links {
		v := signingKeyView{ID: l.From.ID(), Public: l.From.String(), State: keyWithdrawn, Until: l.At, Successor: l.To.ID(), Revision: l.Revision}
		if n > 0 {
			before := &s.links[n-1]
			v.Source, v.Since, v.By, v.Reason, v.Entry = before.source, before.At, before.by, before.reason, before.entry
		}
		if t, stolen := s.thefts[v.ID]; stolen {
			v.State, v.RevokedAt, v.RevokedBy, v.RevokedReason = keyRevoked, t.at, t.by, t.reason
		}
		out.Keys = append(out.Keys, v)
		current.Since, current.By, current.Reason, current.Entry = l.At, l.by, l.reason, l.entry
	}
	trouble := ""
	c.signers.mu.Lock()
	trouble = c.signers.trouble
	c.signers.mu.Unlock()
	out.Keys = append(out.Keys, current)
	last := &out.Keys[len(out.Keys)-1]
	if w := s.chosen; w != nil {
		out.Keys = append(out.Keys, signingKeyView{ID: w.Key.ID(), Public: w.Key.String(), State: keyChosen, Source: w.Source, Since: w.at, By: w.by, Reason: w.Reason})
		last = &out.Keys[len(out.Keys)-1]
	}
	last.Trouble = trouble
	for name, p := range c.points {
		switch {
		case slices.Contains(p.trusts, i.public.ID()):
			out.Following = append(out.Following, name)
		default:
			out.Behind = append(out.Behind, name)
		}
	}
	slices.Sort(out.Following)
	slices.Sort(out.Behind)
	if len(out.Behind) > 0 && len(s.links) > 0 {
		out.Note = "a gateway that is behind is led on once it hears of this control plane, unless all it trusts is revoked: then gateway.trust there has to say " + strconv.Quote(i.public.String())
	}
	return out
}

// postRotate has another key sign orders. The next key is opened, and has signed
// something, before anybody is asked to agree.
func (c *Control) postRotate(cl *call) error {
	if err := cl.op.may("signing-key.rotate"); err != nil {
		return err
	}
	b, err := decode[rotation](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := checkLine("to", b.To, maxSource); err != nil {
		return err
	}
	if b.To == "" {
		return badField("to", "missing: where the new key is", "file:NAME", "agent:SHA256:…", "pkcs11:token=…;object=…")
	}
	if err := cl.stepUp("rotate a signing key"); err != nil {
		return err
	}
	if c.cfg.OpenSigner == nil {
		return problem("signer_unavailable", "this control plane opens no keys")
	}
	if _, err := c.rootSigner(); err != nil {
		return err
	}
	root, err := c.cfg.OpenSigner(b.To, true)
	if err != nil {
		p := problem("signer_refused", err.Error())
		p.Field = "to"
		return p
	}
	next, err := c.activate(root, b.To)
	if err != nil {
		return signerProblem("the new key", err)
	}
	c.mu.Lock()
	c.signers.next = next
	c.mu.Unlock()
	what := chosenBody{Key: next.public, Source: b.To, Reason: b.Reason}
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		return wanted{question: authority.Question{Act: authority.Rekey}, do: "rekey", subject: "signing-key",
			says: "have key " + next.public.ID() + " (" + b.To + ") sign orders", what: what, reason: b.Reason}, nil
	})
	if err != nil {
		return err
	}
	if err := c.carryRotation(cl.r.Context()); err != nil {
		c.wakeSigner()
		return signerProblem("the key was chosen and is not in place yet; it is tried again until it is, and the one before signs meanwhile", err)
	}
	return cl.reply(http.StatusOK, c.signingKeys())
}

// postRevokeSigner says that a withdrawn key is in the wrong hands.
func (c *Control) postRevokeSigner(cl *call) error {
	if err := cl.op.may("signing-key.revoke"); err != nil {
		return err
	}
	b, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := cl.stepUp("revoke a signing key"); err != nil {
		return err
	}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		if id == c.signingKey().public.ID() {
			p := problem("key_in_use", "key "+id+" signs orders now; have another take its place first, which reaches every gateway that listens at once. "+
				"Then revoke it: gateways that trust nothing but it then need the new key in gateway.trust, by hand")
			p.Hint = "andon signing-keys rotate --to file:NAME --reason TEXT"
			return nil, p
		}
		if !slices.ContainsFunc(s.signing.links, func(l keyLink) bool { return l.From.ID() == id }) {
			return nil, problem("not_found", "there is no signing key "+strconv.Quote(short(id)))
		}
		if _, already := s.signing.thefts[id]; already {
			return nil, nil
		}
		return []draft{{kind: typeKeyRevoked, body: distrustedBody{Key: id, Reason: b.Reason}}}, nil
	})
	if err != nil {
		return err
	}
	list := c.signingKeys()
	list.Note = "gateways that trust nothing but key " + id + ", or what came before it, are not led on any more: gateway.trust there has to say " + strconv.Quote(c.OrderKey().String())
	return cl.reply(http.StatusOK, list)
}
