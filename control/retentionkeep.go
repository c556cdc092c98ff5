package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/blob"
	"andon/correction"
)

const (
	retentionPoll = 250 * time.Millisecond
	retentionPace = 10 * time.Minute // between two passes
	observeEvery  = 12 * time.Hour   // how long the record may be silent, while there is a retention
)

// retentionKeeper is what carries out retention. It is its goroutine's own.
type retentionKeeper struct {
	next time.Time       // of the next pass
	lost map[string]bool // evidence whose document is not there, by id
	said string          // trouble with the clock that was alarmed about
}

// keepRetention carries out the plan's retention until the control plane stops.
func (c *Control) keepRetention() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-c.stopping; cancel() }()
	k := retentionKeeper{lost: map[string]bool{}}
	tick := time.NewTicker(retentionPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := c.early()
		if wait := k.next.Sub(now); wait > 0 && wait <= retentionPace { // further off: the clock went back
			continue
		}
		k.next = now.Add(retentionPace)
		if err := c.retain(ctx, &k); err != nil && ctx.Err() == nil {
			c.log.Error("retention was not carried out; it is tried again", "error", err)
		}
	}
}

// retain is one pass: it says what has to be said first, then erases what is due.
func (c *Control) retain(ctx context.Context, k *retentionKeeper) error {
	c.mu.RLock()
	early := c.early()
	rules, trouble := len(c.state.retention.rules), c.state.clockTrouble(early)
	c.mu.RUnlock()
	if trouble != k.said && trouble != "" {
		c.metrics.alarms.Inc()
		c.log.Error("ALARM: " + trouble)
	}
	k.said = trouble
	if rules == 0 || trouble != "" {
		return nil
	}
	if _, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) { return c.retentionNotes(s), nil }); err != nil {
		return err
	}
	ready, bare, err := c.readyPrompts(ctx, k)
	if err != nil {
		return err
	}
	return c.eraseDue(ctx, ready, bare)
}

// retentionNotes drafts what is said before anything is erased: notice of a plan
// that came without, and that time goes by.
func (c *Control) retentionNotes(s *state) []draft {
	for _, r := range s.retention.rules {
		if r.From.IsZero() {
			return []draft{{typeRetentionNoticed, nothing{}}}
		}
	}
	if gap := c.early().Sub(s.last); gap >= observeEvery && gap <= maxClockGap && len(s.retention.rules) > 0 {
		return []draft{{typeRetentionSeen, nothing{}}}
	}
	return nil
}

// bareDoc is a document without the texts of prompts, on the disk.
type bareDoc struct {
	was, sha256 string
	size        int64
}

// readyPrompts makes the documents that stay where prompts are due, before anything
// is said: an entry never names what is not there. bare are those without prompts.
func (c *Control) readyPrompts(ctx context.Context, k *retentionKeeper) (ready map[string]bareDoc, bare []string, err error) {
	ready = map[string]bareDoc{}
	if c.evidence.store == nil {
		return ready, nil, nil
	}
	c.mu.RLock()
	due := c.state.dueNow(c.early(), func(x *retained) bool { return x.class != "evidence" && (x.class != "prompts" || k.lost[x.item]) })
	c.mu.RUnlock()
	for _, x := range due {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if x.class != "prompts" {
			continue // it goes whole
		}
		data, err := c.evidence.store.Get(x.digest)
		var without []byte
		if err == nil {
			without, err = withoutPrompts(data)
		}
		if err != nil { // it keeps nothing else from going
			c.log.Error("evidence whose prompts are to be erased is not on the disk as it was sealed; they stay, and the next start tries again", "evidence", x.item, "error", err)
			k.lost[x.item] = true
			continue
		}
		if without == nil {
			bare = append(bare, x.item)
			continue
		}
		one := bareDoc{was: x.digest, size: int64(len(without))}
		if one.sha256, err = c.evidence.store.Put(without); err != nil {
			c.log.Error("prompts in evidence are not erased yet, since the document without them cannot be written; the next pass tries again", "evidence", x.item, "error", err)
			break
		}
		ready[x.item] = one
	}
	return ready, bare, nil
}

// withoutPrompts is a document of evidence without the texts of prompts; nil if it
// has none. All else stays as it was sealed, the prompts' digests too.
func withoutPrompts(data []byte) ([]byte, error) {
	var doc map[string]jsontext.Value
	var texts map[string]jsontext.Value
	var missing []evidenceGap
	err := json.Unmarshal(data, &doc)
	if err == nil {
		err = json.Unmarshal(doc["system_prompt_texts"], &texts)
	}
	if err == nil {
		err = json.Unmarshal(doc["missing"], &missing)
	}
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	if len(texts) == 0 {
		return nil, nil
	}
	doc["system_prompt_texts"] = jsontext.Value("{}")
	doc["missing"] = body(sortGaps(append(missing, evidenceGap{"", "system_prompt_texts", count(len(texts), "text") + " erased under retention"})))
	out, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	v := jsontext.Value(out)
	if err := v.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	return v, nil
}

