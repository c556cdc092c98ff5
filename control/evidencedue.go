package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"andon/blob"
	"andon/correction"
)

const (
	maxEvidence    = 64 << 20              // bytes of one document
	maxEvidenceAll = 256 << 30             // of all
	evidencePoll   = 20 * time.Millisecond // how often it is looked whether gateways enforce an order
	evidenceLag    = 3 * time.Second       // how long they are waited for
	evidenceRetry  = 5 * time.Second       // after the disk, or the ledger, refused
)

// evidenceKeeper is what takes evidence.
type evidenceKeeper struct {
	store *blob.Store   // nil: no folder is configured, and none is taken
	wake  chan struct{} // something is due
}

func (c *Control) openEvidence() (err error) {
	c.evidence.wake = make(chan struct{}, 1)
	if c.cfg.Evidence != "" {
		c.evidence.store, err = blob.Open(c.cfg.Evidence, blob.Bounds{One: maxEvidence, All: maxEvidenceAll})
	}
	return err
}

// evidenceWish is what the one who gives a command says of evidence.
type evidenceWish struct {
	take   string // "", take or skip
	reason string // of skip
}

type evidenceKey struct{}

// evidenceQuery are the parameters by which a command says it.
var evidenceQuery = []string{"evidence", "evidence_reason"}

// evidenceWish reads them into the command's context.
func (cl *call) evidenceWish(c *Control) (context.Context, error) {
	q, ctx := cl.r.URL.Query(), cl.r.Context()
	w := evidenceWish{q.Get("evidence"), q.Get("evidence_reason")}
	switch {
	case w.take != "" && w.take != "take" && w.take != "skip":
		return nil, badQuery("evidence", strconv.Quote(short(w.take))+" is not known", "take", "skip")
	case w.take == "skip":
		if err := reasonGiven(w.reason); err != nil {
			return nil, badQuery("evidence_reason", "say why no evidence is taken before the system is altered, in at most "+strconv.Itoa(maxReason)+" bytes")
		}
	case w.reason != "":
		return nil, badQuery("evidence_reason", "goes with evidence=skip")
	case w.take == "take" && c.evidence.store == nil:
		p := problem("unavailable", "no folder for evidence is configured; nothing was changed")
		p.Hint = "give the command without evidence=take: it does not wait for evidence"
		return nil, p
	}
	if w.take == "" {
		return ctx, nil
	}
	return context.WithValue(ctx, evidenceKey{}, w), nil
}

// alters says whether a correction alters the system, and does not only say who
// may use it, or how much: what is left of the model afterwards is another thing
// to look into.
func alters(cor *correction.Correction) bool {
	if cor.Mode == correction.Shadow {
		return false
	}
	switch cor.Kind {
	case correction.Stop:
		return cor.Level() >= 2
	case correction.Capability:
		return true
	}
	return false
}

// withEvidence adds to a command's drafts that evidence is due, or was skipped, if
// they alter the system. Asked for by no one, it is taken where an incident is
// named. It runs as the command decides, and waits for nothing.
func (c *Control) withEvidence(ctx context.Context, s *state, drafts []draft) []draft {
	w, _ := ctx.Value(evidenceKey{}).(evidenceWish)
	b := evidenceBody{ID: s.evidence.next(), Before: s.revision + 1, From: s.size}
	models, all, altering := []string{}, false, false
	take := func(cor *correction.Correction) {
		if !alters(cor) && w.take == "" {
			return
		}
		altering = true
		b.Incident = cmp.Or(b.Incident, cor.Incident)
		if len(b.Corrections) < maxEvidenceModels {
			b.Corrections = append(b.Corrections, cor.ID)
		}
		models = append(models, cor.Scope.Models...)
		all = all || len(cor.Scope.Models) == 0
	}
	known := func(id string) {
		if r := s.corrections[id]; r != nil {
			take(&r.Correction)
		}
	}
	for _, d := range drafts {
		switch x := d.body.(type) {
		case evidenceBody, evidenceSealedBody:
			return drafts
		case createdBody:
			take(&x.Correction)
		case adoptedBody:
			for i := range x.Corrections {
				take(&x.Corrections[i])
			}
		case changedBody:
			if d.kind == typeLifted || d.kind == typeRaised {
				known(x.ID)
			}
		case restoredBody:
			for _, id := range x.Lift {
				known(id)
			}
			for i := range x.Reinstate {
				take(&x.Reinstate[i])
			}
			for i := range x.Change {
				take(&x.Change[i])
			}
		}
	}
	if !altering || w.take == "" && (b.Incident == "" || c.evidence.store == nil) {
		return drafts
	}
	slices.Sort(models)
	if b.Models = slices.Compact(models); all || len(b.Models) > maxEvidenceModels {
		b.Models = nil
	}
	if w.take == "skip" {
		b.Reason = w.reason
		return append(drafts, draft{typeEvidenceSkipped, b})
	}
	b.Reason = "before " + b.alteration()
	return append(drafts, draft{typeEvidenceDue, b})
}

