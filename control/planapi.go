package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// What became of the addresses in a plan that is shown.
const (
	addressesShown  = "shown"
	addressesHidden = "hidden" // from who only looks
	addressesErased = "erased"
	addressesNone   = "none"
)

// newPlan is a plan that is to be put in force.
type newPlan struct {
	Plan     jsontext.Value `json:"plan"`     // whole, with the addresses of contacts
	Files    string         `json:"files"`    // SHA-256 of the files that it was read from, in hex; "" if it was not
	Replaces *int           `json:"replaces"` // the version that its author has seen in force; 0: none
	Reason   string         `json:"reason"`
}

// planView is a version of the plan as the API shows it.
type planView struct {
	planVersion
	InForce   bool            `json:"in_force"`
	Addresses string          `json:"addresses"` // of contacts: shown, hidden, erased or none
	Files     string          `json:"files,omitempty"`
	Plan      *plan.Plan      `json:"plan"`
	Changes   []plan.Change   `json:"changes,omitempty"`   // in the answer that applies it: to the one before
	Warnings  []warning       `json:"warnings,omitempty"`  // likewise
	Signed    *jsontext.Value `json:"signed,omitempty"`    // DSSE envelope of the version by the key that signs orders
	Unchanged bool            `json:"unchanged,omitempty"` // it was in force already; nothing was written
}

// planVersions is a page of the versions, the latest first.
type planVersions struct {
	Versions []planVersion `json:"versions"`
	Next     int           `json:"next,omitempty"` // ?before= of the next page
}

// planProposal is a plan that waits for others.
type planProposal struct {
	Approval  string        `json:"approval"`
	Replaces  int           `json:"replaces"`
	Outdated  bool          `json:"outdated"` // another version is in force meanwhile
	Digest    string        `json:"digest"`
	Addresses string        `json:"addresses"`
	Reason    string        `json:"reason"`
	Plan      *plan.Plan    `json:"plan"`
	Changes   []plan.Change `json:"changes"` // to the version in force
}

// planFaulty is a plan's faults as a problem: some of them, and where to see all.
func planFaulty(err error) error {
	var faults plan.Faults
	if !errors.As(err, &faults) {
		return err
	}
	const most = 10
	var lines []string
	for i := range faults[:min(len(faults), most)] {
		lines = append(lines, faults[i].Error())
	}
	p := problem("plan_faulty", strings.Join(lines, "\n"))
	p.Field, p.Allowed = faults[0].Path, faults[0].Allowed
	p.Hint = "andon plan apply and andon plan diff say all that is wrong, with file, line and column"
	if more := len(faults) - most; more > 0 {
		p.Detail += fmt.Sprintf("\nand %d more", more)
	}
	return p
}

// postPlan puts a plan in force, or has others asked where the rules say so. The
// plan is checked anew and whole: nothing that a client checked counts.
func (c *Control) postPlan(cl *call) error {
	if err := cl.op.may("plan.apply"); err != nil {
		return err
	}
	glass, err := cl.breakGlass()
	if err != nil {
		return err
	}
	b, err := decode[newPlan](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if b.Replaces == nil || *b.Replaces < 0 {
		return badField("replaces", "missing: give the version that this plan replaces, 0 if there is none (GET /api/v1/plan says which is in force)")
	}
	if b.Files != "" && (len(b.Files) != 64 || strings.Trim(b.Files, "0123456789abcdef") != "") {
		return badField("files", "is no SHA-256 in lower-case hex")
	}
	if len(b.Plan) == 0 {
		return badField("plan", "missing")
	}
	p, err := plan.Parse(b.Plan)
	if err != nil {
		return planFaulty(err)
	}
	what, kept, err := c.planWhat(cl.r.Context(), p, &b)
	if err != nil {
		return err
	}
	changes, loosens := c.planChanges(p)
	act, written := "", false
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		drafts, id, err := c.draftAct(s, cl.op, wanted{question: authority.Question{Act: authority.ApplyPlan}, do: "plan", subject: "plan",
			says: fmt.Sprintf("put version %d of the plan in force (changes: %d, that loosen: %d)", s.plan.version()+1, len(changes), loosens),
			what: what, reason: b.Reason, glass: glass}, now)
		act, written = id, len(drafts) > 0
		if err != nil || !written || kept == nil {
			return drafts, err
		}
		return append([]draft{*kept}, drafts...), nil
	})
	if err != nil {
		return err
	}
	if act != "" {
		return c.waiting(cl, &waits{act})
	}
	c.mu.RLock()
	version := c.state.plan.version()
	warnings := c.state.planWarnings(p)
	c.mu.RUnlock()
	v, err := c.showPlan(cl, version)
	if err != nil {
		return err
	}
	v.Warnings = warnings
	if !written {
		v.Unchanged = true
		return cl.reply(http.StatusOK, v)
	}
	v.Changes = changes
	cl.w.Header().Set("Location", "/api/v1/plan/versions/"+strconv.Itoa(v.Version))
	return cl.reply(http.StatusCreated, v)
}

