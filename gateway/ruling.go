package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"andon/correction"
	"andon/order"
)

// ruling is everything that is decided under: swapped as one, by one pointer,
// and never changed once it is in place.
type ruling struct {
	revision uint64
	head     order.Hash
	policy   *correction.Policy
	lists    map[string]heldList // that policy was compiled with
	keys     map[[sha256.Size]byte]*caller
	listed   []order.Key // what keys was made of
	header   []string    // the andon-revision header's value
	issued   time.Time
	extra    int // emergency corrections that no order carries yet
	screens  *screens
}

// caller is who calls, as far as the gateway vouches for it.
type caller struct {
	key        string // id
	org        string
	user       string
	tier       string
	surface    string
	attributes []string
	useCases   []string
	expires    time.Time
	hash       [sha256.Size]byte
}

// compile makes a ruling of a state and the emergency orders that are kept
// beside it, with the lists that are held. What has not changed is taken over from
// the ruling before, which may be nil.
func compile(s *order.State, emergencies []order.Emergency, before *ruling, held map[string]heldList) (*ruling, error) {
	if before == nil {
		before = &ruling{}
	}
	all := s.Corrections
	extra := 0
	for _, e := range emergencies {
		if slices.Contains(s.Adopted, e.ID) {
			continue
		}
		if extra == 0 {
			all = slices.Clone(all)
		}
		for i := range e.Corrections {
			all = append(all, &e.Corrections[i])
		}
		extra += len(e.Corrections)
	}
	p, err := before.policy.Next(all, policyLists(held))
	if err != nil {
		return nil, fmt.Errorf("compile order %d: %w", s.Revision, err)
	}
	r := &ruling{revision: s.Revision, head: s.Head, policy: p, issued: s.IssuedAt, extra: extra, lists: held,
		header: []string{strconv.FormatUint(s.Revision, 10)}}
	if r.listed = s.Keys; before.keys != nil && same(s.Keys, before.listed) {
		r.keys = before.keys
	} else if r.keys, err = callers(s.Keys); err != nil {
		return nil, fmt.Errorf("compile order %d: %w", s.Revision, err)
	}
	return r, r.selfTest(all)
}

// same reports whether two lists are one and the same in memory: states share
// what an order did not touch, and nobody writes to it.
func same(a, b []order.Key) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// callers indexes keys by their hash.
func callers(keys []order.Key) (map[[sha256.Size]byte]*caller, error) {
	m := make(map[[sha256.Size]byte]*caller, len(keys))
	for _, k := range keys {
		c := &caller{key: k.ID, org: k.Org, user: k.User, tier: k.Tier, surface: k.Surface,
			attributes: k.Attributes, useCases: k.UseCases, expires: k.ExpiresAt}
		if n, err := hex.Decode(c.hash[:], []byte(k.Hash)); err != nil || n != sha256.Size {
			return nil, fmt.Errorf("key %s: its hash is not 64 hex digits", k.ID)
		}
		m[c.hash] = c
	}
	return m, nil
}

// samples is how many corrections the self-test asks a request of.
const samples = 16

// selfTest runs the compiled policy before it is trusted: every enforced
// correction must be in it, and requests that some of them reach must be decided without a
// panic.
func (r *ruling) selfTest(all []*correction.Correction) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("self-test of order %d: %v", r.revision, p)
		}
	}()
	if n := r.policy.Len(); n != len(all) {
		return fmt.Errorf("self-test of order %d: %d corrections compiled of %d", r.revision, n, len(all))
	}
	var v correction.Verdict
	for i := range min(len(all), samples) {
		s := &all[i*len(all)/min(len(all), samples)].Scope
		q := correction.Request{Model: first(s.Models), Version: first(s.Versions), Surface: first(s.Surfaces), Org: first(s.Orgs),
			Users: s.Users[:min(len(s.Users), 1)], Key: first(s.Keys), Tier: first(s.Tiers), Country: first(s.Countries),
			Attributes: s.Attributes, UseCases: s.UseCases, Tools: s.Tools}
		r.policy.Decide(&q, correction.At(time.Now()), &v)
	}
	return nil
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
