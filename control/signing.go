package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

// This room holds the keys that sign orders, and their rotation. A rotation is two
// entries. The first, made by people under their rules, says which key comes next
// and why. The second, made by the control plane, holds the succession that both
// keys have signed; from it on the new key counts and the old one does not. A
// control plane that ends between them goes on where it was.

const (
	typeKeyChosen  = "signer.chosen"
	typeKeyRotated = "signer.rotated"
	typeKeyRevoked = "signer.revoked"
	typeRekeyed    = ledger.TypeRekeyed // another key signs the ledger's checkpoints
)

// chosenBody names the key that comes next.
type chosenBody struct {
	Key    order.PublicKey `json:"key"`
	Source string          `json:"source"` // where it is: file:…, agent:…, pkcs11:…
	Reason string          `json:"reason"`
}

// rotatedBody is a key taking the place of another.
type rotatedBody struct {
	Source     string         `json:"source"`
	Succession jsontext.Value `json:"succession"` // the DSSE envelope, signed by both
}

// distrustedBody says that a key that was withdrawn is in the wrong hands.
type distrustedBody struct {
	Key    string `json:"key"` // its id
	Reason string `json:"reason"`
}

type signingState struct {
	chosen *chosen
	links  []keyLink
	thefts map[string]theft // by key

	rekeyed []ledger.RekeyedBody // keys of the ledger that took the place of another, oldest first
}

// chosen is the key that comes next.
type chosen struct {
	chosenBody
	by string
	at time.Time
}

// keyLink is one rotation that was carried out.
type keyLink struct {
	order.Succession
	source string
	signed []byte
	reason string
	by     string
	entry  uint64
}

type theft struct {
	reason string
	by     string
	at     time.Time
}

// current is the key that counts and where it is, zero while none was ever replaced.
func (s *signingState) current() (order.PublicKey, string) {
	if len(s.links) == 0 {
		return order.PublicKey{}, ""
	}
	last := &s.links[len(s.links)-1]
	return last.To, last.source
}

// known reports whether a key counts or has counted.
func (s *signingState) known(k order.PublicKey) bool {
	return slices.ContainsFunc(s.links, func(l keyLink) bool { return l.From == k || l.To == k })
}

// successions are those that are told to gateways. What leads on from a key in the
// wrong hands is not: a thief could have told another.
func (s *signingState) successions() order.Successions {
	out := order.Successions{Successions: [][]byte{}}
	for i := len(s.links) - 1; i >= 0 && len(out.Successions) < order.MaxSuccessions; i-- {
		if _, stolen := s.thefts[s.links[i].From.ID()]; stolen {
			break
		}
		out.Successions = append(out.Successions, s.links[i].signed)
	}
	slices.Reverse(out.Successions)
	return out
}

var signingFolds = map[string]foldFunc{typeKeyChosen: foldKeyChosen, typeKeyRotated: foldKeyRotated, typeKeyRevoked: foldKeyRevoked, typeRekeyed: foldRekeyed}

func foldKeyChosen(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[chosenBody](e.Body)
	if err == nil && (b.Key.ID() == "" || s.signing.known(b.Key)) {
		err = fmt.Errorf("key %q counts already, or has counted: %w", b.Key.ID(), errForm)
	}
	return func() { s.signing.chosen = &chosen{b, e.Actor, e.At.UTC()} }, err
}

func foldKeyRotated(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[rotatedBody](e.Body)
	if err != nil {
		return nil, err
	}
	l := keyLink{source: b.Source, signed: b.Succession, entry: e.Seq}
	if l.Succession, err = order.OpenSuccession(b.Succession); err != nil {
		return nil, err
	}
	last, _ := s.signing.current()
	switch c := s.signing.chosen; {
	case l.N != uint64(len(s.signing.links))+1, last.ID() != "" && l.From != last, s.signing.known(l.To), c == nil, c.Key != l.To, c.Source != b.Source:
		return nil, fmt.Errorf("key %q does not come after %q: %w", l.To.ID(), l.From.ID(), errForm)
	case l.Revision != s.revision || l.Head != s.head:
		return nil, fmt.Errorf("key %q ends with revision %d, and this is %d: %w", l.From.ID(), l.Revision, s.revision, errForm)
	default:
		l.reason, l.by = c.Reason, c.by
	}
	return func() {
		s.signing.links, s.signing.chosen = append(s.signing.links, l), nil
	}, nil
}

