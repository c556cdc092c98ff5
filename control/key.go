package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"andon/order"
)

const keyPrefix = "ak_"

// Bounds of what a key says of its caller.
const (
	maxKeyText       = 256 // bytes
	maxKeyAttributes = 64
	maxKeyUseCases   = 32
)

// keySpec is a key to be made.
type keySpec struct {
	Org        string    `json:"org"`
	User       string    `json:"user,omitempty"`
	Tier       string    `json:"tier,omitempty"`
	Surface    string    `json:"surface,omitempty"`
	Attributes []string  `json:"attributes,omitempty"` // "name=value"
	UseCases   []string  `json:"use_cases,omitempty"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
}

// checkLine allows text on one line, without control characters.
func checkLine(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return badField(field, fmt.Sprintf("has %d bytes; at most %d", len(s), limit))
	case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
		return badField(field, "holds control characters or broken UTF-8")
	case s != strings.TrimSpace(s):
		return badField(field, "begins or ends with a blank")
	}
	return nil
}

// key turns a spec into a key without id and hash.
func (k keySpec) key(now time.Time) (order.Key, error) {
	if k.Org == "" {
		return order.Key{}, badField("org", "missing: say whose key it is")
	}
	for _, f := range []struct{ name, value string }{{"org", k.Org}, {"user", k.User}, {"tier", k.Tier}, {"surface", k.Surface}} {
		if err := checkLine(f.name, f.value, maxKeyText); err != nil {
			return order.Key{}, err
		}
	}
	if len(k.Attributes) > maxKeyAttributes {
		return order.Key{}, badField("attributes", fmt.Sprintf("at most %d", maxKeyAttributes))
	}
	for i, a := range k.Attributes {
		field := fmt.Sprintf("attributes[%d]", i)
		if err := checkLine(field, a, maxKeyText); err != nil {
			return order.Key{}, err
		}
		if name, value, ok := strings.Cut(a, "="); !ok || name == "" || value == "" {
			return order.Key{}, badField(field, "is not name=value")
		}
	}
	if len(k.UseCases) > maxKeyUseCases {
		return order.Key{}, badField("use_cases", fmt.Sprintf("at most %d", maxKeyUseCases))
	}
	for i, u := range k.UseCases {
		field := fmt.Sprintf("use_cases[%d]", i)
		if u == "" {
			return order.Key{}, badField(field, "is empty")
		}
		if err := checkLine(field, u, maxKeyText); err != nil {
			return order.Key{}, err
		}
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return order.Key{}, badField("expires_at", "is in the past; give a later time, or leave it out")
	}
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	return order.Key{Org: k.Org, User: k.User, Tier: k.Tier, Surface: k.Surface, Attributes: sorted(k.Attributes), UseCases: sorted(k.UseCases), ExpiresAt: utc(k.ExpiresAt)}, nil
}

// createKey makes a caller's key. The secret exists in this answer alone.
func (c *Control) createKey(ctx context.Context, op *operator, spec keySpec) (id, text string, err error) {
	if err := op.may("key.create"); err != nil {
		return "", "", err
	}
	text, hash := secret(keyPrefix)
	_, err = c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		k, err := spec.key(now)
		if err != nil {
			return nil, err
		}
		k.ID, k.Hash = "k-"+strconv.Itoa(s.nKeys+1), hash
		id = k.ID
		linked, weight := s.keyed(k)
		return append([]draft{{typeKey, keyBody{k}}}, linked...), s.room(weigh(k) + weight)
	})
	return id, text, err
}

// revokeKey ends a caller's key.
func (c *Control) revokeKey(ctx context.Context, op *operator, id, reason string) error {
	if err := op.may("key.revoke"); err != nil {
		return err
	}
	if len(reason) > maxReason {
		return badField("reason", fmt.Sprintf("has %d bytes; at most %d", len(reason), maxReason))
	}
	_, err := c.execute(ctx, op.id, func(s *state, _ time.Time) ([]draft, error) {
		k := s.keys[id]
		if k == nil {
			return nil, problem("not_found", "there is no key "+strconv.Quote(short(id)))
		}
		if !k.revokedAt.IsZero() {
			return nil, nil // revoked is revoked
		}
		return []draft{{typeRevoked, revokedBody{id, reason}}}, nil
	})
	return err
}

// ErrRevoked: a key that was asked for by its hash was revoked, for good.
var ErrRevoked = errors.New("the key was revoked")

// EnsureKey makes sure that there is a valid key which says what spec says. If
// it makes one, created is true and secret is its secret, which exists nowhere
// else; if there was one, secret is "". ID and Hash of spec must be empty, or
// Hash may be that of a secret which the caller has kept: then only that very
// key will do, and secret is "" in any case; once it was revoked, the error is
// ErrRevoked.
func (c *Control) EnsureKey(spec order.Key) (key order.Key, text string, created bool, err error) {
	kept := spec.Hash
	if sum, err := hex.DecodeString(kept); kept != "" && (err != nil || len(sum) != sha256.Size) {
		return order.Key{}, "", false, fmt.Errorf("ensure key: hash is not a SHA-256 in hex")
	}
	hash := kept
	if kept == "" {
		text, hash = secret(keyPrefix)
	}
	_, err = c.execute(context.Background(), system, func(s *state, now time.Time) ([]draft, error) {
		want, err := keySpec{spec.Org, spec.User, spec.Tier, spec.Surface, spec.Attributes, spec.UseCases, spec.ExpiresAt}.key(now)
		if err != nil {
			return nil, err
		}
		created = false
		for _, k := range s.keyList {
			if !k.revokedAt.IsZero() || kept != "" && k.Hash != kept || kept == "" && !sameCaller(k.Key, want) {
				continue
			}
			key = k.Key
			return nil, nil
		}
		if s.keyHashes[hash] { // a second entry with this hash could never be folded
			return nil, ErrRevoked
		}
		want.ID, want.Hash = "k-"+strconv.Itoa(s.nKeys+1), hash
		key, created = want, true
		linked, weight := s.keyed(want)
		return append([]draft{{typeKey, keyBody{want}}}, linked...), s.room(weigh(want) + weight)
	})
	if err != nil || !created {
		text = ""
	}
	if err != nil {
		return order.Key{}, "", false, fmt.Errorf("ensure key: %w", err)
	}
	return key, text, created, nil
}

// sameCaller reports whether two keys say the same of their caller.
func sameCaller(a, b order.Key) bool {
	return a.Org == b.Org && a.User == b.User && a.Tier == b.Tier && a.Surface == b.Surface && a.ExpiresAt.Equal(b.ExpiresAt) &&
		slices.Equal(a.Attributes, b.Attributes) && slices.Equal(a.UseCases, b.UseCases)
}
