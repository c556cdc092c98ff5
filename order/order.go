// Package order is what gateways obey: the corrections and keys in force, as
// signed, hash-chained revisions that only go forward.
//
// An [Order] is one step, a [State] the whole at one revision, a [Lease]
// control's word that a revision is current, an [Emergency] a tightening that
// needs neither control nor bus. Each travels as a DSSE envelope with an
// Ed25519 signature over its type and its payload; a signature over one type
// never verifies as another. A [Follower] is a gateway's copy, in memory and on
// disk.
//
// What this package promises: revisions only go forward, each one names the
// hash of the one before, and whatever does not verify changes nothing. A
// follower never holds fewer corrections than the last good revision it
// accepted says; where its disk was damaged it says so.
//
// Values are plain data. Only [Follower] has state, and one goroutine owns it.
package order

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
)

// What can be wrong with a message. They are wrapped with what was wrong with
// this one; compare with errors.Is.
var (
	ErrSignature = errors.New("signature does not verify")                    // unknown key, tampered, or signed as another type
	ErrUntrusted = errors.New("a key that is not trusted")                    // comes with ErrSignature: it may be a successor's, see Follower.Follow
	ErrWarrant   = errors.New("its warrant has ended")                        // comes with ErrSignature: a key that was warranted for a day, or a clock that is ahead
	ErrMalformed = errors.New("malformed")                                    // verifies, but this version cannot read it
	ErrRollback  = errors.New("older than what is held")                      // an older revision, or this one with other content
	ErrMismatch  = errors.New("does not follow what is held")                 // the chain is broken: resync
	ErrGap       = errors.New("revisions are missing in between")             // resync; Follower.Offer reports it as a Step
	ErrExpired   = errors.New("the window to accept it is over")              // emergency only
	ErrAdopted   = errors.New("the control plane has already taken it over")  // emergency only
	ErrDuplicate = errors.New("is already held")                              // emergency only: harmless
	ErrNotKept   = errors.New("obeyed, but not kept on disk")                 // emergency only: Persist tries again
	ErrForged    = errors.New("the id is already in use with other contents") // emergency only
)

// Hash is a SHA-256, in text as 64 lower-case hex digits. The zero Hash is the
// head of revision 0.
type Hash [32]byte

// String returns the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is the head of revision 0.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText returns the hash in hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads exactly 64 hex digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("read hash: %d characters, not %d", len(text), 2*len(h))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("read hash: %w", err)
	}
	return nil
}

// Key is a caller's key as gateways know it: a hash to recognise the secret by,
// and who it speaks for. The secret itself is nowhere.
type Key struct {
	ID         string    `json:"id"`
	Hash       string    `json:"hash"` // hex SHA-256 of the secret
	Org        string    `json:"org,omitempty"`
	User       string    `json:"user,omitempty"`
	Tier       string    `json:"tier,omitempty"`
	Surface    string    `json:"surface,omitempty"`
	Attributes []string  `json:"attributes,omitempty"` // "name=value", sorted
	UseCases   []string  `json:"use_cases,omitempty"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"` // zero: never
}

// Order is one revision as a step from the one before. Put replaces or adds by
// id, Drop removes by id; an id stands at most once in an order. Lists go by
// their names.
type Order struct {
	Revision uint64                  `json:"revision"` // from 1
	Prev     Hash                    `json:"prev"`     // head of the revision before
	IssuedAt time.Time               `json:"issued_at"`
	Put      []correction.Correction `json:"put,omitempty"`
	Drop     []string                `json:"drop,omitempty"`
	PutKeys  []Key                   `json:"put_keys,omitempty"`
	DropKeys []string                `json:"drop_keys,omitempty"`
	Adopted  []string                `json:"adopted,omitempty"` // emergencies that are in the ledger from here on

	PutLists  []ListRef `json:"put_lists,omitempty"`
	DropLists []string  `json:"drop_lists,omitempty"` // by name
}

