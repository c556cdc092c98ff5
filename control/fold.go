package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// state is the fold over the ledger. fold is its only writer, and depends on
// nothing but the entries: no clock, no randomness, no configuration.
type state struct {
	size uint64    // entries folded
	last time.Time // At of the last one

	revision  uint64
	head      order.Hash
	issued    time.Time
	lastOrder *order.Order

	corrections map[string]*record
	list        []*record // as they were accepted
	keys        map[string]*keyRecord
	keyList     []*keyRecord
	apps        map[string]*appRecord
	keyHashes   map[string]bool
	operators   map[string]*operator
	tokens      map[[sha256.Size]byte]*operator

	operatorList []string // as they were made
	requests     map[requestID]*answered
	adopted      map[string]bool
	points       map[string]*pointBody
	lists        map[string]*listRecord
	effects      map[string]*effects // by kind and class
	cases        map[string]*custodyCase
	caseList     []string // as they were opened
	weight       int      // bytes of the corrections and keys in force, encoded

	nCorrections, nKeys, nOperators, nAcknowledged int

	parts // the rooms' own
}

// record is a correction with what became of it.
type record struct {
	correction.Correction
	revision  uint64    // of its last change
	changed   time.Time // when that was
	createdBy string
	gone      string // "", "lifted" or "expired"
	history   []change
	measured  *measuredBody // effect of revision
	ruling    *ratified     // what others have to say to it
	held      []string      // stops that serve dependants their fallback, made first
	links     *links        // of a block with linked accounts
	receipts  []order.Receipt
	weight    int
}

// change is one step in the life of a correction.
type change struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Action string    `json:"action"` // created, adopted, extended, ratified, lifted, expired
	Reason string    `json:"reason,omitempty"`
	Entry  uint64    `json:"entry"` // in the ledger
}

type keyRecord struct {
	order.Key
	createdAt time.Time
	createdBy string
	revokedAt time.Time
	revision  uint64 // of the order that tells gateways of its last change
}

// operator is somebody who may give commands.
type operator struct {
	id, name string
	roles    authority.Set
	token    [sha256.Size]byte // SHA-256 of it
	created  time.Time
	by       string
	removed  time.Time
	person
}

// requestID is an idempotency key: each operator has a space of its own.
type requestID struct{ actor, key string }

type answered struct {
	request    string // hash of what was asked
	correction string // id of what came of it
}

func newState() *state {
	return &state{
		corrections: map[string]*record{}, keys: map[string]*keyRecord{}, apps: map[string]*appRecord{}, keyHashes: map[string]bool{},
		operators: map[string]*operator{}, tokens: map[[sha256.Size]byte]*operator{},
		requests: map[requestID]*answered{}, adopted: map[string]bool{}, points: map[string]*pointBody{}, lists: map[string]*listRecord{}, effects: map[string]*effects{}, cases: map[string]*custodyCase{},
	}
}

var errForm = errors.New("contradicts the entries before it")

// fold takes in the next entry. If the entry makes a new revision it returns the
// order that leads there. On error the state is unchanged.
func (s *state) fold(e ledger.Entry) (*order.Order, error) {
	if e.Seq != s.size {
		return nil, fmt.Errorf("entry %d where %d belongs: %w", e.Seq, s.size, errForm)
	}
	o := &order.Order{}
	apply, err := s.prepare(e, o)
	if err != nil {
		return nil, err
	}
	if o.Empty() {
		o = nil
	} else {
		o.Revision, o.Prev, o.IssuedAt = s.revision+1, s.head, e.At.UTC()
		head, err := o.Head()
		if err != nil {
			return nil, err
		}
		s.revision, s.head, s.issued, s.lastOrder = o.Revision, head, o.IssuedAt, o
	}
	apply()
	s.authority.carriedOut(e, o)
	s.follow(e)
	s.size, s.last = e.Seq+1, e.At
	return o, nil
}

