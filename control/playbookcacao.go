package control

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/order"
	"andon/playbook"
	"andon/playbook/cacao"
)

// getCACAO exports a playbook of the plan in force, signed with the key that
// signs orders.
func (c *Control) getCACAO(cl *call) error {
	if err := cl.op.may("playbook.export"); err != nil {
		return err
	}
	c.mu.RLock()
	p, err := c.state.playbookNamed(cl.r.PathValue("name"))
	org, since := "", time.Time{}
	if err == nil {
		org, since = c.state.planned().Org, c.state.plannedAt()
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	doc, err := cacao.Export(p, cacao.Meta{Org: org, Created: since, Modified: since, Signed: true})
	if err != nil {
		return problem("invalid_playbook", err.Error())
	}
	root, err := c.rootSigner()
	if err != nil {
		return err
	}
	doc, err = cacao.Sign(doc, root.Public().Bytes(), org, c.cfg.Now(), root.SignDigest)
	if err != nil {
		return err
	}
	cl.w.Header().Set("Content-Type", "application/json")
	cl.w.WriteHeader(http.StatusOK)
	cl.w.Write(append(doc, '\n'))
	return nil
}

// newImport is a document that is to be read, and whose signatures count beside
// those of this control plane.
type newImport struct {
	Document jsontext.Value `json:"document"`
	Trust    []string       `json:"trust,omitempty"` // public keys, andon-ed25519:…
}

// importView is a document in our words. Nothing is changed by reading it: it
// becomes a playbook by standing in a plan that is applied.
type importView struct {
	Playbook   *playbook.Playbook `json:"playbook"`
	ID         string             `json:"id"`       // of the document
	Modified   string             `json:"modified"` // its version
	Own        bool               `json:"own"`      // it was exported by Andon, and nothing was lost
	Notes      []string           `json:"notes"`    // what was left out, or has another form now
	Signatures []signatureView    `json:"signatures"`
	Faults     []playbook.Fault   `json:"faults"` // what the enforcement points here lack, and other warnings
}

// signatureView is a signature that holds.
type signatureView struct {
	By      string `json:"by"`  // as it says, which proves nothing
	Key     string `json:"key"` // what proves it
	Trusted bool   `json:"trusted"`
	At      string `json:"at,omitempty"`
}

const maxTrust = 32

func (c *Control) postCACAO(cl *call) error {
	if err := cl.op.may("playbook.import"); err != nil {
		return err
	}
	b, err := decode[newImport](cl)
	if err != nil {
		return err
	}
	if len(b.Document) == 0 {
		return badField("document", "missing: the CACAO playbook, as JSON")
	}
	if len(b.Trust) > maxTrust {
		return badField("trust", fmt.Sprintf("has %d keys; at most %d", len(b.Trust), maxTrust))
	}
	trusted := []ed25519.PublicKey{c.OrderKey().Bytes()}
	for i, text := range b.Trust {
		k, err := order.ParsePublicKey(text)
		if err != nil {
			return badField(fmt.Sprintf("trust[%d]", i), err.Error())
		}
		trusted = append(trusted, k.Bytes())
	}
	now := c.cfg.Now()
	signatures, err := cacao.Verify(b.Document, now, trusted)
	if err == nil {
		var imp *cacao.Import
		if imp, err = cacao.Read(b.Document, now); err == nil {
			return cl.reply(http.StatusOK, c.viewImport(imp, signatures))
		}
	}
	code := "invalid_playbook"
	if errors.Is(err, cacao.ErrSignature) {
		code = "bad_signature"
	}
	p := problem(code, err.Error())
	p.Field = "document"
	return p
}

func (c *Control) viewImport(imp *cacao.Import, signatures []cacao.Signed) importView {
	v := importView{Playbook: imp.Playbook, ID: imp.ID, Modified: imp.Modified, Own: imp.Own, Notes: append([]string{}, imp.Notes...), Signatures: []signatureView{}}
	for _, s := range signatures {
		k, err := order.NewPublicKey(s.Key)
		if err != nil {
			continue // Verify has looked at it
		}
		v.Signatures = append(v.Signatures, signatureView{s.By, k.String(), s.Trusted, s.At})
	}
	v.Faults = append([]playbook.Fault{}, imp.Playbook.Validate(playbook.Known{Now: c.cfg.Now(), Points: c.enforcers()})...)
	return v
}

// plannedAt is when the plan in force was put in force; zero if there is none.
func (s *state) plannedAt() time.Time {
	if n := len(s.plan.versions); n > 0 {
		return s.plan.versions[n-1].AppliedAt
	}
	return time.Time{}
}
