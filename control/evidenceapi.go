package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/blob"
	"andon/incident"
	"andon/ledger"
)

// evidenceAsk is what is to be taken. Models left out are those of the incident
// and its corrections; without an incident, all.
type evidenceAsk struct {
	Incident string   `json:"incident,omitempty"`
	Models   []string `json:"models,omitempty"`
	Prompts  *bool    `json:"system_prompts,omitempty"` // default true
	Reason   string   `json:"reason"`
}

// evidenceView is an evidence as the API shows it.
type evidenceView struct {
	evidence
	Stored   string   `json:"stored,omitempty"`         // of one that is sealed: intact as far as its size goes, erased, or lost
	Erased   *erasure `json:"erased,omitempty"`         // under retention; the document is gone
	Redacted *erasure `json:"prompts_erased,omitempty"` // likewise; the document is what it was without the texts of prompts
}

type evidenceList struct {
	Evidence []evidenceView `json:"evidence"`
	After    string         `json:"after,omitempty"` // ask with this for what follows
}

// evidenceProof is what shows, without this control plane, that a document was
// sealed: the entry as it stands in the record, and the C2SP tlog-proof of it.
type evidenceProof struct {
	ID        string `json:"id"`
	Entry     string `json:"entry"`
	Proof     string `json:"proof"`
	LedgerKey string `json:"ledger_key"`
}