// prepare reads and checks an entry and fills in its order. apply, which cannot
// fail, then changes the state; it runs after the revision has moved.
func (s *state) prepare(e ledger.Entry, o *order.Order) (apply func(), err error) {
	switch e.Type {
	case typeCreated:
		b, err := read[createdBody](e.Body)
		if err != nil {
			return nil, err
		}
		add, err := s.foldCreated(e, o, "created", b.Correction.Reason, b.Idempotency, b.Ruling, b.Correction)
		return func() { add(); s.corrections[b.Correction.ID].held = b.Held }, err
	case typeAdopted:
		b, err := read[adoptedBody](e.Body)
		if err != nil {
			return nil, err
		}
		if b.ID == "" || s.adopted[b.ID] {
			return nil, fmt.Errorf("emergency %q is adopted already: %w", b.ID, errForm)
		}
		o.Adopted = []string{b.ID}
		add, err := s.foldCreated(e, o, "adopted", "emergency order by "+b.By, nil, b.Ruling, b.Corrections...)
		return func() { s.adopted[b.ID] = true; add() }, err
	case typeLifted, typeExtended, typeRatified, typeExpired, typeRaised:
		return s.foldChanged(e, o)
	case typeLinked, typeUnlinked:
		return s.foldLinked(e, o)
	case typeAcknowledged:
		return s.foldAcknowledged(e, o)
	case typeOpened:
		return s.foldOpened(e)
	case typeKey:
		return s.foldKey(e, o)
	case typeApp:
		b, err := read[appBody](e.Body)
		if err != nil {
			return nil, err
		}
		return s.foldApp(e, o, b.Name, &appRecord{b, e.At.UTC(), e.Actor})
	case typeAppRemoved:
		b, err := read[removedAppBody](e.Body)
		if err != nil {
			return nil, err
		}
		return s.foldApp(e, o, b.Name, nil)
	case typeRevoked:
		b, err := read[revokedBody](e.Body)
		k := s.keys[b.ID]
		if err == nil && (k == nil || !k.revokedAt.IsZero()) {
			err = fmt.Errorf("key %q is not in force: %w", b.ID, errForm)
		}
		o.DropKeys = []string{b.ID}
		return func() {
			k.revokedAt, k.revision = e.At.UTC(), s.revision
			s.weight -= weigh(s.stands(k.Key))
		}, err
	case typeListPut:
		return s.foldList(e, o)
	case typeListRemoved:
		return s.foldListRemoved(e, o)
	case typeMeasured:
		b, err := read[measuredBody](e.Body)
		return func() {
			for _, id := range b.Corrections {
				if r := s.corrections[id]; r != nil && r.revision == b.Revision {
					r.measured = &b
				}
			}
			s.learn(&b, e.At.UTC())
		}, err
	case typeJoined, typeDescribed:
		b, err := read[pointBody](e.Body)
		return func() { s.points[b.Name] = &b }, err
	case typeHold:
		_, err := read[holdBody](e.Body)
		return func() {}, err
	case typeRemoved:
		b, err := read[removedBody](e.Body)
		return func() { delete(s.points, b.Name) }, err
	}
	if steps[e.Type] != nil {
		return s.foldCustody(e)
	}
	if fold := folds[e.Type]; fold != nil {
		return fold(s, e, o)
	}
	return nil, errors.New("a type that this version does not know; use the version that wrote it, or a later one")
}

func (s *state) foldCreated(e ledger.Entry, o *order.Order, action, reason string, idem *idempotency, ru *ruling, cs ...correction.Correction) (func(), error) {
	records := make([]*record, 0, len(cs))
	for _, c := range cs {
		if c.ID == "" || s.corrections[c.ID] != nil {
			return nil, fmt.Errorf("correction %q is there already: %w", c.ID, errForm)
		}
		r := &record{Correction: c, createdBy: e.Actor}
		r.history = []change{{e.At.UTC(), e.Actor, action, reason, e.Seq}}
		r.weight = weigh(&c)
		if ru != nil {
			r.ruling = &ratified{ruling: *ru}
		}
		records = append(records, r)
		o.Put = append(o.Put, issued(c))
	}
	return func() {
		for _, r := range records {
			r.revision, r.changed = s.revision, e.At.UTC()
			s.corrections[r.ID] = r
			s.list = append(s.list, r)
			s.weight += r.weight
			s.nCorrections = max(s.nCorrections, number(r.ID, "c-"))
			s.authority.pulled(&r.Correction, e)
		}
		if idem != nil {
			s.requests[requestID{e.Actor, idem.Key}] = &answered{idem.Request, records[0].ID}
		}
	}, nil
}