// State is everything in force at one revision, signed on its own, so that a
// gateway that missed orders needs no history. All are sorted by id
// or name.
type State struct {
	Revision    uint64                   `json:"revision"`
	Head        Hash                     `json:"head"` // of the order that led here; zero at revision 0
	IssuedAt    time.Time                `json:"issued_at,omitzero"`
	Corrections []*correction.Correction `json:"corrections,omitempty"` // shared by states: never written to
	Keys        []Key                    `json:"keys,omitempty"`
	Adopted     []string                 `json:"adopted,omitempty"` // every emergency ever taken over
	Lists       []ListRef                `json:"lists,omitempty"`   // by name
}

// Lease is control's answer to a beat: at At, this revision was current. It
// answers exactly one beat, by gateway and nonce.
type Lease struct {
	Gateway  string              `json:"gateway"`
	Nonce    string              `json:"nonce"`
	Revision uint64              `json:"revision"`
	Head     Hash                `json:"head"`
	At       time.Time           `json:"at"`
	TTL      correction.Duration `json:"ttl"`

	Checkpoint string `json:"checkpoint,omitempty"` // the ledger's, signed by its own key, as it is now
	LedgerKey  string `json:"ledger_key,omitempty"` // the public key of that

	Witnesses map[string]string `json:"witnesses,omitempty"` // keys of the gateways that the beat asked for; who has none is not there
}

// Empty reports whether o changes nothing: then it is no order.
func (o *Order) Empty() bool {
	return len(o.Put)+len(o.Drop)+len(o.PutKeys)+len(o.DropKeys)+len(o.Adopted)+len(o.PutLists)+len(o.DropLists) == 0
}

// Head is the hash that the next order names as its Prev: SHA-256 of the
// canonical payload. It does not depend on the signature, so control finds it
// again from its ledger.
func (o *Order) Head() (Hash, error) {
	payload, err := canonical(o)
	if err != nil {
		return Hash{}, fmt.Errorf("hash order %d: %w", o.Revision, err)
	}
	return sha256.Sum256(payload), nil
}

// canonical is the one encoding that is hashed and signed: struct order, sorted
// maps, no white space. A test pins it, because a restart recomputes heads.
func canonical(v any) ([]byte, error) { return json.Marshal(v, json.Deterministic(true)) }

// Apply makes s the revision that o leads to. head is o's own hash. It is
// strict: [ErrRollback] for an older or the same revision, [ErrGap] for one too
// far ahead, [ErrMismatch] if o does not follow s.Head or drops what is not
// there, [ErrMalformed] if o contradicts itself. On error s is unchanged.
//
// The slices of s are replaced, never written to, so copies of s stay valid.
func (s *State) Apply(o *Order, head Hash) error {
	switch {
	case o.Revision <= s.Revision:
		return fmt.Errorf("apply order %d to revision %d: %w", o.Revision, s.Revision, ErrRollback)
	case o.Revision > s.Revision+1:
		return fmt.Errorf("apply order %d to revision %d: %w", o.Revision, s.Revision, ErrGap)
	case head.IsZero():
		return fmt.Errorf("apply order %d: %w: no head", o.Revision, ErrMalformed)
	case o.Prev != s.Head:
		return fmt.Errorf("apply order %d: previous head %.12s, held %.12s: %w", o.Revision, o.Prev, s.Head, ErrMismatch)
	}
	put := make([]*correction.Correction, len(o.Put))
	for i := range o.Put {
		c := o.Put[i] // not the caller's to change any more
		put[i] = &c
	}
	cs, err := merge(s.Corrections, put, o.Drop, correctionID)
	if err != nil {
		return fmt.Errorf("apply order %d: corrections: %w", o.Revision, err)
	}
	ks, err := merge(s.Keys, o.PutKeys, o.DropKeys, func(k *Key) string { return k.ID })
	if err != nil {
		return fmt.Errorf("apply order %d: keys: %w", o.Revision, err)
	}
	lists, err := mergeLists(s.Lists, o.PutLists, o.DropLists)
	if err != nil {
		return fmt.Errorf("apply order %d: lists: %w", o.Revision, err)
	}
	adopted := s.Adopted
	if slices.Contains(o.Adopted, "") {
		return fmt.Errorf("apply order %d: adopted: %w: an empty id", o.Revision, ErrMalformed)
	}
	if len(o.Adopted) > 0 {
		adopted = slices.Concat(s.Adopted, o.Adopted)
		slices.Sort(adopted)
		adopted = slices.Compact(adopted)
	}
	*s = State{Revision: o.Revision, Head: head, IssuedAt: o.IssuedAt, Corrections: cs, Keys: ks, Adopted: adopted, Lists: lists}
	return nil
}