// eraseDue writes what is erased, on the state as it is then, and erases it.
func (c *Control) eraseDue(ctx context.Context, ready map[string]bareDoc, bare []string) error {
	var due []*retained
	c.filing.Lock() // so that no file comes again in between
	_, err := c.execute(ctx, system, func(s *state, now time.Time) ([]draft, error) {
		due = s.dueNow(c.early(), func(x *retained) bool {
			return x.class == "prompts" && ready[x.item].was != x.digest || x.digest != "" && c.storeOf(x.class) == nil
		})
		out := s.erasures(due, ready, now)
		if none := slices.DeleteFunc(slices.Clone(bare), func(id string) bool { return s.retention.bare[id] }); len(none) > 0 {
			out = append(out, draft{typeRetentionBare, bareBody{none}})
		}
		return out, nil
	})
	if err != nil {
		c.filing.Unlock()
		return err
	}
	var values []string
	for _, x := range due {
		values = append(values, x.values...)
		switch x.class {
		case "evidence", "prompts":
			c.dropDocument(x.digest)
		case "incidents":
			if x.digest != "" {
				c.dropFile(x.digest)
			}
		}
	}
	c.filing.Unlock()
	for some := range slices.Chunk(values, maxErasures) {
		c.eraseNow(ctx, some...)
	}
	if len(due) > 0 {
		c.log.Info("records were erased under retention", "things", len(due), "personal_values", len(values))
	}
	if len(due) == maxErased {
		c.log.Warn("more is to be erased under retention than one pass does", "next_pass_in", retentionPace)
	}
	return nil
}

// storeOf is where the files of a class are; nil if no folder is configured.
func (c *Control) storeOf(class string) *blob.Store {
	if class == "incidents" {
		return c.files
	}
	return c.evidence.store
}

// erasures drafts what says that things are erased: personal values in the entries
// that verifiers look for, then an entry for each class and incident.
func (s *state) erasures(due []*retained, ready map[string]bareDoc, now time.Time) []draft {
	type group struct{ class, incident string }
	bodies := map[group]*erasureBody{}
	var order []group
	var values []string
	var out []draft
	for _, x := range due {
		r := s.retention.rules[x.class]
		keep := max(r.Keeps(now), correction.Duration(time.Second)) // the clock may have moved on since: never none
		if x.class == "prompts" {
			b := ready[x.item]
			out = append(out, draft{typeEvidenceRedacted, redactedBody{ID: x.item, Incident: x.incident, SHA256: b.sha256, Size: b.size, Was: b.was,
				Reason: fmt.Sprintf("system prompts erased under retention prompts (kept %s, plan version %d): %s", keep, r.Version, r.Basis),
				Keep:   keep, Basis: r.Basis, Version: r.Version, Since: x.since.UTC(), Age: x.age(now)}})
			continue
		}
		g := group{x.class, x.incident}
		if bodies[g] == nil {
			bodies[g] = &erasureBody{Class: x.class, Keep: keep, Basis: r.Basis, Version: r.Version, Incident: x.incident}
			order = append(order, g)
		}
		bodies[g].Items = append(bodies[g].Items, erasedItem{Item: x.item, Since: x.since.UTC(), Age: x.age(now), SHA256: x.digest, Commitments: x.values})
		values = append(values, x.values...)
	}
	for _, g := range order {
		b := bodies[g]
		out = append(out, draft{typeRetentionErased, *b})
	}
	return append(s.erasing("retention: the plan's time to keep it is over", values...), out...)
}

// dropDocument deletes a document that an entry has erased, unless evidence that
// stands has the same.
func (c *Control) dropDocument(digest string) {
	if c.evidence.store == nil {
		return
	}
	c.mu.RLock()
	stands := slices.ContainsFunc(c.state.evidence.list, func(e *evidence) bool {
		return e.SHA256 == digest && e.State == evidenceIsSealed && c.state.retention.erased[e.ID] == nil
	})
	c.mu.RUnlock()
	if stands {
		return
	}
	if err := c.evidence.store.Delete(digest, c.cfg.Now()); err != nil && !errors.Is(err, blob.ErrNotFound) {
		c.log.Error("a document that was erased is still on the disk; the next start removes it", "sha256", digest, "error", err)
	}
}

// dropDocuments deletes what entries erased and a crash, or a disk, has kept.
func (c *Control) dropDocuments() {
	if c.evidence.store == nil {
		return
	}
	for _, digest := range c.state.retention.gone {
		if _, err := c.evidence.store.Stat(digest); err == nil {
			c.dropDocument(digest)
		}
	}
}