func (b *evidenceBody) alteration() string {
	if n := len(b.Corrections); n > 3 {
		return strconv.Itoa(n) + " corrections"
	}
	return orList(b.Corrections)
}

// evidenceDue wakes the keeper if something is due.
func (c *Control) evidenceDue() {
	select {
	case c.evidence.wake <- struct{}{}:
	default:
	}
}

// keepEvidence takes what is due, from before a restart, too, until the control
// plane stops.
func (c *Control) keepEvidence() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-c.stopping; cancel() }() // so that gateways are not waited for
	for ctx.Err() == nil {
		c.mu.RLock()
		var next evidence
		if len(c.state.evidence.due) > 0 {
			next = *c.state.evidence.due[0]
		}
		c.mu.RUnlock()
		if next.ID == "" {
			select {
			case <-c.evidence.wake:
			case <-ctx.Done():
			}
			continue
		}
		if err := c.takeDue(ctx, next); err != nil && ctx.Err() == nil {
			c.log.Error("evidence that is due was not taken; it is tried again", "evidence", next.ID, "error", err)
			pause(ctx, evidenceRetry)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// takeDue takes one evidence that is due, once live gateways enforce the order that
// it is of, or have had time to.
func (c *Control) takeDue(ctx context.Context, x evidence) error {
	if c.evidence.store == nil {
		return errors.New("no folder for evidence is configured")
	}
	for end := time.Now().Add(evidenceLag); time.Now().Before(end) && !c.enforcedBy(x.Before); {
		pause(ctx, evidencePoll)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b := evidenceBody{ID: x.ID, Incident: x.Incident, Models: x.Models, Corrections: x.Corrections, Before: x.Before, From: x.from, Reason: x.Reason}
	_, err := c.seal(ctx, system, &b, x.from, true, func(s *state) error {
		if d := s.evidence.find(x.ID); d == nil || d.State != evidenceIsDue {
			return errEvidenceThere
		}
		return nil
	})
	if errors.Is(err, errEvidenceThere) {
		return nil
	}
	return err
}

var errEvidenceThere = errors.New("it is sealed already")

// enforcedBy says whether every live point enforces a revision.
func (c *Control) enforcedBy(revision uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := c.cfg.Now()
	for _, p := range c.points {
		if now.Before(p.lease) && p.revision < revision {
			return false
		}
	}
	return true
}

// seal takes a snapshot, keeps it, and writes its entry: in this order. may is
// asked as the entry is decided. first is the entry before which corrections count.
func (c *Control) seal(ctx context.Context, actor string, b *evidenceBody, first uint64, prompts bool, may func(*state) error) (*evidenceSealedBody, error) {
	answers, gaps := c.askPoints(ctx, b, prompts)
	doc := c.document(ctx, b, first, answers, gaps)
	data, err := doc.encode()
	if err != nil {
		return nil, err
	}
	digest, err := c.evidence.store.Put(data)
	if errors.Is(err, blob.ErrFull) || errors.Is(err, syscall.ENOSPC) {
		c.log.Error("evidence was not kept", "evidence", b.ID, "error", err)
		return nil, problem("evidence_full", "there is no more room for evidence; nothing was recorded")
	}
	if err != nil {
		return nil, err
	}
	out := &evidenceSealedBody{SHA256: digest, Size: int64(len(data)), Asked: doc.Asked, Answered: len(doc.Points),
		Missing: doc.Missing[:min(len(doc.Missing), maxEvidenceMissing)]}
	due := b.ID
	_, err = c.execute(ctx, actor, func(s *state, _ time.Time) ([]draft, error) {
		if err := may(s); err != nil {
			return nil, err
		}
		out.evidenceBody = *b
		out.ID = cmp.Or(due, s.evidence.next())
		return []draft{{typeEvidenceSealed, *out}}, nil
	})
	return out, err
}

// evidenceCommand is how a person takes evidence of models in an incident.
func evidenceCommand(incident string, models []string) string {
	out := "andon evidence take"
	if incident != "" {
		out += " --incident " + incident
	}
	if len(models) > 0 {
		out += " --model " + strings.Join(models, ",")
	}
	return out + ` --reason "…"`
}
