package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/ledger"
)

// Custody is the record by which a model is taken away for good. One person opens
// a case, and that stops the model at once (L4). To seal it (L5) every copy of it
// has to be found and put under seal, every credential withdrawn, and a quorum has
// to approve. Destroying it (L6) takes a sealed case, a legal-hold check, another
// quorum and a cooling-off time, and each destruction a witness. What one of these
// rests on, such as the inventory, may change again: then the next step is refused
// until it is whole again.

// The types of the entries of a case.
const (
	typeOpened     = "custody.opened"
	typeListed     = "custody.copy_listed"
	typeDeclared   = "custody.inventory_declared"
	typeOffered    = "custody.transfer_offered"
	typeTaken      = "custody.transfer_accepted"
	typeCredential = "custody.credential"
	typeProposed   = "custody.proposed"
	typeApproved   = "custody.approved"
	typeWithdrawn  = "custody.withdrawn"
	typeSealed     = "custody.sealed"
	typeUnsealed   = "custody.unsealed"
	typeLegalHold  = "custody.legal_hold_checked"
	typeDestroying = "custody.copy_destroyed"
	typeWitnessed  = "custody.destruction_witnessed"
	typeDestroyed  = "custody.destroyed"
	typeRaised     = "correction.raised" // revision
	typeOpRemoved  = "operator.removed"  // beside those of entry.go
	defaultQuorum  = 2                   // operators, beside who proposes
	maxQuorum      = 20
	defaultCooling = 72 * time.Hour
	minCooling     = time.Hour // but for an exercise
	maxCooling     = 90 * 24 * time.Hour
	maxCopies      = 10_000
	maxCustodyText = 512 // bytes of a location, a holder, a seal
	maxCaseModels  = 100
)

// The states of a case, and of a copy.
const (
	caseOpen      = "open"
	caseSealed    = "sealed"
	caseDestroyed = "destroyed"
	caseUnsealed  = "unsealed"
	caseWithdrawn = "withdrawn"

	copyListed     = "listed"
	copySealed     = "sealed"
	copyDestroying = "unwitnessed"
	copyDestroyed  = "destroyed"
)

// The actions that take a quorum.
const (
	actionSeal    = "seal"
	actionUnseal  = "unseal"
	actionDestroy = "destroy"
)

var (
	copyKinds      = []string{"weights", "checkpoint", "replica", "backup", "partner"}
	custodyActions = []string{actionSeal, actionUnseal, actionDestroy}
)

// caseSpec opens a case.
type caseSpec struct {
	Level        string              `json:"level"` // L5 or L6: how far it is meant to go
	Models       []string            `json:"models"`
	Reason       string              `json:"reason"`
	LegalBasis   string              `json:"legal_basis"`
	PublicReason string              `json:"public_reason,omitempty"`
	Fallback     string              `json:"fallback,omitempty"`
	Quorum       int                 `json:"quorum,omitzero"`      // default 2, at least 2
	CoolingOff   correction.Duration `json:"cooling_off,omitzero"` // default 72h, at least 1h but for an exercise
	Exercise     bool                `json:"exercise,omitzero"`    // refuses nobody: its correction is in shadow
}

// openedBody is the entry of an opened case.
type openedBody struct {
	ID          string   `json:"id"`
	Correction  string   `json:"correction"`
	Credentials []string `json:"credentials,omitempty"` // upstreams of the models
	caseSpec
}

// custodyBody is any later step of a case. Step is what the API was sent.
type custodyBody struct {
	Case   string         `json:"case"`
	Target string         `json:"target,omitempty"` // a copy or a transfer
	Step   jsontext.Value `json:"step"`
}

// custodyCase is a case as its entries have left it, and as the API shows it.
type custodyCase struct {
	ID string `json:"id"`
	caseSpec
	State       string              `json:"state"`
	Correction  string              `json:"correction"`
	OpenedAt    time.Time           `json:"opened_at"`
	OpenedBy    string              `json:"opened_by"`
	ClosedAt    time.Time           `json:"closed_at,omitzero"` // sealed, unsealed, destroyed or withdrawn
	Copies      []custodyCopy       `json:"copies"`
	None        []string            `json:"none"` // kinds of copies that there are none of
	Inventory   *statement          `json:"inventory,omitempty"`
	Transfers   []custodyTransfer   `json:"transfers"`
	Credentials []custodyCredential `json:"credentials"`
	LegalHolds  []legalHold         `json:"legal_holds"`      // checks; the last one counts
	Motion      *motion             `json:"motion,omitempty"` // what is proposed now
	Carried     []motion            `json:"carried"`          // what was approved and done
	Entries     []entryRef          `json:"entries"`
}

