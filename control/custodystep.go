package control

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// custodyStep is one step on a case that may be changed: who does what, when.
type custodyStep struct {
	s      *state
	k      *custodyCase
	actor  string
	at     time.Time
	target string
}

// stepBody is what a step says. apply checks whether it may be done now, and does
// it; on error the case is of no use any more.
type stepBody interface{ apply(*custodyStep) error }

// steps make the bodies of the steps, by type.
var steps = map[string]func() stepBody{
	typeListed: func() stepBody { return new(copyStep) }, typeDeclared: func() stepBody { return new(inventoryStep) },
	typeOffered: func() stepBody { return new(transferStep) }, typeTaken: func() stepBody { return new(acceptStep) },
	typeCredential: func() stepBody { return new(credentialStep) }, typeProposed: func() stepBody { return new(proposeStep) },
	typeApproved: func() stepBody { return new(approveStep) }, typeWithdrawn: func() stepBody { return new(withdrawStep) },
	typeSealed: func() stepBody { return new(sealStep) }, typeUnsealed: func() stepBody { return new(unsealStep) },
	typeLegalHold: func() stepBody { return new(legalHoldStep) }, typeDestroying: func() stepBody { return new(destroyStep) },
	typeWitnessed: func() stepBody { return new(witnessStep) }, typeDestroyed: func() stepBody { return new(finishStep) },
}

func readStep(kind string, raw jsontext.Value) (stepBody, error) {
	step := steps[kind]()
	return step, json.Unmarshal(raw, step, json.RejectUnknownMembers(true))
}

// line asks for a text on one line.
func line(field, text string) error {
	if strings.TrimSpace(text) == "" {
		return badField(field, "missing: say it, for the record")
	}
	return checkLine(field, text, maxCustodyText)
}