func foldKeyRevoked(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[distrustedBody](e.Body)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.signing.links, func(l keyLink) bool { return l.From.ID() == b.Key })
	if _, twice := s.signing.thefts[b.Key]; i < 0 || twice {
		return nil, fmt.Errorf("key %q was not withdrawn, or is revoked already: %w", b.Key, errForm)
	}
	return func() {
		if s.signing.thefts == nil {
			s.signing.thefts = map[string]theft{}
		}
		s.signing.thefts[b.Key] = theft{b.Reason, e.Actor, e.At.UTC()}
	}, nil
}

// foldRekeyed reads that the ledger has another key. Whoever verifies the ledger
// checks who signed that.
func foldRekeyed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[ledger.RekeyedBody](e.Body)
	if last := s.signing.ledgerKey(); err == nil && (b.To == "" || b.To == last || last != "" && b.From != last) {
		err = fmt.Errorf("ledger key %q in place of %q: %w", b.To, b.From, errForm)
	}
	return func() { s.signing.rekeyed = append(s.signing.rekeyed, b) }, err
}

// ledgerKey is the key that the record itself names as its own; "" while that is
// the first.
func (s *signingState) ledgerKey() string {
	if len(s.rekeyed) == 0 {
		return ""
	}
	return s.rekeyed[len(s.rekeyed)-1].To
}

// recordRekeying writes that the ledger has another key, unless it says so. A key
// that the record does not lead to signs nothing: nobody could follow it.
func (c *Control) recordRekeying() error {
	b := c.cfg.Rekeyed
	_, err := c.execute(context.Background(), system, func(s *state, _ time.Time) ([]draft, error) {
		last := s.signing.ledgerKey()
		switch {
		case b != nil && b.To != last && last != "" && b.From != last:
			return nil, fmt.Errorf("the ledger's key is %s: control.former_ledger_key has to name it, and names %s", last, b.From)
		case b != nil && b.To != last:
			return []draft{{kind: typeRekeyed, body: *b}}, nil
		case b == nil && last != "" && c.cfg.LedgerKey != "" && c.cfg.LedgerKey != last:
			return nil, fmt.Errorf("the ledger's key is %s, and control.ledger_key names %s: to replace it, let control.former_ledger_key name the first", last, c.cfg.LedgerKey)
		}
		return nil, nil
	})
	return err
}

// rekeyedFrom returns the statements by which the ledger's key was replaced, from
// that key on.
func (c *Control) rekeyedFrom(key string) (statements [][]byte) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := c.state.signing.rekeyed
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].From == key {
			for _, b := range all[i:] {
				statements = append(statements, b.Statement)
			}
			break
		}
	}
	return statements
}

// draftRotate drafts that a key comes next. s decides whether it can.
func (c *Control) draftRotate(s *state, b chosenBody) ([]draft, error) {
	if err := reasonGiven(b.Reason); err != nil {
		return nil, err
	}
	if err := checkLine("to", b.Source, maxSource); err != nil || b.Source == "" {
		return nil, badField("to", "missing: where the new key is: file:NAME, agent:SHA256:…, pkcs11:token=…;object=…")
	}
	switch {
	case b.Key == c.signingKey().public:
		return nil, problem("key_in_use", "key "+b.Key.ID()+" signs already")
	case s.signing.known(b.Key):
		return nil, problem("key_withdrawn", "key "+b.Key.ID()+" has signed before and was withdrawn; no key returns: make a new one")
	case len(s.signing.links) >= order.MaxSuccessions-1:
		return nil, problem("key_withdrawn", fmt.Sprintf("the key was replaced %d times, and gateways follow no more", len(s.signing.links)))
	}
	return []draft{{kind: typeKeyChosen, body: b}}, nil
}

// doRekey carries out what was agreed to.
func doRekey(c *Control, s *state, _ *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[chosenBody](what)
	if err != nil {
		return nil, err
	}
	return c.draftRotate(s, b)
}

const maxSource = 1024

var signingTable = []route{
	{"GET", "/api/v1/signing-keys", "", false, (*Control).getSigningKeys},
	{"POST", "/api/v1/signing-keys/rotate", "signing-key.rotate", false, (*Control).postRotate},
	{"POST", "/api/v1/signing-keys/{id}/revoke", "signing-key.revoke", false, (*Control).postRevokeSigner},
}

var signingPermits = map[string]authority.Set{"signing-key.read": readers}

var signingCodes = map[string]code{
	"signer_unavailable": {503, "A signing key does not answer"},
	"signer_refused":     {422, "This is no key that can sign orders"},
	"key_in_use":         {409, "The key signs already"},
	"key_withdrawn":      {409, "The key was withdrawn"},
}

// signerProblem is what is wrong with a key somewhere else, in the API's form.
func signerProblem(what string, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return problem("signer_unavailable", what+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
}
