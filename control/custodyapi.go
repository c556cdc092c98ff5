package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/correction"
	"andon/order"
)

// caseView is a case as the API shows it.
type caseView struct {
	custodyCase
	Missing    []string  `json:"missing"`              // before the next step
	Agreed     time.Time `json:"agreed_at,omitzero"`   // when the quorum of the motion was reached
	CoolsUntil time.Time `json:"cools_until,omitzero"` // of a destruction
}

type caseList struct {
	Cases []caseView `json:"cases"`
}

// viewCase shows a case. The caller holds mu.
func (c *Control) viewCase(k *custodyCase) caseView {
	v := caseView{custodyCase: *k.clone(), Missing: k.missing(c.state, c.early())}
	for i := range v.Carried {
		v.Carried[i].Approvals = slices.Clone(v.Carried[i].Approvals)
		c.state.showKin(&v.Carried[i])
	}
	if m := v.Motion; m != nil {
		c.state.showKin(m)
		for i := range m.Approvals {
			m.Approvals[i].Counts = c.state.operators[m.Approvals[i].By].active()
		}
		v.Agreed = m.agreed(c.state, k.Quorum)
		if m.Action == actionDestroy && !v.Agreed.IsZero() {
			v.CoolsUntil = v.Agreed.Add(time.Duration(k.CoolingOff))
		}
	}
	return v
}

// showKin notes who among those who moved and agreed let another in a moment before.
func (s *state) showKin(m *motion) {
	all := []string{m.By}
	for _, a := range m.Approvals {
		all = append(all, a.By)
	}
	for i := range m.Approvals {
		a := &m.Approvals[i]
		a.Note = s.kin(s.operators[a.By], a.At, all...)
	}
}

func (c *Control) showCase(id string) (caseView, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k := c.state.cases[id]
	if k == nil {
		return caseView{}, problem("not_found", "there is no custody case "+strconv.Quote(short(id)))
	}
	return c.viewCase(k), nil
}