// planWhat is a plan as it is carried, and the draft that keeps its addresses
// beside the ledger's tree: nil where those of the version in force are the same.
func (c *Control) planWhat(ctx context.Context, p *plan.Plan, b *newPlan) (*planWhat, *draft, error) {
	raw, err := p.WithoutAddresses().Canonical()
	if err != nil {
		return nil, nil, err
	}
	digest, err := p.Digest()
	if err != nil {
		return nil, nil, err
	}
	w := &planWhat{Replaces: *b.Replaces, Digest: digest, Reason: b.Reason, Plan: raw}
	addresses := p.Addresses()
	if len(addresses) == 0 {
		return w, nil, nil
	}
	sealing, err := json.Marshal(planAddresses{b.Files, addresses}, json.Deterministic(true))
	if err != nil {
		return nil, nil, err
	}
	c.mu.RLock()
	last := c.state.plan.last()
	c.mu.RUnlock()
	if last != nil && last.addresses != "" {
		text, _, err := c.personal(ctx, last.addresses)
		var old planAddresses
		if err != nil {
			return nil, nil, err
		}
		if text != "" {
			err = json.Unmarshal([]byte(text), &old)
		}
		if err == nil && sameAddresses(old.Addresses, addresses) {
			w.Addresses = last.addresses
			return w, nil, nil
		}
	}
	if len(sealing) > ledger.MaxPersonal {
		return nil, nil, badField("plan.contacts", fmt.Sprintf("the addresses have %d bytes together; at most %d", len(sealing), ledger.MaxPersonal))
	}
	commitment, sealed := ledger.Commit(sealing)
	w.Addresses = commitment
	return w, &draft{typePlanAddresses, private{planAddressesBody{commitment}, map[string][]byte{commitment: sealed}}}, nil
}

func sameAddresses(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || !slices.Equal(v, w) {
			return false
		}
	}
	return true
}

// planChanges says what a plan changes of the one in force.
func (c *Control) planChanges(p *plan.Plan) (changes []plan.Change, loosens int) {
	c.mu.RLock()
	old := c.state.plan.current // which is never written to
	c.mu.RUnlock()
	changes = plan.Diff(old, p.WithoutAddresses())
	for _, ch := range changes {
		if ch.Loosens != "" {
			loosens++
		}
	}
	plan.Sort(changes)
	return changes, loosens
}

// maxPlanWarnings bounds the people that a plan warns of.
const maxPlanWarnings = 20

// planWarnings says what of a plan does not fit who is there. The caller holds mu.
func (s *state) planWarnings(p *plan.Plan) []warning {
	var out []warning
	said := map[string]bool{}
	for i, t := range p.Teams {
		for j, m := range t.Members {
			if said[m] || len(out) == maxPlanWarnings {
				continue
			}
			said[m] = true
			if s.operatorNamed(m) == nil {
				out = append(out, warning{"unknown_operator", fmt.Sprintf("teams[%d].members[%d]", i, j),
					strconv.Quote(short(m)) + " is in the plan and is no operator here: andon operators add"})
			}
		}
	}
	if a := authority.Ask(p.Authority, true, authority.Question{Act: authority.ApplyPlan}); !s.possible(a) {
		out = append(out, warning{"nobody_can", "authority", fmt.Sprintf("with the operators there are, nobody can put another plan in force but by breaking the glass: it takes %s. Make such operators", takesWords(a))})
	}
	return out
}

