package control

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
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

	mu      sync.Mutex
	trouble map[string]string // why what is due was not taken yet
}

func (c *Control) openEvidence() (err error) {
	c.evidence.wake = make(chan struct{}, 1)
	if c.cfg.Evidence != "" {
		c.evidence.store, err = blob.Open(c.cfg.Evidence, blob.Bounds{One: maxEvidence, All: maxEvidenceAll})
	}
	return err
}

// evidenceWish is what the one who gives a command says of evidence. Where others
// have to agree to the command it waits with it, and they see it.
type evidenceWish struct {
	Take   string `json:"take"`             // take or skip; "": nothing is said
	Reason string `json:"reason,omitempty"` // of skip
}

// wish is what was said of evidence with a command, by its context.
func wish(ctx context.Context) evidenceWish {
	w, _ := ctx.Value(evidenceKey{}).(evidenceWish)
	return w
}

type evidenceKey struct{}

// evidenceQuery are the parameters by which a command says it.
var evidenceQuery = []string{"evidence", "evidence_reason"}

// evidenceWish reads them into the command's context.
func (cl *call) evidenceWish(c *Control) (context.Context, error) {
	q, ctx := cl.r.URL.Query(), cl.r.Context()
	w := evidenceWish{q.Get("evidence"), q.Get("evidence_reason")}
	switch {
	case w.Take != "" && w.Take != "take" && w.Take != "skip":
		return nil, badQuery("evidence", strconv.Quote(short(w.Take))+" is not known", "take", "skip")
	case w.Take == "skip":
		if err := reasonGiven(w.Reason); err != nil {
			return nil, badQuery("evidence_reason", "say why no evidence is taken before the system is altered, in at most "+strconv.Itoa(maxReason)+" bytes")
		}
	case w.Reason != "":
		return nil, badQuery("evidence_reason", "goes with evidence=skip")
	case w.Take == "take" && c.evidence.store == nil:
		p := problem("unavailable", "no folder for evidence is configured; nothing was changed")
		p.Hint = "give the command without evidence=take: it does not wait for evidence"
		return nil, p
	}
	if w.Take == "" {
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
	w := wish(ctx)
	b := evidenceBody{Before: s.revision + 1, From: s.size}
	var models modelSet
	altering, fresh := false, 0
	take := func(cor *correction.Correction) {
		if !alters(cor) && w.Take == "" {
			return
		}
		altering = true
		b.Incident = cmp.Or(b.Incident, cor.Incident)
		if len(b.Corrections) < maxEvidenceModels {
			b.Corrections = append(b.Corrections, cor.ID)
		}
		models.add(cor.Scope.Models)
	}
	known := func(id string) {
		if r := s.corrections[id]; r != nil {
			take(&r.Correction)
		}
	}
	for _, d := range drafts {
		switch x := d.body.(type) {
		case evidenceBody:
			if s.evidence.find(x.ID) == nil {
				fresh++
			}
		case evidenceSealedBody:
			return drafts
		case endedBody: // what was said as it was asked for, by whoever did
			if p := s.authority.acts[x.ID]; d.kind == typeCarried && p != nil && p.Evidence != nil {
				w, b.By = *p.Evidence, p.by
			}
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
	if !altering || w.Take == "" && (b.Incident == "" || c.evidence.store == nil) {
		return drafts
	}
	b.ID, b.Models = s.evidence.nth(fresh), models.list()
	if w.Take == "skip" {
		b.Reason = w.Reason
		return append(drafts, draft{typeEvidenceSkipped, b})
	}
	b.Reason, b.By = "before "+b.alteration(), ""
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
// plane stops. What fails is tried again, and keeps nothing else waiting.
func (c *Control) keepEvidence() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-c.stopping; cancel() }() // so that gateways are not waited for
	resting, again := map[string]bool{}, time.Time{}
	for ctx.Err() == nil {
		if next := c.nextDue(resting); next != nil {
			if !c.takeNext(ctx, next) {
				resting[next.ID] = true
			}
			continue
		}
		var rest <-chan time.Time
		if len(resting) > 0 {
			if now := time.Now(); again.IsZero() {
				again = now.Add(evidenceRetry)
			} else if !now.Before(again) {
				again = time.Time{}
				clear(resting)
				continue
			}
			rest = time.After(time.Until(again))
		}
		select {
		case <-c.evidence.wake:
		case <-rest:
		case <-ctx.Done():
		}
	}
}

// nextDue is what is to be taken next: before an order, which gateways remember for
// some minutes; before an end, which comes; then for runs. nil if nothing is due
// that does not rest.
func (c *Control) nextDue(resting map[string]bool) *evidence {
	c.mu.RLock()
	defer c.mu.RUnlock()
	urgency := func(x *evidence) int {
		switch {
		case x.Before > 0:
			return 0
		case !x.Ends.IsZero():
			return 1
		}
		return 2
	}
	var next *evidence
	for _, x := range c.state.evidence.due {
		if !resting[x.ID] && (next == nil || urgency(x) < urgency(next)) {
			next = x
		}
	}
	if next == nil {
		return nil
	}
	one := *next
	return &one
}

// takeNext takes one that is due, or says why it was not taken.
func (c *Control) takeNext(ctx context.Context, x *evidence) bool {
	err := c.takeDue(ctx, x)
	if err == nil {
		c.evidence.failed(x.ID, "")
		c.nudge() // a run may go on
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	why := whyNotTaken(err)
	c.evidence.failed(x.ID, why)
	c.log.Error("evidence that is due was not taken; it is tried again", "evidence", x.ID, "error", err)
	if _, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) { return s.holdStep(x, why), nil }); err != nil {
		c.log.Warn("that a step waits for its evidence was not recorded", "run", x.Run, "error", err)
	}
	return false
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
func (c *Control) takeDue(ctx context.Context, x *evidence) error {
	if c.evidence.store == nil {
		return problem("unavailable", "no folder for evidence is configured")
	}
	for end := time.Now().Add(evidenceLag); time.Now().Before(end) && !c.enforcedBy(x.Before); {
		pause(ctx, evidencePoll)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b, first := x.body(), x.from
	if x.Before == 0 {
		first = asItStands
	}
	_, err := c.seal(ctx, system, &b, first, true, func(s *state) error {
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

// asItStands is the entry before which corrections count, where all do.
const asItStands = ^uint64(0)

var errEvidenceThere = errors.New("it is not due any more")

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
	_, err = c.execute(ctx, actor, func(s *state, now time.Time) ([]draft, error) {
		if err := may(s); err != nil {
			return nil, err
		}
		out.evidenceBody = *b
		out.ID = cmp.Or(due, s.evidence.next())
		drafts := []draft{{typeEvidenceSealed, *out}}
		if x := s.evidence.find(due); x != nil {
			drafts = append(drafts, s.settleStep(x, out, now)...)
		}
		return drafts, nil
	})
	return out, err
}