func (c *Control) getCases(cl *call) error {
	if err := cl.op.may("custody.read"); err != nil {
		return err
	}
	list := caseList{Cases: []caseView{}}
	c.mu.RLock()
	for _, id := range c.state.caseList {
		list.Cases = append(list.Cases, c.viewCase(c.state.cases[id]))
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

func (c *Control) getCase(cl *call) error {
	if err := cl.op.may("custody.read"); err != nil {
		return err
	}
	v, err := c.showCase(cl.r.PathValue("id"))
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// check fills in what a case was not given, and refuses what can not be.
func (b *caseSpec) check() error {
	if b.Level != "L5" && b.Level != "L6" {
		return badField("level", strconv.Quote(short(b.Level))+" is no level of custody", "L5", "L6")
	}
	if len(b.Models) == 0 || len(b.Models) > maxCaseModels {
		return badField("models", fmt.Sprintf("has %d names; give 1 to %d", len(b.Models), maxCaseModels))
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := reasonField("legal_basis", b.LegalBasis); err != nil {
		return err
	}
	if b.Quorum == 0 {
		b.Quorum = defaultQuorum
	}
	if b.Quorum < defaultQuorum || b.Quorum > maxQuorum {
		return badField("quorum", fmt.Sprintf("%d is out of bounds; give %d to %d operators, beside who proposes", b.Quorum, defaultQuorum, maxQuorum))
	}
	if b.CoolingOff == 0 {
		b.CoolingOff = correction.Duration(defaultCooling)
	}
	least := minCooling
	if b.Exercise {
		least = time.Nanosecond
	}
	if d := time.Duration(b.CoolingOff); d < least || d > maxCooling {
		return badField("cooling_off", d.String()+" is out of bounds; give 1h to 90d, or less in an exercise")
	}
	return nil
}

// postCase opens a case. The model is stopped with it, by one person: to tighten
// waits for nobody.
func (c *Control) postCase(cl *call) error {
	if err := cl.op.may("custody.open"); err != nil {
		return err
	}
	spec, err := decode[caseSpec](cl)
	if err != nil {
		return err
	}
	if err := spec.check(); err != nil {
		return err
	}
	slices.Sort(spec.Models)
	spec.Models = slices.Compact(spec.Models)
	known := c.models()
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		for _, other := range s.caseList {
			k := s.cases[other]
			for _, m := range spec.Models {
				if k.live() && slices.Contains(k.Models, m) {
					return nil, problem("in_custody", m+" is in custody already, by case "+k.ID)
				}
			}
		}
		cor := correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L4"}, Scope: correction.Scope{Models: spec.Models},
			Reason: spec.Reason, PublicReason: spec.PublicReason, Fallback: spec.Fallback}
		if spec.Exercise {
			cor.Mode = correction.Shadow
		}
		cor, err := c.check(cor, now)
		if err != nil {
			return nil, err
		}
		id = "case-" + strconv.Itoa(len(s.caseList)+1)
		cor.ID, cor.AppliedAt, cor.ReviewBy = "c-"+strconv.Itoa(s.nCorrections+1), c.early(), time.Time{}
		b := openedBody{ID: id, Correction: cor.ID, caseSpec: spec}
		for _, m := range spec.Models {
			if up := known[m].Upstream; up != "" && !slices.Contains(b.Credentials, "upstream "+up) {
				b.Credentials = append(b.Credentials, "upstream "+up)
			}
		}
		if err := s.room(weigh(&cor)); err != nil {
			return nil, err
		}
		a := s.ask(authority.Question{Act: authority.Irreversible, Kind: string(correction.Stop), Level: spec.Level})
		spec.Quorum = max(spec.Quorum, a.Approvals)
		ru, err := c.rule(s, cl.op, &cor, nil, now)
		if err != nil {
			return nil, err
		}
		// The stop first: the record shows that nothing waited for the case.
		return []draft{{typeCreated, createdBody{Correction: cor, Ruling: ru}}, {typeOpened, b}}, nil
	})
	if err != nil {
		return err
	}
	v, err := c.showCase(id)
	if err != nil {
		return err
	}
	cl.w.Header().Set("Location", "/api/v1/custody/"+id)
	return cl.reply(http.StatusCreated, v)
}

// custodyPost is the route of one kind of step.
func custodyPost[T any](kind string) func(*Control, *call) error {
	return func(c *Control, cl *call) error {
		if err := cl.op.may(kind); err != nil {
			return err
		}
		if irreversible[kind] {
			if err := cl.stepUp(kind); err != nil {
				return err
			}
		}
		b, err := decode[T](cl)
		if err != nil {
			return err
		}
		target := cl.r.PathValue("copy") + cl.r.PathValue("transfer")
		if err := c.custodyStep(cl.r.Context(), cl.op, cl.r.PathValue("id"), target, kind, any(&b).(stepBody)); err != nil {
			return err
		}
		v, err := c.showCase(cl.r.PathValue("id"))
		if err != nil {
			return err
		}
		return cl.reply(http.StatusOK, v)
	}
}

// custodyStep takes one step on a case, with what it does to the model.
func (c *Control) custodyStep(ctx context.Context, op *operator, id, target, kind string, step stepBody) error {
	raw, err := json.Marshal(step, json.Deterministic(true))
	if err != nil {
		return err
	}
	b, act := custodyBody{Case: id, Target: target, Step: jsontext.Value(raw)}, ""
	_, err = c.execute(ctx, op.id, func(s *state, now time.Time) (drafts []draft, err error) {
		act = ""
		if k := s.cases[id]; kind == typeWithdrawn && k != nil && k.State == caseOpen { // its stop ends with it
			r := s.corrections[k.Correction]
			w := wanted{question: s.question(authority.Loosen, &r.Correction, r.share()), do: "withdraw", subject: id,
				says: "withdraw custody case " + id + " and lift " + r.ID + " (" + correctionFully(&r.Correction) + ")", what: b, reason: "withdraw custody case " + id}
			if given, ok := step.(*withdrawStep); ok {
				w.reason = given.Reason
			}
			drafts, act, err = c.draftAct(s, op, w, now)
			return drafts, err
		}
		return c.draftCustody(s, op, kind, b, step, now)
	})
	if err == nil && act != "" {
		return &waits{act}
	}
	return err
}

// doWithdraw carries out what was agreed to: an open case ends, and its stop with it.
func doWithdraw(c *Control, s *state, op *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	b, err := read[custodyBody](what)
	if err != nil {
		return nil, err
	}
	step, err := readStep(typeWithdrawn, b.Step)
	if err != nil {
		return nil, err
	}
	if k := s.cases[b.Case]; k != nil && k.State != caseOpen {
		return nil, outOfOrder("case "+b.Case+" can not be withdrawn", "it is "+k.State)
	}
	return c.draftCustody(s, op, typeWithdrawn, b, step, now)
}

// draftCustody drafts a step on a case, with what it does to the model.
func (c *Control) draftCustody(s *state, op *operator, kind string, b custodyBody, step stepBody, now time.Time) ([]draft, error) {
	old := s.cases[b.Case]
	if old == nil {
		return nil, problem("not_found", "there is no custody case "+strconv.Quote(short(b.Case)))
	}
	if !s.operators[op.id].active() {
		return nil, problem("not_independent", "you are no longer an operator")
	}
	if err := s.custodyAuthority(op, old, kind); err != nil {
		return nil, err
	}
	k := old.clone()
	if err := step.apply(&custodyStep{s: s, k: k, actor: op.id, at: now, target: b.Target}); err != nil {
		return nil, err
	}
	if kind == typeDestroying { // a clock that jumped ahead ends no cooling-off
		if lacks := old.lacksDestruction(s, c.early()); len(lacks) > 0 {
			return nil, outOfOrder("copy "+short(b.Target)+" can not be destroyed yet", lacks...)
		}
	}
	drafts := []draft{{kind, b}}
	change := changedBody{ID: k.Correction, Reason: "custody case " + b.Case}
	switch {
	case k.State == old.State:
	case k.State == caseSealed, k.State == caseDestroyed:
		if change.Level = "L5"; k.State == caseDestroyed {
			change.Level = "L6"
		}
		drafts = append(drafts, draft{typeRaised, change})
	default: // withdrawn or unsealed
		drafts = append(drafts, draft{typeLifted, change})
	}
	return drafts, nil
}

// custodyAuthority says whether an operator may take the steps of a case that
// decide: to propose what cannot be undone, to agree to it, and to carry it out,
// for which only those count who still have a role that agrees.
func (s *state) custodyAuthority(op *operator, k *custodyCase, kind string) error {
	q := authority.Question{Act: authority.Irreversible, Kind: string(correction.Stop), Level: k.Level}
	switch kind {
	case typeProposed:
		_, err := s.require(op, q)
		return err
	case typeApproved, typeTaken, typeWitnessed:
		if err := op.ownHand(); err != nil || kind != typeApproved {
			return err
		}
		a := s.ask(q)
		approvers := authority.SetOf(a.Approvers...)
		if !op.roles.Meets(approvers) {
			p := problem("not_authorised", fmt.Sprintf("to approve it takes the role %s (rule %s); you have %s", orList(approvers.Names()), strings.Join(a.Rules, ", "), op.roles))
			p.Allowed = approvers.Names()
			return p
		}
		if m := k.Motion; m != nil && !s.operators[op.id].heldAt(approvers, m.At) {
			p := problem("not_independent", "you were given the role after it was proposed: else who proposes could choose who agrees")
			p.Hint = "whoever proposed it can do so anew (andon custody propose), and the approvals begin anew"
			return p
		}
	case typeSealed, typeUnsealed, typeDestroying:
		approvers, counted := authority.SetOf(s.ask(q).Approvers...), k.Motion.counted(s)
		still := slices.DeleteFunc(slices.Clone(counted), func(a approval) bool { return !s.operators[a.By].roles.Meets(approvers) })
		if len(counted) >= k.Quorum && len(still) < k.Quorum {
			return outOfOrder("the quorum does not hold any more", fmt.Sprintf("%d of %d who agreed still have the role %s", len(still), k.Quorum, orList(approvers.Names())))
		}
	}
	return nil
}

// getCertificate says what became of a model that was sealed or destroyed, for
// whoever has no access to this.
func (c *Control) getCertificate(cl *call) error {
	if err := cl.op.may("custody.read"); err != nil {
		return err
	}
	c.mu.RLock()
	k := c.state.cases[cl.r.PathValue("id")]
	var cert order.Certificate
	if k != nil {
		cert = c.state.certificate(k)
	}
	c.mu.RUnlock()
	switch {
	case k == nil:
		return problem("not_found", "there is no custody case "+strconv.Quote(short(cl.r.PathValue("id"))))
	case k.State != caseSealed && k.State != caseDestroyed:
		return outOfOrder("there is nothing to certify", "case "+k.ID+" is "+k.State+"; a certificate is of a model that is sealed or destroyed")
	case k.State == caseSealed && (k.begun() || k.Inventory == nil || len(k.lacksCopies()) > 0):
		return outOfOrder("the seal can not be certified now", append(k.lacksCopies(), "its destruction has begun, or a copy was found that is not under seal")...)
	}
	cert.Ledger = c.cfg.LedgerKey
	root, err := c.rootSigner()
	if err != nil {
		return err
	}
	signed, err := order.SignCertificate(cert, root)
	if err != nil {
		return err
	}
	cl.w.Header().Set("Content-Type", "application/json")
	cl.w.Write(append(signed, '\n'))
	return nil
}

// certificate is what the entries of a case say of it.
func (s *state) certificate(k *custodyCase) order.Certificate {
	person := func(id string) order.Person {
		p := order.Person{ID: id}
		if op := s.operators[id]; op != nil {
			p.Name, p.MadeBy = op.name, op.by
		}
		return p
	}
	cert := order.Certificate{Case: k.ID, State: k.State, Level: "L5", Models: k.Models, Exercise: k.Exercise, Correction: k.Correction,
		Reason: k.Reason, LegalBasis: k.LegalBasis, OpenedAt: k.OpenedAt, OpenedBy: person(k.OpenedBy), ClosedAt: k.ClosedAt,
		Quorum: k.Quorum, CoolingOff: k.CoolingOff, None: k.None}
	if k.State == caseDestroyed {
		cert.Level = "L6"
	}
	if k.Inventory != nil {
		cert.Inventory = order.Statement{By: person(k.Inventory.By), At: k.Inventory.At, Statement: k.Inventory.Statement}
	}
	for _, m := range k.Carried {
		d := order.Resolution{Action: m.Action, By: person(m.By), At: m.At, Reason: m.Reason}
		for _, a := range m.Approvals {
			d.Approvals = append(d.Approvals, order.Statement{By: person(a.By), At: a.At, Statement: a.Reason})
		}
		cert.Resolutions = append(cert.Resolutions, d)
	}
	for _, c := range k.Copies {
		o := order.CustodyCopy{ID: c.ID, Kind: c.Kind, Location: c.Location, Holder: c.Holder, Digest: c.Digest, Seal: c.Seal, Custodian: person(c.Custodian)}
		if d := c.Destroyed; d != nil {
			o.Destroyed = &order.Destruction{By: person(d.By), At: d.At, Method: d.Method, Evidence: d.Evidence,
				Witness: person(d.Witness), WitnessedAt: d.Witnessed, Statement: d.Statement}
		}
		cert.Copies = append(cert.Copies, o)
	}
	for _, t := range k.Transfers {
		if !t.AcceptedAt.IsZero() {
			cert.Transfers = append(cert.Transfers, order.Transfer{Copy: t.Copy, From: person(t.From), To: person(t.To), Seal: t.Seal, OfferedAt: t.OfferedAt, AcceptedAt: t.AcceptedAt})
		}
	}
	for _, cr := range k.Credentials {
		cert.Credentials = append(cert.Credentials, order.WithdrawnCredential{Name: cr.Name, By: person(cr.WithdrawnBy), At: cr.WithdrawnAt, Evidence: cr.Evidence})
	}
	for _, h := range k.LegalHolds {
		cert.LegalHolds = append(cert.LegalHolds, order.LegalHold{Clear: h.Clear, CheckedBy: h.CheckedBy, Reference: h.Reference, By: person(h.By), At: h.At})
	}
	for _, e := range k.Entries {
		cert.Entries = append(cert.Entries, order.LedgerRef{Seq: e.Seq, Type: e.Type, Hash: e.Hash})
	}
	return cert
}