// takesWords says what an act takes: "administrator and 1 of commander or approver (rule x)".
func takesWords(a authority.Answer) string {
	return fmt.Sprintf("%s and %d of %s (rule %s)", orList(authority.SetOf(a.Roles...).Names()), a.Approvals, orList(authority.SetOf(a.Approvers...).Names()), strings.Join(a.Rules, ", "))
}

// possible says whether there are people enough to do something.
func (s *state) possible(a authority.Answer) bool {
	may, others := authority.SetOf(a.Roles...), authority.SetOf(a.Approvers...)
	for _, op := range s.operators {
		if !op.active() || !op.roles.Meets(may) {
			continue
		}
		n := 0
		for _, other := range s.operators {
			if other.active() && other != op && other.roles.Meets(others) {
				n++
			}
		}
		if n >= a.Approvals {
			return true
		}
	}
	return false
}

// locksOut refuses a plan under which nobody could be given a role any more: for
// that no glass can be broken, so there would be no way back.
func (s *state) locksOut(p *plan.Plan) error {
	a := authority.Ask(p.Authority, true, authority.Question{Act: authority.Staff})
	if s.possible(a) {
		return nil
	}
	x := problem("plan_locks_out", "with the operators there are, nobody could be given a role any more under this plan: it takes "+takesWords(a))
	x.Field, x.Hint = "authority", "make the people first: andon operators add NAME --role approver; then apply it"
	return x
}

