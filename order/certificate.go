package order

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
)

// TypeCertificate is the payload type of a Certificate.
const TypeCertificate = "application/vnd.andon.certificate+json"

// Certificate says what became of a model that was taken away for good: who
// decided it, where each copy of it is or how it ended, and which entries of the
// ledger prove that. It is written for whoever has neither the ledger nor the
// control plane.
type Certificate struct {
	Case        string                `json:"case"`
	State       string                `json:"state"` // sealed | destroyed
	Level       string                `json:"level"` // L5 | L6
	Models      []string              `json:"models"`
	Exercise    bool                  `json:"exercise,omitzero"` // nothing was taken from anybody
	Correction  string                `json:"correction"`
	Reason      string                `json:"reason"`
	LegalBasis  string                `json:"legal_basis"`
	OpenedAt    time.Time             `json:"opened_at"`
	OpenedBy    Person                `json:"opened_by"`
	ClosedAt    time.Time             `json:"closed_at"`
	Quorum      int                   `json:"quorum"`
	CoolingOff  correction.Duration   `json:"cooling_off"`
	Resolutions []Resolution          `json:"resolutions"`
	LegalHolds  []LegalHold           `json:"legal_holds"` // checks; for a destruction the last one before it counts
	Inventory   Statement             `json:"inventory"`
	None        []string              `json:"none"` // kinds of copies that there were none of
	Copies      []CustodyCopy         `json:"copies"`
	Transfers   []Transfer            `json:"transfers"`
	Credentials []WithdrawnCredential `json:"credentials"`
	Entries     []LedgerRef           `json:"entries"`
	Ledger      string                `json:"ledger,omitempty"` // its public key, as C2SP signed-note writes it
}

// Person is an operator, and who made it one.
type Person struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	MadeBy string `json:"made_by,omitempty"`
}

// Statement is what a person answers for.
type Statement struct {
	By        Person    `json:"by"`
	At        time.Time `json:"at"`
	Statement string    `json:"statement"`
}

// Resolution is what a quorum approved and was done.
type Resolution struct {
	Action    string      `json:"action"` // seal | destroy
	By        Person      `json:"by"`
	At        time.Time   `json:"at"`
	Reason    string      `json:"reason"`
	Approvals []Statement `json:"approvals"`
}

// CustodyCopy is one copy, as its digest names it.
type CustodyCopy struct {
	ID        string       `json:"id"`
	Kind      string       `json:"kind"`
	Location  string       `json:"location"`
	Holder    string       `json:"holder"`
	Digest    string       `json:"digest"`
	Seal      string       `json:"seal"`
	Custodian Person       `json:"custodian"`
	Destroyed *Destruction `json:"destroyed,omitempty"`
}

// Destruction is how a copy ended, before a witness.
type Destruction struct {
	By          Person    `json:"by"`
	At          time.Time `json:"at"`
	Method      string    `json:"method"`
	Evidence    string    `json:"evidence,omitempty"`
	Witness     Person    `json:"witness"`
	WitnessedAt time.Time `json:"witnessed_at"`
	Statement   string    `json:"statement"`
}

// Transfer is custody of a copy going from one person to another.
type Transfer struct {
	Copy       string    `json:"copy"`
	From       Person    `json:"from"`
	To         Person    `json:"to"`
	Seal       string    `json:"seal"`
	OfferedAt  time.Time `json:"offered_at"`
	AcceptedAt time.Time `json:"accepted_at"`
}

// WithdrawnCredential is one by which the model could be called or fetched.
type WithdrawnCredential struct {
	Name     string    `json:"name"`
	By       Person    `json:"by"`
	At       time.Time `json:"at"`
	Evidence string    `json:"evidence"`
}

// LegalHold is the answer to whether anybody has to keep the model.
type LegalHold struct {
	Clear     bool      `json:"clear"`
	CheckedBy string    `json:"checked_by"`
	Reference string    `json:"reference"`
	By        Person    `json:"by"`
	At        time.Time `json:"at"`
}

// LedgerRef is an entry of the ledger, by number and by the hash of its leaf.
type LedgerRef struct {
	Seq  uint64 `json:"seq"`
	Type string `json:"type"`
	Hash string `json:"hash"`
}

// signedCertificate is a certificate on paper: readable, and signed over its
// canonical form (RFC 8785).
type signedCertificate struct {
	Certificate jsontext.Value `json:"certificate"`
	Hash        string         `json:"hash"` // SHA-256 of the canonical form, hex
	KeyID       string         `json:"keyid"`
	Signature   []byte         `json:"signature"` // Ed25519 over its DSSE pre-authentication encoding
}