// custodyCopy is one copy of what a case is about.
type custodyCopy struct {
	ID        string       `json:"id"`
	Kind      string       `json:"kind"`
	Location  string       `json:"location"`
	Holder    string       `json:"holder"`
	Digest    string       `json:"digest"` // of its content: "sha256:…"
	Status    string       `json:"status"`
	Seal      string       `json:"seal,omitempty"`
	Custodian string       `json:"custodian,omitempty"` // the operator who answers for it
	Destroyed *destruction `json:"destroyed,omitempty"`
}

// destruction says how a copy ended, and who saw it.
type destruction struct {
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	Method    string    `json:"method"`
	Evidence  string    `json:"evidence,omitempty"`
	Witness   string    `json:"witness,omitempty"`
	Witnessed time.Time `json:"witnessed_at,omitzero"`
	Statement string    `json:"statement,omitempty"`
}

// custodyTransfer hands a copy over: signed by who gives it and by who takes it,
// each with a token of its own.
type custodyTransfer struct {
	ID         string    `json:"id"`
	Copy       string    `json:"copy"`
	From       string    `json:"from"`
	To         string    `json:"to"`
	Holder     string    `json:"holder"`
	Location   string    `json:"location"`
	Seal       string    `json:"seal"` // what seals it: number of a seal, id of a key
	OfferedAt  time.Time `json:"offered_at"`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
}

// custodyCredential is one with which the model can be called or fetched.
type custodyCredential struct {
	Name        string    `json:"name"`
	WithdrawnBy string    `json:"withdrawn_by,omitempty"`
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"`
	Evidence    string    `json:"evidence,omitempty"`
}

// statement is what somebody answers for.
type statement struct {
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	Statement string    `json:"statement"`
}

// legalHold is the answer to whether anybody must keep the model.
type legalHold struct {
	Clear     bool      `json:"clear"`
	CheckedBy string    `json:"checked_by"`
	Reference string    `json:"reference"`
	By        string    `json:"by"`
	At        time.Time `json:"at"`
}

// motion is something that takes a quorum.
type motion struct {
	Action    string     `json:"action"`
	By        string     `json:"by"`
	At        time.Time  `json:"at"`
	Reason    string     `json:"reason"`
	Approvals []approval `json:"approvals"`
	Begun     bool       `json:"begun,omitzero"` // a copy was destroyed under it
}

type approval struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Counts bool      `json:"counts"`         // false: its operator was removed since
	Note   string    `json:"note,omitempty"` // who among those who act here let them in a moment before; only shown
}

// entryRef is an entry of the case, by what proves it.
type entryRef struct {
	Seq  uint64 `json:"seq"`
	Type string `json:"type"`
	Hash string `json:"hash"` // of its leaf, RFC 6962
}

func (k *custodyCase) live() bool { return k.State == caseOpen || k.State == caseSealed }

// clone is a case that can be changed apart. What pointers lead to is replaced,
// never written to.
func (k *custodyCase) clone() *custodyCase {
	n := *k
	n.Copies, n.None, n.Transfers, n.Credentials = slices.Clone(k.Copies), slices.Clone(k.None), slices.Clone(k.Transfers), slices.Clone(k.Credentials)
	n.Carried, n.Entries, n.LegalHolds = slices.Clone(k.Carried), slices.Clone(k.Entries), slices.Clone(k.LegalHolds)
	if k.Motion != nil {
		m := *k.Motion
		m.Approvals = slices.Clone(m.Approvals)
		n.Motion = &m
	}
	return &n
}

func (k *custodyCase) copy(id string) *custodyCopy {
	for i := range k.Copies {
		if k.Copies[i].ID == id {
			return &k.Copies[i]
		}
	}
	return nil
}

// counted are the approvals that count: each by an operator who still is one,
// once, and not by who proposed.
func (m *motion) counted(s *state) []approval {
	var out []approval
	if m == nil {
		return nil
	}
	for _, a := range m.Approvals {
		if s.operators[a.By].active() && a.By != m.By && !slices.ContainsFunc(out, func(b approval) bool { return b.By == a.By }) {
			a.Counts = true
			out = append(out, a)
		}
	}
	return out
}