func (c *Control) getPlan(cl *call) error {
	if err := cl.op.may("plan.read"); err != nil {
		return err
	}
	c.mu.RLock()
	version := c.state.plan.version()
	c.mu.RUnlock()
	if version == 0 {
		p := problem("no_plan", "no plan was put in force yet; built-in rules hold: one person may do what can be undone")
		p.Hint = "andon plan init writes an example; andon plan apply puts a plan in force"
		return p
	}
	v, err := c.showPlan(cl, version)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) getPlanVersion(cl *call) error {
	if err := cl.op.may("plan.read"); err != nil {
		return err
	}
	n, err := strconv.Atoi(cl.r.PathValue("n"))
	c.mu.RLock()
	last := c.state.plan.version()
	c.mu.RUnlock()
	if err != nil || n < 1 || n > last || strconv.Itoa(n) != cl.r.PathValue("n") {
		return problem("not_found", fmt.Sprintf("there is no version %s of the plan; %d versions are there, numbered from 1", strconv.Quote(short(cl.r.PathValue("n"))), last))
	}
	v, err := c.showPlan(cl, n)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// showPlan is a version with all that it says. What is not in memory is read from
// the ledger, so the caller holds no lock.
func (c *Control) showPlan(cl *call, n int) (*planView, error) {
	c.mu.RLock()
	v := &planView{planVersion: c.state.plan.versions[n-1], InForce: n == c.state.plan.version()}
	if v.InForce {
		v.Plan = c.state.plan.current
	}
	c.mu.RUnlock()
	ctx := cl.r.Context()
	if v.Plan == nil {
		err := c.cfg.Log.Read(ctx, v.Entry.Seq, v.Entry.Seq+1, func(e ledger.Entry) error {
			b, err := read[planBody](e.Body)
			if err == nil {
				v.Plan = &plan.Plan{}
				err = json.Unmarshal(b.Plan, v.Plan, json.RejectUnknownMembers(true))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read version %d of the plan: %w", n, err)
		}
	}
	var err error
	if v.Plan, v.Files, v.Addresses, err = c.addressed(ctx, cl.op, v.Plan, v.addresses); err != nil {
		return nil, err
	}
	root, err := c.rootSigner()
	var signed []byte
	if err == nil {
		signed, err = order.SignPlan(order.PlanVersion{Org: v.Org, Version: v.Version, Digest: v.Digest, Previous: v.Previous, At: v.AppliedAt, By: v.AppliedBy,
			Entry: order.LedgerRef{Seq: v.Entry.Seq, Type: v.Entry.Type, Hash: v.Entry.Hash}, Ledger: c.cfg.LedgerKey}, root)
	}
	if err != nil { // the ledger's checkpoint covers it all the same
		c.log.Warn("a version of the plan is shown without a signature of its own", "version", n, "error", err)
		return v, nil
	}
	v.Signed = (*jsontext.Value)(&signed)
	return v, nil
}

// addressed puts the addresses of contacts in, for who may see them.
func (c *Control) addressed(ctx context.Context, op *operator, p *plan.Plan, commitment string) (full *plan.Plan, files, state string, err error) {
	if commitment == "" {
		return p, "", addressesNone, nil
	}
	if !op.roles.Meets(readers | authority.SetOf(authority.Administrator)) {
		return p, "", addressesHidden, nil
	}
	text, erased, err := c.personal(ctx, commitment)
	if err != nil || erased {
		return p, "", addressesErased, err
	}
	var kept planAddresses
	if err := json.Unmarshal([]byte(text), &kept, json.RejectUnknownMembers(true)); err != nil {
		return nil, "", "", fmt.Errorf("read the plan's addresses: %w", err)
	}
	return p.WithAddresses(kept.Addresses), kept.Files, addressesShown, nil
}

// maxPlanPage bounds a page of versions.
const maxPlanPage = 200

func (c *Control) getPlanVersions(cl *call) error {
	if err := cl.op.may("plan.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	if err := onlyQuery(q, "before", "limit"); err != nil {
		return err
	}
	number := func(name string, standard, least, most int) (int, error) {
		text := q.Get(name)
		if text == "" {
			return standard, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			p := problem("invalid_query", fmt.Sprintf("%s must be a number from %d to %d", name, least, most))
			p.Field = name
			return 0, p
		}
		return n, nil
	}
	limit, err := number("limit", 50, 1, maxPlanPage)
	if err != nil {
		return err
	}
	before, err := number("before", 1<<31-1, 1, 1<<31-1)
	if err != nil {
		return err
	}
	list := planVersions{Versions: []planVersion{}}
	c.mu.RLock()
	for i := min(before-1, c.state.plan.version()) - 1; i >= 0; i-- {
		if len(list.Versions) == limit {
			list.Next = i + 2
			break
		}
		list.Versions = append(list.Versions, c.state.plan.versions[i])
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

// getPlanProposal shows a plan that waits for others, to those who answer.
func (c *Control) getPlanProposal(cl *call) error {
	if err := cl.op.may("plan.read"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	c.mu.RLock()
	act := c.state.authority.acts[id]
	version := c.state.plan.version()
	c.mu.RUnlock()
	if act == nil || act.Do != "plan" {
		return problem("not_found", "nothing called "+strconv.Quote(short(id))+" is a plan that waits for approval")
	}
	b, err := read[planWhat](act.What)
	if err != nil {
		return err
	}
	v := planProposal{Approval: id, Replaces: b.Replaces, Outdated: b.Replaces != version, Digest: b.Digest, Reason: b.Reason}
	var p plan.Plan
	if err := json.Unmarshal(b.Plan, &p, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	v.Changes, _ = c.planChanges(&p)
	if v.Plan, _, v.Addresses, err = c.addressed(cl.r.Context(), cl.op, &p, b.Addresses); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// getPlanSchema is the JSON Schema of a plan's files, for editors.
func (c *Control) getPlanSchema(cl *call) error {
	if err := cl.op.may("plan.read"); err != nil {
		return err
	}
	return cl.raw("application/json", plan.Schema(), nil)
}
