package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"andon/authority"
)

// corePermits says who may do what to corrections, keys, lists and points.
// Whether a correction may be lifted then is a matter of authority.
var corePermits = map[string]authority.Set{
	"correction.create": actors, "correction.extend": actors, "correction.unlink": actors, "correction.acknowledge": actors,
	"correction.lift": actors, "correction.ratify": deciders, "correction.preview": authority.All, "correction.read": authority.All,
	"list.put": actors, "list.add": actors, "list.remove": actors, "list.remove_entries": actors, "list.read": authority.All,
	"hold.decide": actors, "hold.read": readers, "work.read": authority.All, "request.explain": readers,
	"key.revoke": actors, "key.read": authority.All, "point.read": authority.All, "app.read": authority.All, "model.read": authority.All,
	"event.read": readers, "ledger.read": readers, "custody.read": readers,
	"custody.open": actors, typeListed: actors, typeDeclared: actors, typeOffered: actors, typeTaken: deciders, typeCredential: actors,
	typeProposed: actors, typeApproved: deciders, typeWithdrawn: deciders, typeSealed: actors, typeUnsealed: actors, typeLegalHold: deciders,
	typeDestroying: actors, typeWitnessed: readers, typeDestroyed: actors,
}

// Who acts, who decides, and who may see more than what is in force.
var (
	actors   = authority.SetOf(authority.Responder, authority.Commander)
	deciders = actors | authority.SetOf(authority.Approver)
	readers  = deciders | authority.SetOf(authority.Auditor)
)

const tokenPrefix = "op_"

// secret makes a random secret of 256 bits.
func secret(prefix string) (text, hash string) {
	var b [32]byte
	rand.Read(b[:])
	text = prefix + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(text))
	return text, hex.EncodeToString(sum[:])
}

// EnsureOperator makes sure that there is an operator of that name, as an
// administrator. If it makes one, created is true and token is its token, which
// exists nowhere else; if there was one, token is "". See ReplaceToken.
func (c *Control) EnsureOperator(name string) (token string, created bool, err error) {
	if err := checkLine("name", name, 200); err != nil || name == "" {
		return "", false, fmt.Errorf("ensure operator: name must be 1 to 200 bytes of text")
	}
	token, hash := secret(tokenPrefix)
	_, err = c.execute(context.Background(), system, func(s *state, _ time.Time) ([]draft, error) {
		created = false
		if s.operatorNamed(name) != nil {
			return nil, nil
		}
		created = true
		return []draft{{typeOperator, operatorBody{ID: "op-" + strconv.Itoa(s.nOperators+1), Name: name, Role: string(authority.Administrator), Token: hash}}}, nil
	})
	if err != nil {
		return "", false, fmt.Errorf("ensure operator %s: %w", name, err)
	}
	if !created {
		return "", false, nil
	}
	return token, true, nil
}

// ReplaceToken gives an operator a new token, once the old one is lost. The old
// one ends at once.
func (c *Control) ReplaceToken(name string) (token string, err error) {
	token, hash := secret(tokenPrefix)
	_, err = c.execute(context.Background(), system, func(s *state, _ time.Time) ([]draft, error) {
		op := s.operatorNamed(name)
		if op == nil {
			return nil, fmt.Errorf("there is no operator of that name")
		}
		return []draft{{typeToken, operatorBody{ID: op.id, Token: hash}}}, nil
	})
	if err != nil {
		return "", fmt.Errorf("replace token of operator %s: %w", name, err)
	}
	return token, nil
}

// TokenValid reports whether a token is an operator's: for a program that kept
// one and wants to know if it still serves.
func (c *Control) TokenValid(token string) bool {
	_, err := c.byToken(token, false)
	return err == nil
}

// active says whether somebody is an operator, and was not removed.
func (op *operator) active() bool { return op != nil && op.removed.IsZero() }

func (s *state) operatorNamed(name string) *operator {
	for _, op := range s.operators {
		if op.name == name && op.active() {
			return op
		}
	}
	return nil
}