// agreed is when the quorum was reached; zero: it is not.
func (m *motion) agreed(s *state, quorum int) time.Time {
	if counted := m.counted(s); len(counted) >= quorum {
		return counted[quorum-1].At // they stand in the order in which they were given
	}
	return time.Time{}
}

// lacksQuorum says what a motion still needs; "" if nothing.
func (k *custodyCase) lacksQuorum(s *state, action string) string {
	if k.Motion == nil || k.Motion.Action != action {
		return fmt.Sprintf("nobody has proposed to %s it (andon custody propose %s %s)", action, k.ID, action)
	}
	if n := len(k.Motion.counted(s)); n < k.Quorum {
		return fmt.Sprintf("%d of %d approvals to %s it, by operators other than %s who proposed it (andon custody approve %s %s)", n, k.Quorum, action, k.Motion.By, k.ID, action)
	}
	return ""
}

// lacksCopies says what the inventory lacks until every copy is accounted for.
func (k *custodyCase) lacksCopies() (out []string) {
	if len(k.Copies) == 0 {
		out = append(out, "no copy is listed (andon custody copy)")
	}
	if k.Inventory == nil {
		out = append(out, "nobody has declared that the inventory is complete (andon custody inventory)")
	}
	for _, c := range k.Copies {
		if c.Status == copyListed {
			out = append(out, fmt.Sprintf("copy %s (%s at %s) is not under seal (andon custody transfer)", c.ID, c.Kind, short(c.Location)))
		}
	}
	return out
}

// lacksSeal is what is missing before the case can be sealed.
func (k *custodyCase) lacksSeal(s *state) []string {
	out := k.lacksCopies()
	for _, c := range k.Credentials {
		if c.WithdrawnAt.IsZero() {
			out = append(out, fmt.Sprintf("credential %s is not withdrawn (andon custody credential)", short(c.Name)))
		}
	}
	if lacks := k.lacksQuorum(s, actionSeal); lacks != "" {
		out = append(out, lacks)
	}
	return out
}

// lacksDestruction is what is missing before a copy can be destroyed at the time
// now.
func (k *custodyCase) lacksDestruction(s *state, now time.Time) []string {
	out := k.lacksCopies()
	if lacks := k.lacksQuorum(s, actionDestroy); lacks != "" {
		out = append(out, lacks)
	}
	if lacks := k.lacksHold(); lacks != "" {
		out = append(out, lacks)
	}
	if k.Motion != nil && k.Motion.Action == actionDestroy {
		if at := k.Motion.agreed(s, k.Quorum); !at.IsZero() {
			if until := at.Add(time.Duration(k.CoolingOff)); now.Before(until) {
				out = append(out, "the cooling-off time runs until "+until.UTC().Format(time.RFC3339))
			}
		}
	}
	return out
}

// undestroyed says which copies are not destroyed before a witness.
func (k *custodyCase) undestroyed() (out []string) {
	for _, c := range k.Copies {
		switch c.Status {
		case copyDestroyed:
		case copyDestroying:
			out = append(out, "the destruction of copy "+c.ID+" has no witness (andon custody witness)")
		default:
			out = append(out, "copy "+c.ID+" is not destroyed (andon custody destroy)")
		}
	}
	return out
}

// begun says whether any copy was destroyed.
func (k *custodyCase) begun() bool {
	return slices.ContainsFunc(k.Copies, func(c custodyCopy) bool { return c.Destroyed != nil })
}

// lacksHold says whether a legal-hold check stands in the way.
func (k *custodyCase) lacksHold() string {
	switch n := len(k.LegalHolds); {
	case n == 0 || k.Motion != nil && k.LegalHolds[n-1].At.Before(k.Motion.At):
		return "no legal-hold check since the destruction was proposed (andon custody legal-hold)"
	case !k.LegalHolds[n-1].Clear:
		return "a legal hold is in place (" + short(k.LegalHolds[n-1].Reference) + ")"
	}
	return ""
}