// merge returns old, sorted by id, with put added or replaced and drop removed.
func merge[T any](old, put []T, drop []string, id func(*T) string) ([]T, error) {
	if len(put) == 0 && len(drop) == 0 {
		return old, nil
	}
	touched := make(map[string]bool, len(put)+len(drop)) // true: to be removed
	for i := range put {
		k := id(&put[i])
		if k == "" {
			return nil, fmt.Errorf("%w: something without an id", ErrMalformed)
		}
		if _, twice := touched[k]; twice {
			return nil, fmt.Errorf("%w: %s stands twice", ErrMalformed, k)
		}
		touched[k] = false
	}
	for _, k := range drop {
		if _, twice := touched[k]; twice {
			return nil, fmt.Errorf("%w: %s stands twice", ErrMalformed, k)
		}
		touched[k] = true
	}
	// Few change, many stay: so the many are copied in runs, and not sorted again.
	changes := slices.Sorted(maps.Keys(touched))
	fresh := make(map[string]*T, len(put))
	for i := range put {
		fresh[id(&put[i])] = &put[i]
	}
	out := make([]T, 0, len(old)+len(put))
	for _, k := range changes {
		n := sort.Search(len(old), func(i int) bool { return id(&old[i]) >= k })
		out, old = append(out, old[:n]...), old[n:]
		there := len(old) > 0 && id(&old[0]) == k
		if there {
			old = old[1:]
		}
		if p := fresh[k]; p != nil {
			out = append(out, *p)
		} else if !there {
			return nil, fmt.Errorf("%w: drops something that is not there", ErrMismatch)
		}
	}
	if out = append(out, old...); len(out) == 0 {
		return nil, nil // as it is read back
	}
	return out, nil
}

// Check reports whether s is well formed: sorted, no id twice or empty, and a
// zero head exactly at revision 0.
func (s *State) Check() error {
	if (s.Revision == 0) != s.Head.IsZero() {
		return fmt.Errorf("check state %d: head %.12s: %w", s.Revision, s.Head, ErrMalformed)
	}
	if s.Revision == 0 && (len(s.Corrections) > 0 || len(s.Keys) > 0 || len(s.Adopted) > 0 || len(s.Lists) > 0) {
		return fmt.Errorf("check state 0: not empty: %w", ErrMalformed)
	}
	if !ascending(s.Corrections, correctionID) ||
		!ascending(s.Keys, func(k *Key) string { return k.ID }) ||
		!ascending(s.Adopted, func(id *string) string { return *id }) {
		return fmt.Errorf("check state %d: ids missing, twice, or out of order: %w", s.Revision, ErrMalformed)
	}
	if err := checkLists(s.Lists); err != nil {
		return fmt.Errorf("check state %d: %w", s.Revision, err)
	}
	return nil
}

// correctionID is "" for null, which no list may hold.
func correctionID(c **correction.Correction) string {
	if *c == nil {
		return ""
	}
	return (*c).ID
}

func ascending[T any](list []T, id func(*T) string) bool {
	last := ""
	for i := range list {
		k := id(&list[i])
		if k <= last {
			return false
		}
		last = k
	}
	return true
}