func lines(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := line(pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// during refuses a step outside of some states of the case.
func (x *custodyStep) during(what string, states ...string) error {
	if !slices.Contains(states, x.k.State) {
		return outOfOrder(what, fmt.Sprintf("case %s is %s, and this belongs to one that is %s", x.k.ID, x.k.State, strings.Join(states, " or ")))
	}
	return nil
}

// unsettled forgets what rested on the inventory as it was.
func (x *custodyStep) unsettled() {
	x.k.Inventory = nil
	if m := x.k.Motion; m != nil {
		x.retire()
		m.Approvals, m.Begun = []approval{}, false
	}
}

// retire keeps a motion under which copies were destroyed: its approvals answer for
// them, whatever comes after it.
func (x *custodyStep) retire() {
	if m := x.k.Motion; m != nil && m.Begun {
		x.k.Carried = append(x.k.Carried, *m)
	}
}

// copyStep lists a copy.
type copyStep struct {
	Kind     string `json:"kind"`
	Location string `json:"location"`
	Holder   string `json:"holder"`
	Digest   string `json:"digest"`
}

func (b *copyStep) apply(x *custodyStep) error {
	if err := x.during("a copy can not be listed", caseOpen, caseSealed); err != nil {
		return err
	}
	if !slices.Contains(copyKinds, b.Kind) {
		return badField("kind", strconv.Quote(short(b.Kind))+" is no kind of copy", copyKinds...)
	}
	if err := lines("location", b.Location, "holder", b.Holder); err != nil {
		return err
	}
	if err := checkDigest(b.Digest); err != nil {
		return err
	}
	if len(x.k.Copies) >= maxCopies {
		return badField("kind", fmt.Sprintf("the case has %d copies; no more fit", maxCopies))
	}
	x.k.Copies = append(x.k.Copies, custodyCopy{ID: fmt.Sprintf("m-%d", len(x.k.Copies)+1), Kind: b.Kind, Location: b.Location, Holder: b.Holder, Digest: b.Digest, Status: copyListed})
	x.k.None = slices.DeleteFunc(x.k.None, func(kind string) bool { return kind == b.Kind })
	x.unsettled()
	return nil
}

func checkDigest(digest string) error {
	sum, ok := strings.CutPrefix(digest, "sha256:")
	if b, err := hex.DecodeString(sum); !ok || err != nil || len(b) != 32 || sum != strings.ToLower(sum) {
		return badField("digest", "is not sha256: and 64 lower-case hex digits")
	}
	return nil
}

// inventoryStep declares that every copy is listed.
type inventoryStep struct {
	None      []string `json:"none,omitempty"` // kinds of which there is no copy
	Statement string   `json:"statement"`
}

func (b *inventoryStep) apply(x *custodyStep) error {
	if err := x.during("the inventory can not be declared", caseOpen, caseSealed); err != nil {
		return err
	}
	if err := reasonField("statement", b.Statement); err != nil {
		return err
	}
	for i, kind := range b.None {
		if !slices.Contains(copyKinds, kind) {
			return badField(fmt.Sprintf("none[%d]", i), strconv.Quote(short(kind))+" is no kind of copy", copyKinds...)
		}
	}
	if len(x.k.Copies) == 0 {
		return outOfOrder("the inventory is not complete", "no copy is listed")
	}
	for _, kind := range copyKinds {
		listed := slices.ContainsFunc(x.k.Copies, func(c custodyCopy) bool { return c.Kind == kind })
		switch none := slices.Contains(b.None, kind); {
		case listed && none:
			return badField("none", "a copy of kind "+kind+" is listed")
		case !listed && !none:
			return outOfOrder("the inventory is not complete", "no copy of kind "+kind+" is listed; list them, or name the kind in none")
		}
	}
	x.k.None = append([]string{}, b.None...)
	x.k.Inventory = &statement{x.actor, x.at, b.Statement}
	return nil
}

// transferStep offers a copy to another operator, under seal.
type transferStep struct {
	Copy     string `json:"copy"`
	To       string `json:"to"` // an operator
	Holder   string `json:"holder"`
	Location string `json:"location"`
	Seal     string `json:"seal"`
}

func (b *transferStep) apply(x *custodyStep) error {
	if err := x.during("custody can not be handed over", caseOpen, caseSealed); err != nil {
		return err
	}
	c := x.k.copy(b.Copy)
	if c == nil {
		return badField("copy", "the case has no copy "+strconv.Quote(short(b.Copy)))
	}
	if err := lines("holder", b.Holder, "location", b.Location, "seal", b.Seal); err != nil {
		return err
	}
	switch {
	case c.Status == copyDestroying || c.Status == copyDestroyed:
		return outOfOrder("custody can not be handed over", "copy "+c.ID+" was destroyed")
	case !x.s.operators[b.To].active():
		return badField("to", "there is no operator "+strconv.Quote(short(b.To))+"; andon operators ls lists them")
	case b.To == x.actor:
		return badField("to", "who hands over can not be who takes: custody is signed by two")
	case c.Custodian != "" && c.Custodian != x.actor && x.s.operators[c.Custodian].active():
		return problem("not_independent", fmt.Sprintf("copy %s is in the custody of %s, who alone can hand it over", c.ID, c.Custodian))
	}
	x.k.Transfers = append(x.k.Transfers, custodyTransfer{ID: fmt.Sprintf("t-%d", len(x.k.Transfers)+1), Copy: c.ID, From: x.actor, To: b.To,
		Holder: b.Holder, Location: b.Location, Seal: b.Seal, OfferedAt: x.at})
	return nil
}

// acceptStep takes a copy over.
type acceptStep struct {
	Digest string `json:"digest"` // of what was received
}

func (b *acceptStep) apply(x *custodyStep) error {
	if err := x.during("custody can not be taken over", caseOpen, caseSealed); err != nil {
		return err
	}
	i := slices.IndexFunc(x.k.Transfers, func(t custodyTransfer) bool { return t.ID == x.target })
	if i < 0 {
		return problem("not_found", "the case has no transfer "+strconv.Quote(short(x.target)))
	}
	t := &x.k.Transfers[i]
	c := x.k.copy(t.Copy)
	switch {
	case !t.AcceptedAt.IsZero():
		return outOfOrder("custody can not be taken over", "transfer "+t.ID+" was accepted already")
	case t.To != x.actor:
		return problem("not_independent", fmt.Sprintf("transfer %s is to %s, who alone can accept it", t.ID, t.To))
	case slices.ContainsFunc(x.k.Transfers[i+1:], func(later custodyTransfer) bool { return later.Copy == t.Copy }):
		return outOfOrder("custody can not be taken over", "a later transfer of copy "+t.Copy+" takes its place")
	case c.Status == copyDestroying || c.Status == copyDestroyed:
		return outOfOrder("custody can not be taken over", "copy "+c.ID+" was destroyed")
	}
	if err := checkDigest(b.Digest); err != nil {
		return err
	}
	if b.Digest != c.Digest {
		return badField("digest", "is not that of copy "+c.ID+", which is "+c.Digest+": this is another thing than what is listed")
	}
	t.AcceptedAt = x.at
	c.Custodian, c.Holder, c.Location, c.Seal, c.Status = x.actor, t.Holder, t.Location, t.Seal, copySealed
	return nil
}

// credentialStep lists a credential, or records that it was withdrawn.
type credentialStep struct {
	Name      string `json:"name"`
	Withdrawn bool   `json:"withdrawn,omitzero"`
	Evidence  string `json:"evidence,omitempty"`
}

func (b *credentialStep) apply(x *custodyStep) error {
	if err := x.during("credentials can not be listed", caseOpen, caseSealed); err != nil {
		return err
	}
	if err := line("name", b.Name); err != nil {
		return err
	}
	i := slices.IndexFunc(x.k.Credentials, func(c custodyCredential) bool { return c.Name == b.Name })
	if i < 0 {
		x.k.Credentials, i = append(x.k.Credentials, custodyCredential{Name: b.Name}), len(x.k.Credentials)
	}
	if !b.Withdrawn {
		return nil
	}
	if err := line("evidence", b.Evidence); err != nil {
		return err
	}
	x.k.Credentials[i] = custodyCredential{b.Name, x.actor, x.at, b.Evidence}
	return nil
}

// proposeStep begins what takes a quorum. It takes the place of what was proposed
// before, and of its approvals.
type proposeStep struct {
	Action string `json:"action"`
	Reason string `json:"reason"`
}

func (b *proposeStep) apply(x *custodyStep) error {
	if err := actionGiven(b.Action); err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	state := caseSealed
	if b.Action == actionSeal {
		state = caseOpen
	}
	if err := x.during("it can not be proposed to "+b.Action+" it", state); err != nil {
		return err
	}
	if b.Action == actionDestroy {
		if lacks := x.k.lacksCopies(); len(lacks) > 0 {
			return outOfOrder("its destruction can not be proposed", lacks...)
		}
	}
	x.retire()
	x.k.Motion = &motion{Action: b.Action, By: x.actor, At: x.at, Reason: b.Reason, Approvals: []approval{}}
	return nil
}

func actionGiven(action string) error {
	if !slices.Contains(custodyActions, action) {
		return badField("action", strconv.Quote(short(action))+" is nothing that takes a quorum", custodyActions...)
	}
	return nil
}

// approveStep is one operator's yes.
type approveStep struct {
	Action string `json:"action"`
	Reason string `json:"reason"`
}

func (b *approveStep) apply(x *custodyStep) error {
	if err := actionGiven(b.Action); err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	m := x.k.Motion
	switch {
	case !x.k.live() || m == nil || m.Action != b.Action:
		return outOfOrder("there is nothing to approve", fmt.Sprintf("it is not proposed to %s case %s (it is %s)", b.Action, x.k.ID, x.k.State))
	case m.By == x.actor:
		return problem("not_independent", "you have proposed it; the quorum is of others")
	case slices.ContainsFunc(m.counted(x.s), func(a approval) bool { return a.By == x.actor }):
		return problem("not_independent", "you have approved it already; nobody counts twice")
	case !x.s.operators[x.actor].active():
		return problem("not_independent", "you are no longer an operator")
	}
	if b.Action == actionDestroy {
		lacks := x.k.lacksCopies()
		if hold := x.k.lacksHold(); hold != "" {
			lacks = append(lacks, hold)
		}
		if len(lacks) > 0 {
			return outOfOrder("its destruction can not be approved", lacks...)
		}
	}
	m.Approvals = append(m.Approvals, approval{By: x.actor, At: x.at, Reason: b.Reason, Counts: true})
	return nil
}

// withdrawStep takes back what was proposed; an open case ends with it.
type withdrawStep struct {
	Reason string `json:"reason"`
}

func (b *withdrawStep) apply(x *custodyStep) error {
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := x.during("nothing can be withdrawn", caseOpen, caseSealed); err != nil {
		return err
	}
	if x.k.State == caseSealed && x.k.Motion == nil {
		return outOfOrder("nothing can be withdrawn", "nothing is proposed; what is sealed is given back by a quorum (andon custody propose "+x.k.ID+" unseal)")
	}
	x.retire()
	if x.k.Motion = nil; x.k.State == caseOpen {
		x.k.State, x.k.ClosedAt = caseWithdrawn, x.at
	}
	return nil
}

// carry closes a motion that was carried out.
func (x *custodyStep) carry(state string) {
	m := *x.k.Motion
	m.Approvals = m.counted(x.s)
	x.k.Carried = append(x.k.Carried, m)
	x.end(state)
}

func (x *custodyStep) end(state string) { x.k.Motion, x.k.State, x.k.ClosedAt = nil, state, x.at }

// sealStep makes it L5.
type sealStep struct {
	Reason string `json:"reason"`
}

func (b *sealStep) apply(x *custodyStep) error {
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := x.during("it can not be sealed", caseOpen); err != nil {
		return err
	}
	if lacks := x.k.lacksSeal(x.s); len(lacks) > 0 {
		return outOfOrder("case "+x.k.ID+" can not be sealed yet", lacks...)
	}
	x.carry(caseSealed)
	return nil
}

// unsealStep gives the model back.
type unsealStep struct {
	Reason string `json:"reason"`
}

func (b *unsealStep) apply(x *custodyStep) error {
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := x.during("it can not be unsealed", caseSealed); err != nil {
		return err
	}
	if lacks := x.k.lacksQuorum(x.s, actionUnseal); lacks != "" {
		return outOfOrder("case "+x.k.ID+" can not be unsealed yet", lacks)
	}
	x.carry(caseUnsealed)
	return nil
}

func reasonField(field, text string) error {
	if err := reasonGiven(text); err != nil {
		p := err.(*Problem)
		p.Field = field
		return p
	}
	return nil
}