// SignCertificate returns the certificate with its signature, as JSON, if it is
// one that OpenCertificate takes.
func SignCertificate(c Certificate, s Signer) ([]byte, error) {
	if s.warrant != nil { // it is verified long after, and by whoever has the one key
		return nil, errors.New("sign certificate: a key that is only warranted does not sign it")
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	raw, err := json.Marshal(c, json.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	v := jsontext.Value(raw)
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	sum := sha256.Sum256(v)
	sig, err := s.sign(pae(TypeCertificate, v))
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return canonical(signedCertificate{v, hex.EncodeToString(sum[:]), s.public.id, sig})
}

// OpenCertificate verifies a certificate without anything but the keys that are
// trusted: its signature first, then whether what it says hangs together. The
// white space of the file does not matter.
func OpenCertificate(data []byte, keys []PublicKey) (Certificate, Hash, error) {
	var p signedCertificate
	if err := json.Unmarshal(data, &p, json.RejectUnknownMembers(true)); err != nil {
		return Certificate{}, Hash{}, fmt.Errorf("open certificate: %w: %w", ErrSignature, err)
	}
	v := p.Certificate
	if err := v.Canonicalize(); err != nil {
		return Certificate{}, Hash{}, fmt.Errorf("open certificate: %w: %w", ErrSignature, err)
	}
	e := envelope{PayloadType: TypeCertificate, Payload: v, Signatures: []signature{{p.KeyID, p.Signature}}}
	if _, err := e.verify(keys); err != nil {
		return Certificate{}, Hash{}, fmt.Errorf("open certificate: %w: %w", ErrSignature, err)
	}
	sum := Hash(sha256.Sum256(v))
	if sum.String() != p.Hash {
		return Certificate{}, Hash{}, fmt.Errorf("open certificate: %w: the hash is not that of its content", ErrMalformed)
	}
	var c Certificate
	if err := json.Unmarshal(v, &c, json.RejectUnknownMembers(true)); err != nil {
		return Certificate{}, Hash{}, fmt.Errorf("open certificate: %w: %w", ErrMalformed, err)
	}
	if err := c.Check(); err != nil {
		return Certificate{}, Hash{}, fmt.Errorf("open certificate: %w: %w", ErrMalformed, err)
	}
	return c, sum, nil
}

// Check says whether what a certificate says can have happened by the rules: a
// quorum that is independent, a cooling-off time that ran out, a witness who is
// somebody else, every copy accounted for.
func (c *Certificate) Check() error {
	if c.State != "sealed" && c.State != "destroyed" || (c.Level == "L6") != (c.State == "destroyed") || len(c.Models) == 0 || len(c.Copies) == 0 {
		return fmt.Errorf("it is of a model that is %q at %q with %d copies", c.State, c.Level, len(c.Copies))
	}
	if c.Quorum < 2 || !c.Exercise && time.Duration(c.CoolingOff) < time.Hour {
		return fmt.Errorf("a quorum of %d with a cooling-off of %v is less than the least", c.Quorum, time.Duration(c.CoolingOff))
	}
	var cooled []time.Time // when the destructions that were resolved could begin
	resolved := map[string]bool{}
	for _, r := range c.Resolutions {
		at, err := c.agreed(&r)
		if err != nil {
			return err
		}
		if resolved[r.Action] = true; r.Action == "destroy" {
			cooled = append(cooled, at.Add(time.Duration(c.CoolingOff)))
		}
	}
	if !resolved["seal"] || resolved["destroy"] != (c.State == "destroyed") {
		return fmt.Errorf("it is %s, and that was not resolved", c.State)
	}
	for _, m := range c.Copies {
		d := m.Destroyed
		switch {
		case m.Seal == "" || m.Custodian.ID == "":
			return fmt.Errorf("copy %s was never put under seal", m.ID)
		case (d != nil) != (c.State == "destroyed"):
			return fmt.Errorf("copy %s is not what the model is: %s", m.ID, c.State)
		case d == nil:
		case d.Witness.ID == "" || d.Witness.ID == d.By.ID || d.WitnessedAt.Before(d.At):
			return fmt.Errorf("the destruction of copy %s has no witness", m.ID)
		case !c.clearAt(d.At):
			return fmt.Errorf("copy %s was destroyed under a legal hold, or nobody looked", m.ID)
		case !slices.ContainsFunc(cooled, func(at time.Time) bool { return !d.At.Before(at) }):
			return fmt.Errorf("copy %s was destroyed before the cooling-off time ran out", m.ID)
		}
	}
	for _, cr := range c.Credentials {
		if c.State == "sealed" && cr.At.IsZero() {
			return fmt.Errorf("credential %s was not withdrawn", cr.Name)
		}
	}
	if !slices.IsSortedFunc(c.Entries, func(a, b LedgerRef) int { return int(int64(a.Seq) - int64(b.Seq)) }) || len(c.Entries) < 4 {
		return errors.New("the entries of the ledger are missing, or out of order")
	}
	return nil
}

// clearAt says whether the last legal-hold check before a time permitted to destroy.
func (c *Certificate) clearAt(at time.Time) bool {
	clear := false
	for _, h := range c.LegalHolds {
		if !h.At.After(at) {
			clear = h.Clear
		}
	}
	return clear
}

// agreed is when the quorum of a resolution was reached, by approvals that count.
func (c *Certificate) agreed(r *Resolution) (at time.Time, err error) {
	seen := map[string]bool{r.By.ID: true}
	for _, a := range r.Approvals {
		if seen[a.By.ID] || a.At.Before(r.At) {
			return at, fmt.Errorf("the approval of %s to %s it does not count", a.By.ID, r.Action)
		}
		if seen[a.By.ID] = true; len(seen) == c.Quorum+1 {
			at = a.At
		}
	}
	if len(r.Approvals) < c.Quorum {
		return at, fmt.Errorf("%d of %d approvals to %s it", len(r.Approvals), c.Quorum, r.Action)
	}
	return at, nil
}