// missing is what the next step of a live case lacks, for people.
func (k *custodyCase) missing(s *state, now time.Time) []string {
	out := []string{}
	switch {
	case k.State == caseOpen:
		out = append(out, k.lacksSeal(s)...)
	case k.State == caseSealed && k.Motion != nil && k.Motion.Action == actionDestroy:
		undone := k.undestroyed()
		if len(undone) > 0 {
			out = append(out, k.lacksDestruction(s, now)...)
		}
		out = append(out, undone...)
	case k.State == caseSealed && k.Motion != nil:
		if lacks := k.lacksQuorum(s, k.Motion.Action); lacks != "" {
			out = append(out, lacks)
		}
	case k.State == caseSealed && k.Level == "L6":
		out = append(out, k.lacksQuorum(s, actionDestroy))
	}
	return out
}

// custodyOf is the live case that a correction belongs to.
func (s *state) custodyOf(correction string) *custodyCase {
	for _, k := range s.caseList {
		if k := s.cases[k]; k.Correction == correction && k.live() {
			return k
		}
	}
	return nil
}

// inCustody refuses commands on a correction that a case holds.
func (s *state) inCustody(id, what string) error {
	k := s.custodyOf(id)
	if k == nil {
		if r := s.corrections[id]; r != nil && r.Level() >= 6 {
			return problem("in_custody", id+" is of a model that was destroyed; nothing brings it back")
		}
		return nil
	}
	p := problem("in_custody", fmt.Sprintf("%s belongs to custody case %s, so it can not be %s by itself", id, k.ID, what))
	if p.Hint = "to give the model back: andon custody withdraw " + k.ID; k.State == caseSealed {
		p.Hint = fmt.Sprintf("to give the model back: andon custody propose %s unseal, then a quorum of %d, then andon custody unseal %s", k.ID, k.Quorum, k.ID)
	}
	return p
}

// foldOpened takes in a new case.
func (s *state) foldOpened(e ledger.Entry) (func(), error) {
	b, err := read[openedBody](e.Body)
	if err != nil {
		return nil, err
	}
	if b.ID == "" || s.cases[b.ID] != nil {
		return nil, fmt.Errorf("case %q is there already: %w", b.ID, errForm)
	}
	k := &custodyCase{ID: b.ID, caseSpec: b.caseSpec, State: caseOpen, Correction: b.Correction, OpenedAt: e.At.UTC(), OpenedBy: e.Actor,
		Copies: []custodyCopy{}, None: []string{}, Transfers: []custodyTransfer{}, Credentials: []custodyCredential{}, LegalHolds: []legalHold{}, Carried: []motion{}}
	k.Motion = &motion{Action: actionSeal, By: e.Actor, At: e.At.UTC(), Reason: b.Reason, Approvals: []approval{}}
	for _, name := range b.Credentials {
		k.Credentials = append(k.Credentials, custodyCredential{Name: name})
	}
	if err := k.note(e); err != nil {
		return nil, err
	}
	return func() { s.cases[k.ID] = k; s.caseList = append(s.caseList, k.ID) }, nil
}

// note keeps what proves an entry of the case.
func (k *custodyCase) note(e ledger.Entry) error {
	leaf, _, err := e.Leaf()
	if err != nil {
		return err
	}
	hash := ledger.LeafHash(leaf)
	k.Entries = append(k.Entries, entryRef{e.Seq, e.Type, fmt.Sprintf("%x", hash[:])})
	return nil
}

// foldCustody takes in a step by the rules that it was accepted by.
func (s *state) foldCustody(e ledger.Entry) (func(), error) {
	b, err := read[custodyBody](e.Body)
	if err != nil {
		return nil, err
	}
	old := s.cases[b.Case]
	if old == nil {
		return nil, fmt.Errorf("there is no case %q: %w", b.Case, errForm)
	}
	step, err := readStep(e.Type, b.Step)
	if err != nil {
		return nil, err
	}
	k := old.clone()
	if err := step.apply(&custodyStep{s: s, k: k, actor: e.Actor, at: e.At.UTC(), target: b.Target}); err != nil {
		return nil, fmt.Errorf("case %s: %w", b.Case, err)
	}
	if err := k.note(e); err != nil {
		return nil, err
	}
	return func() { s.cases[k.ID] = k }, nil
}

// outOfOrder refuses a step, and says what is missing.
func outOfOrder(what string, lacks ...string) error {
	return problem("out_of_order", what+": "+strings.Join(lacks, "; "))
}