// postEvidence takes a snapshot of what stands now.
func (c *Control) postEvidence(cl *call) error {
	if err := cl.op.may("evidence.take"); err != nil {
		return err
	}
	if _, err := cl.query(); err != nil {
		return err
	}
	ask, err := decode[evidenceAsk](cl)
	if err != nil {
		return err
	}
	if c.evidence.store == nil {
		return problem("unavailable", "no folder for evidence is configured")
	}
	if err := reasonGiven(ask.Reason); err != nil {
		return err
	}
	if len(ask.Models) > maxEvidenceModels {
		return badField("models", fmt.Sprintf("has %d names; at most %d, or none for all", len(ask.Models), maxEvidenceModels))
	}
	if err := c.modelsServed(ask.Models); err != nil {
		return err
	}
	b := evidenceBody{Incident: ask.Incident, Models: slices.Clone(ask.Models), Reason: ask.Reason}
	seen := func(s *state) error {
		if ask.Incident == "" {
			return nil
		}
		in, err := s.seen(cl.op, ask.Incident)
		if err != nil {
			return badField("incident", "there is no incident "+strconv.Quote(short(ask.Incident)))
		}
		b.Incident = s.book().Root(in.ID).ID
		return nil
	}
	c.mu.RLock()
	if err = seen(c.state); err == nil && b.Incident != "" && len(b.Models) == 0 {
		b.Models = c.state.modelsOf(c.state.book().Incident(b.Incident))
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	slices.Sort(b.Models)
	b.Models = slices.Compact(b.Models)
	// The document is whole or it is not there: who hung up gets it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cl.r.Context()), time.Minute)
	defer cancel()
	sealed, err := c.seal(ctx, cl.op.id, &b, asItStands, ask.Prompts == nil || *ask.Prompts, seen)
	if err != nil {
		return err
	}
	v, err := c.showEvidence(cl.op, sealed.ID)
	if err != nil {
		return err
	}
	cl.w.Header().Set("Location", "/api/v1/evidence/"+v.ID)
	return cl.reply(http.StatusCreated, v)
}

// modelsServed refuses names that nobody serves.
func (c *Control) modelsServed(names []string) error {
	known := c.models()
	for i, n := range names {
		if _, ok := known[n]; !ok {
			p := problem("unknown_model", strconv.Quote(short(n))+" is not a model that is served here")
			p.Field = fmt.Sprintf("models[%d]", i)
			for m := range known {
				p.Allowed = append(p.Allowed, m)
			}
			slices.Sort(p.Allowed)
			return p
		}
	}
	return nil
}

// modelsOf are the models that an incident is about; none stands for all.
func (s *state) modelsOf(in *incident.Incident) []string {
	out := slices.Clone(in.Subject.Models)
	for _, l := range in.Corrections {
		r := s.corrections[l.ID]
		if r == nil {
			continue
		}
		if len(r.Scope.Models) == 0 {
			return nil
		}
		out = append(out, r.Scope.Models...)
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) > maxEvidenceModels {
		return nil
	}
	return out
}

// evidenceFor is an evidence that the operator may know of. The caller holds mu.
func (s *state) evidenceFor(op *operator, id string) (*evidence, error) {
	x := s.evidence.find(id)
	if x == nil || !s.seesEvidence(op, x) {
		return nil, problem("not_found", "there is no evidence "+strconv.Quote(short(id)))
	}
	return x, nil
}

func (c *Control) viewEvidence(x *evidence) evidenceView {
	v := evidenceView{evidence: *x}
	c.mu.RLock()
	v.Erased, v.Redacted = c.state.retention.erased[x.ID], c.state.retention.redacted[x.ID]
	c.mu.RUnlock()
	if v.Erased != nil {
		v.Stored = "erased"
	} else if x.State == evidenceIsSealed {
		v.Stored = "lost"
		if c.evidence.store != nil {
			if size, err := c.evidence.store.Stat(x.SHA256); err == nil && size == x.Size {
				v.Stored = "intact"
			}
		}
	}
	return v
}

func (c *Control) showEvidence(op *operator, id string) (evidenceView, error) {
	c.mu.RLock()
	x, err := c.state.evidenceFor(op, id)
	var copied evidence
	if err == nil {
		copied = *x
	}
	c.mu.RUnlock()
	if err != nil {
		return evidenceView{}, err
	}
	return c.viewEvidence(&copied), nil
}

func (c *Control) getEvidences(cl *call) error {
	if err := cl.op.may("evidence.read"); err != nil {
		return err
	}
	q, err := cl.query("incident", "state", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100, 1, 500)
	if err != nil {
		return err
	}
	if st := q.Get("state"); st != "" && !slices.Contains(evidenceStates, st) {
		return badQuery("state", strconv.Quote(short(st))+" is no state", evidenceStates...)
	}
	from := 0
	if q.Has("after") {
		if from = number(q.Get("after"), "e-"); from < 1 {
			return badQuery("after", strconv.Quote(short(q.Get("after")))+" is no evidence's id")
		}
	}
	var found []evidence
	list := evidenceList{Evidence: []evidenceView{}}
	c.mu.RLock()
	all := c.state.evidence.list
	for _, x := range all[min(from, len(all)):] {
		if q.Has("incident") && x.Incident != q.Get("incident") || q.Get("state") != "" && x.State != q.Get("state") || !c.state.seesEvidence(cl.op, x) {
			continue
		}
		if len(found) == int(limit) {
			list.After = found[limit-1].ID
			break
		}
		found = append(found, *x)
	}
	c.mu.RUnlock()
	for i := range found {
		list.Evidence = append(list.Evidence, c.viewEvidence(&found[i]))
	}
	return cl.reply(http.StatusOK, list)
}

func (c *Control) getEvidence(cl *call) error {
	if err := cl.op.may("evidence.read"); err != nil {
		return err
	}
	v, err := c.showEvidence(cl.op, cl.r.PathValue("id"))
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// sealedEvidence is one that has a document.
func (c *Control) sealedEvidence(cl *call) (evidenceView, error) {
	v, err := c.showEvidence(cl.op, cl.r.PathValue("id"))
	switch {
	case err != nil:
		return v, err
	case v.State == evidenceIsDue:
		p := problem("evidence_missing", v.ID+" is still to be taken; it takes some seconds")
		p.Retry = true
		return v, p
	case v.State == evidenceIsMissed:
		return v, problem("evidence_missing", v.ID+" was "+v.Reason)
	case v.State == evidenceIsSkipped:
		return v, problem("evidence_missing", v.ID+" was skipped by "+v.By+" at "+v.At.Format(time.RFC3339)+": "+v.Reason)
	}
	return v, nil
}

// getEvidenceContent gives the document to be saved, byte for byte as it was
// sealed, or says that it is not there as it was.
func (c *Control) getEvidenceContent(cl *call) error {
	if err := cl.op.may("evidence.read"); err != nil {
		return err
	}
	v, err := c.sealedEvidence(cl)
	if err != nil {
		return err
	}
	if v.Erased != nil {
		return problem("evidence_erased", v.ID+" was "+v.Erased.words()+"; its entry and proof stand")
	}
	if c.evidence.store == nil {
		return problem("unavailable", "no folder for evidence is configured")
	}
	data, err := c.evidence.store.Get(v.SHA256)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrGone) || errors.Is(err, blob.ErrDamaged) {
		c.metrics.alarms.Inc()
		c.log.Error("ALARM: evidence is not on the disk as it was sealed", "evidence", v.ID, "sha256", v.SHA256, "error", err)
		return problem("evidence_lost", "the disk no longer holds "+v.ID+" as it was sealed; restore the file with SHA-256 "+v.SHA256+" from a backup")
	}
	if err != nil {
		return err
	}
	h := cl.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="`+v.ID+`.json"`)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Andon-Sha256", v.SHA256)
	cl.w.Write(data)
	return nil
}

// getEvidenceProof gives what a stranger needs beside the document and the
// ledger's public key.
func (c *Control) getEvidenceProof(cl *call) error {
	if err := cl.op.may("evidence.read"); err != nil {
		return err
	}
	v, err := c.sealedEvidence(cl)
	if err != nil {
		return err
	}
	out := evidenceProof{ID: v.ID, LedgerKey: c.cfg.LedgerKey}
	err = c.cfg.Log.Read(cl.r.Context(), v.Entry, v.Entry+1, func(e ledger.Entry) error {
		data, err := e.Encode()
		out.Entry = string(data)
		return err
	})
	if err != nil {
		return err
	}
	proof, err := c.cfg.Log.Proof(cl.r.Context(), v.Entry)
	if err != nil {
		return err
	}
	out.Proof = string(proof)
	return cl.reply(http.StatusOK, out)
}