func (s *state) foldChanged(e ledger.Entry, o *order.Order) (func(), error) {
	b, err := read[changedBody](e.Body)
	if err != nil {
		return nil, err
	}
	r := s.corrections[b.ID]
	if r == nil || r.gone != "" {
		return nil, fmt.Errorf("correction %q is not in force: %w", b.ID, errForm)
	}
	_, action, _ := strings.Cut(e.Type, ".")
	next, gone := r.Correction, ""
	if e.Type == typeLifted || e.Type == typeExpired {
		gone = action
		o.Drop = []string{b.ID}
	} else {
		if !b.ExpiresAt.IsZero() {
			next.ExpiresAt = b.ExpiresAt
		}
		if !b.ReviewBy.IsZero() {
			next.ReviewBy = b.ReviewBy
		}
		if e.Type == typeRaised {
			next.Params.Level, next.ReviewBy = b.Level, time.Time{} // the case is what people look at
		}
		o.Put = []correction.Correction{issued(next)}
	}
	return func() {
		r.Correction, r.gone, r.measured = next, gone, nil
		r.revision, r.changed = s.revision, e.At.UTC()
		r.history = append(r.history, change{e.At.UTC(), e.Actor, action, b.Reason, e.Seq})
		if op := s.operators[e.Actor]; e.Type == typeRatified && r.ratifies(op) {
			r.ruling.by = append(r.ruling.by, op.id)
			if note := s.kinOf(op, r.createdBy, e.At); note != "" {
				r.ruling.notes = append(r.ruling.notes, op.name+": "+note)
			}
		}
		s.weight -= r.weight
		r.weight = 0
		if gone == "" {
			r.weight = weigh(&next)
			s.weight += r.weight
		}
	}, nil
}

func (s *state) foldKey(e ledger.Entry, o *order.Order) (func(), error) {
	b, err := read[keyBody](e.Body)
	if err != nil {
		return nil, err
	}
	if b.Key.ID == "" || s.keys[b.Key.ID] != nil || s.keyHashes[b.Key.Hash] {
		return nil, fmt.Errorf("key %q is there already: %w", b.Key.ID, errForm)
	}
	o.PutKeys = []order.Key{s.stands(b.Key)}
	return func() {
		k := &keyRecord{Key: b.Key, createdAt: e.At.UTC(), createdBy: e.Actor, revision: s.revision}
		s.keys[k.ID] = k
		s.keyList = append(s.keyList, k)
		s.keyHashes[k.Hash] = true
		s.weight += weigh(s.stands(k.Key))
		s.nKeys = max(s.nKeys, number(k.ID, "k-"))
	}, nil
}

// issued is a correction as it stands in an order. A gateway compares the start
// with its own clock, so a start that is already past is left out: a gateway
// whose clock is behind would otherwise wait. Only a drain counts from it.
func issued(c correction.Correction) correction.Correction {
	if c.Level() != 2 {
		c.AppliedAt = time.Time{}
	}
	return c
}

// number reads n from "c-n"; 0 if it is something else.
func number(id, prefix string) int {
	rest, ok := strings.CutPrefix(id, prefix)
	n, err := strconv.Atoi(rest)
	if !ok || err != nil || n < 0 {
		return 0
	}
	return n
}

// weigh is about what v adds to a full state, in bytes.
func weigh(v any) int {
	b, err := json.Marshal(v)
	if err != nil {
		return 0
	}
	return len(b) + 1
}

// full is everything in force, as gateways get it when they resync.
func (s *state) full() order.State {
	st := order.State{Revision: s.revision, Head: s.head, IssuedAt: s.issued, Lists: s.listRefs()}
	for _, r := range s.list {
		if r.gone == "" {
			c := issued(r.Correction)
			st.Corrections = append(st.Corrections, &c)
		}
	}
	for _, k := range s.keyList {
		if k.revokedAt.IsZero() {
			st.Keys = append(st.Keys, s.stands(k.Key))
		}
	}
	for id := range s.adopted {
		st.Adopted = append(st.Adopted, id)
	}
	slices.SortFunc(st.Corrections, func(a, b *correction.Correction) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(st.Keys, func(a, b order.Key) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(st.Adopted)
	return st
}
