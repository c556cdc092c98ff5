package control

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// This room holds the plan in force and its versions. A version is one entry of
// the ledger, with the whole plan; the addresses of contacts stand beside the
// tree, since they are people's. What is in force already is never changed by a
// new plan: it is about what is decided from then on.

const (
	typePlan          = "plan.applied"
	typePlanAddresses = "plan.addresses" // carries them beside the tree, before a plan is proposed or applied
)

// planState is the plan in force with how it came about.
type planState struct {
	current  *plan.Plan // without addresses; nil: none was applied yet. Not to be changed
	versions []planVersion
}

// planVersion is one version, without what it says.
type planVersion struct {
	Version   int       `json:"version"` // from 1
	Org       string    `json:"org"`
	Digest    string    `json:"digest"`             // SHA-256 of the plan's canonical JSON without addresses, in hex
	Previous  string    `json:"previous,omitempty"` // digest of the version before
	Reason    string    `json:"reason"`
	AppliedAt time.Time `json:"applied_at"`
	AppliedBy string    `json:"applied_by"` // operator who asked for it
	Entry     entryRef  `json:"entry"`      // of the ledger
	addresses string    // commitment; "" if it has none
}

// version is the number of the plan in force; 0 if there is none.
func (p *planState) version() int { return len(p.versions) }

// last is the version in force; nil if there is none.
func (p *planState) last() *planVersion {
	if len(p.versions) == 0 {
		return nil
	}
	return &p.versions[len(p.versions)-1]
}

var planTable = []route{
	{"POST", "/api/v1/plan", "plan.apply", false, (*Control).postPlan},
	{"GET", "/api/v1/plan", "", false, (*Control).getPlan},
	{"GET", "/api/v1/plan/versions", "", false, (*Control).getPlanVersions},
	{"GET", "/api/v1/plan/versions/{n}", "", false, (*Control).getPlanVersion},
	{"GET", "/api/v1/plan/proposals/{id}", "", false, (*Control).getPlanProposal},
	{"GET", "/api/v1/plan/schema", "", false, (*Control).getPlanSchema},
}

// planPermits say who may ask for it; whether somebody may then apply a plan,
// and with whom, is what the rules in force say.
var planPermits = map[string]authority.Set{
	"plan.apply": deciders, "plan.read": authority.All,
}

var planCodes = map[string]code{
	"no_plan":        {404, "There is no plan in force"},
	"plan_faulty":    {422, "The plan is not valid"},
	"plan_locks_out": {409, "Nobody could let anybody in any more"},
	"plan_changed":   {409, "Another plan is in force meanwhile"},
}

var planFolds = map[string]foldFunc{typePlan: foldPlan, typePlanAddresses: foldPlanAddresses}

func planClock(c *Control, s *state, early time.Time) []draft { return nil }

// planBody is a version of the plan.
type planBody struct {
	Version   int            `json:"version"`
	Digest    string         `json:"digest"`
	Previous  string         `json:"previous,omitempty"`
	Addresses string         `json:"addresses,omitempty"` // commitment to the addresses of contacts, see planAddresses
	By        string         `json:"by"`                  // operator who asked for it; others may have agreed
	Reason    string         `json:"reason"`
	Plan      jsontext.Value `json:"plan"`             // without addresses
	Erases    bool           `json:"erases,omitempty"` // its retention is carried out, with notice from here on
}

// planAddresses is what stands beside the tree: addresses by contact, and the
// digest of the files, which hold them too.
type planAddresses struct {
	Files     string              `json:"files,omitempty"`
	Addresses map[string][]string `json:"addresses"`
}

// planAddressesBody names them.
type planAddressesBody struct {
	Addresses string `json:"addresses"` // commitment
}

func foldPlan(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[planBody](e.Body)
	if err != nil {
		return nil, err
	}
	if s.operators[b.By] == nil {
		return nil, fmt.Errorf("version %d of the plan was asked for by %q, who is no operator: %w", b.Version, b.By, errForm)
	}
	previous := ""
	if last := s.plan.last(); last != nil {
		previous = last.Digest
	}
	if b.Version != s.plan.version()+1 || b.Previous != previous {
		return nil, fmt.Errorf("version %d of the plan does not follow version %d: %w", b.Version, s.plan.version(), errForm)
	}
	// By the bytes that are kept: they stay what they are, however this program
	// comes to write a plan.
	if digest, err := planDigest(b.Plan); err != nil || digest != b.Digest {
		return nil, fmt.Errorf("version %d of the plan has not the digest that the entry says: %w", b.Version, errForm)
	}
	var p plan.Plan
	if err := json.Unmarshal(b.Plan, &p, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	ref, err := refTo(e)
	if err != nil {
		return nil, err
	}
	v := planVersion{Version: b.Version, Org: p.Org, Digest: b.Digest, Previous: b.Previous, Reason: b.Reason,
		AppliedAt: e.At.UTC(), AppliedBy: b.By, Entry: ref, addresses: b.Addresses}
	return func() { s.plan.current, s.plan.versions = &p, append(s.plan.versions, v) }, nil
}

// foldPlanAddresses changes nothing: the version that follows names them.
func foldPlanAddresses(_ *state, e ledger.Entry, _ *order.Order) (func(), error) {
	_, err := read[planAddressesBody](e.Body)
	return func() {}, err
}

func planDigest(raw jsontext.Value) (string, error) {
	v := raw.Clone()
	if err := v.Canonicalize(); err != nil {
		return "", err
	}
	sum := sha256.Sum256(v)
	return hex.EncodeToString(sum[:]), nil
}

// refTo names an entry by its number and the hash of its leaf.
func refTo(e ledger.Entry) (entryRef, error) {
	leaf, _, err := e.Leaf()
	if err != nil {
		return entryRef{}, err
	}
	hash := ledger.LeafHash(leaf)
	return entryRef{e.Seq, e.Type, hex.EncodeToString(hash[:])}, nil
}

// planWhat is a plan that somebody wants in force, as it waits for others.
type planWhat struct {
	Replaces  int            `json:"replaces"` // version; 0: there is none
	Digest    string         `json:"digest"`
	Addresses string         `json:"addresses,omitempty"` // commitment
	Reason    string         `json:"reason"`
	Plan      jsontext.Value `json:"plan"` // without addresses, valid
}

// doPlan drafts a plan that was agreed to. See doers.
func doPlan(_ *Control, s *state, op *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	b, err := read[planWhat](what)
	if err != nil {
		return nil, err
	}
	return s.draftPlan(op, &b)
}

// draftPlan drafts a version of the plan, if the one that it replaces is in force
// still. No draft means that it is in force already.
func (s *state) draftPlan(op *operator, b *planWhat) ([]draft, error) {
	body := planBody{Version: s.plan.version() + 1, Digest: b.Digest, Addresses: b.Addresses, By: op.id, Reason: b.Reason, Plan: b.Plan, Erases: true}
	last := s.plan.last()
	if last != nil {
		body.Previous = last.Digest
		if last.Digest == b.Digest && last.addresses == b.Addresses {
			return nil, nil
		}
	}
	if b.Replaces != s.plan.version() {
		p := problem("plan_changed", fmt.Sprintf("this plan was made to replace version %d, and version %d is in force; nothing was changed", b.Replaces, s.plan.version()))
		p.Field, p.Hint = "replaces", "see what the other changed (andon plan diff), then apply anew"
		return nil, p
	}
	var p plan.Plan
	if err := json.Unmarshal(b.Plan, &p); err != nil {
		return nil, err
	}
	if err := s.locksOut(&p); err != nil {
		return nil, err
	}
	return []draft{{typePlan, body}}, nil
}
