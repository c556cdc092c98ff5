package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// administrator is the one role that there is so far. It may do everything.
const administrator = "administrator"

// may is the first statement of every operation: whether the operator's role
// allows it. action names it: "correction.lift".
func (op *operator) may(action string) error {
	if op != nil && op.role == administrator {
		return nil
	}
	role := "nobody"
	if op != nil {
		role = op.role
	}
	return problem("forbidden", fmt.Sprintf("the role %s may not do %s", role, action))
}

const tokenPrefix = "op_"

// authenticate finds the operator of a bearer token.
func (c *Control) authenticate(header string) (*operator, error) {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(token, tokenPrefix) {
		return nil, problem("unauthenticated", `an operator token is needed: it begins with op_ and is sent as "Authorization: Bearer op_…"`)
	}
	sum := sha256.Sum256([]byte(token))
	c.mu.RLock()
	op := c.state.tokens[sum]
	c.mu.RUnlock()
	// The look-up is by hash: its timing says nothing of any token. The comparison
	// is what decides.
	if op == nil || subtle.ConstantTimeCompare(op.token[:], sum[:]) != 1 {
		return nil, problem("unauthenticated", "the token is not known; it may have been replaced")
	}
	return op, nil
}

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
		return []draft{{typeOperator, operatorBody{ID: "op-" + strconv.Itoa(s.nOperators+1), Name: name, Role: administrator, Token: hash}}}, nil
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
	_, err := c.authenticate("Bearer " + token)
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
