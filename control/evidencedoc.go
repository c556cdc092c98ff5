package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/incident"
	"andon/order"
)

const (
	evidenceTime     = 2 * time.Second // how long one gateway may take to answer
	evidenceAtOnce   = 16              // gateways that are asked at the same time
	maxPointEvidence = 8 << 20         // bytes of one gateway's answer
	minPointEvidence = 128 << 10
	maxPointsBytes   = 48 << 20 // of all answers together
	evidenceRefusals = 200      // decisions that each gateway lists
	evidenceFormat   = "andon.evidence/1"
)

// evidenceDoc is the document. Its canonical JSON (RFC 8785, see encode) is what is sealed.
type evidenceDoc struct {
	Format      string            `json:"format"`
	TakenAt     time.Time         `json:"taken_at"`
	Revision    uint64            `json:"revision"`        // that was current as it was taken
	Head        string            `json:"head"`            // of it
	Before      uint64            `json:"before_revision"` // the order before which it is; 0: as it stood
	Incident    string            `json:"incident"`
	Models      []string          `json:"models"` // that it is about; empty: all
	AlteredBy   []string          `json:"altered_by"`
	Reason      string            `json:"reason"`
	Asked       int               `json:"points_asked"`
	Ledger      docLedger         `json:"ledger"`
	Plan        *docPlan          `json:"plan"` // in force; null: none was applied
	Config      docConfig         `json:"config"`
	Corrections []docCorrection   `json:"corrections"` // that can reach the models, in force before
	Lists       []order.ListRef   `json:"lists"`
	Incidents   []docOpen         `json:"incidents"`           // open, about the models, restricted to nobody
	Decisions   []docOpen         `json:"decisions"`           // open, of these and of its own
	Runs        []docOpen         `json:"runs"`                // likewise
	Table       []docPoint        `json:"table"`               // of enforcement points, as control knows them
	Points      []*order.Snapshot `json:"points"`              // as they answered; prompts' texts stand in texts
	Texts       map[string]string `json:"system_prompt_texts"` // by SHA-256: JSON as callers sent it
	Missing     []evidenceGap     `json:"missing"`
}

type docLedger struct {
	Size       uint64 `json:"size"`
	Checkpoint string `json:"checkpoint"`
}

type docPlan struct {
	Version int    `json:"version"`
	Digest  string `json:"digest"`
}

// docConfig is the control plane's own. It has no secret.
type docConfig struct {
	Models    []ModelInfo `json:"models"`
	Lease     string      `json:"lease"`
	Digest    string      `json:"digest"` // SHA-256 of models and lease as JSON
	Keys      int         `json:"keys"`   // in force
	Revoked   int         `json:"keys_revoked"`
	Apps      int         `json:"apps"`
	OrderKey  string      `json:"order_key"`
	LedgerKey string      `json:"ledger_key"`
}

type docCorrection struct {
	Correction correction.Correction `json:"correction"`
	Revision   uint64                `json:"revision"` // of its last change until it was taken
	By         string                `json:"created_by"`
	History    []change              `json:"history"` // until then: what it did after before_revision stands here
}

type docOpen struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Of    string `json:"of,omitempty"` // its incident
}

type docPoint struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	State    string    `json:"state"`
	Revision uint64    `json:"revision"`
	Live     int64     `json:"live"`
	Seen     time.Time `json:"seen,omitzero"`
	Trouble  string    `json:"trouble,omitempty"`
	Models   []string  `json:"models"`
}

// encode writes the document in its canonical form. Whole numbers beyond 2^53, which
// RFC 8785 would round, keep their digits.
func (d *evidenceDoc) encode() ([]byte, error) {
	data, err := json.Marshal(d, json.Deterministic(true), json.FormatNilSliceAsNull(false), json.FormatNilMapAsNull(false))
	if err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	v := jsontext.Value(data)
	if err := v.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	if len(v) > maxEvidence {
		return nil, fmt.Errorf("encode evidence: %d bytes; at most %d", len(v), maxEvidence)
	}
	return v, nil
}

// askPoints asks every live enforcement point, each on a subject of its own, and says
// what could not be had. What they answer is not believed further than it is their
// own word: each is bounded, is read strictly, and speaks in its own name.
func (c *Control) askPoints(ctx context.Context, b *evidenceBody, prompts bool) (answers []*order.Snapshot, gaps []evidenceGap) {
	gaps = []evidenceGap{}
	var live []string
	c.mu.RLock()
	now := c.cfg.Now()
	for name, p := range c.points {
		if now.Before(p.lease) {
			live = append(live, name)
		} else {
			gaps = append(gaps, evidenceGap{name, "everything", "it is not there: its lease has run out"})
		}
	}
	c.mu.RUnlock()
	if len(live) == 0 {
		return nil, sortGaps(append(gaps, evidenceGap{"", "points", "no enforcement point is live"}))
	}
	slices.Sort(live)
	most := min(max(maxPointsBytes/len(live), minPointEvidence), maxPointEvidence)
	var mu sync.Mutex
	var wg sync.WaitGroup
	left := maxPointsBytes
	places := make(chan struct{}, evidenceAtOnce)
	for _, name := range live {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			s, size, why := c.askPoint(ctx, name, b, most, prompts)
			mu.Lock()
			defer mu.Unlock()
			if why == "" && size > left {
				why = "there was no more room in the document"
			}
			if why != "" {
				gaps = append(gaps, evidenceGap{name, "everything", why})
				return
			}
			left -= size
			answers = append(answers, s)
			for _, g := range s.Missing {
				gaps = append(gaps, evidenceGap{name, g.What, g.Why})
			}
		})
	}
	wg.Wait()
	slices.SortFunc(answers, func(x, y *order.Snapshot) int { return strings.Compare(x.Gateway, y.Gateway) })
	return answers, sortGaps(gaps)
}

func sortGaps(gaps []evidenceGap) []evidenceGap {
	slices.SortFunc(gaps, func(x, y evidenceGap) int {
		return strings.Compare(x.Point+"\x00"+x.What+"\x00"+x.Why, y.Point+"\x00"+y.What+"\x00"+y.Why)
	})
	return gaps
}

// askPoint asks one. why says what is wrong with its answer, "" if nothing is.
func (c *Control) askPoint(ctx context.Context, name string, b *evidenceBody, most int, prompts bool) (s *order.Snapshot, size int, why string) {
	if c.cfg.Bus == nil {
		return nil, 0, "there is no bus"
	}
	ask := order.SnapshotAsk{Gateway: name, At: c.cfg.Now().UTC(), Models: b.Models, Revision: b.Before, Bytes: most, Refusals: evidenceRefusals, Prompts: prompts}
	signed, err := order.Sign(ask, c.signer())
	if err != nil {
		c.log.Error("evidence cannot be asked for", "gateway", name, "error", err)
		return nil, 0, "the question could not be signed"
	}
	ctx, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	got, err := c.cfg.Bus.Gather(ctx, order.Named(order.SubjectSnapshot, name), signed, 1)
	switch {
	case err != nil:
		return nil, 0, "the bus could not be used"
	case len(got) == 0:
		return nil, 0, "it did not answer within " + evidenceTime.String() + ", or is of a version that cannot"
	case !c.believes(got[0].From, name):
		return nil, 0, "somebody else answered in its name"
	case len(got[0].Data) > most:
		return nil, 0, fmt.Sprintf("its answer has %d bytes; at most %d were asked for", len(got[0].Data), most)
	}
	s = &order.Snapshot{}
	if err := json.Unmarshal(got[0].Data, s); err != nil {
		return nil, 0, "its answer cannot be read"
	}
	if s.Gateway != name {
		return nil, 0, "it answered as another: " + short(s.Gateway)
	}
	return s, len(got[0].Data), ""
}

// document puts together what gateways said and what the control plane knows.
// Corrections that were made by entries from first on are left out: they are what
// altered the system.
func (c *Control) document(ctx context.Context, b *evidenceBody, first uint64, answers []*order.Snapshot, gaps []evidenceGap) *evidenceDoc {
	d := &evidenceDoc{Format: evidenceFormat, Before: b.Before, Incident: b.Incident, Models: b.Models, AlteredBy: b.Corrections, Reason: b.Reason,
		Points: answers, Texts: map[string]string{}, Missing: gaps}
	for _, s := range answers {
		d.takeTexts(s)
	}
	checkpoint, err := c.cfg.Log.Checkpoint(ctx)
	if err != nil {
		d.Missing = append(d.Missing, evidenceGap{"", "ledger.checkpoint", "the ledger did not give it"})
	}
	d.Ledger.Checkpoint = string(checkpoint)
	known := c.models()
	orderKey := c.OrderKey().String()
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, now := c.state, c.cfg.Now()
	d.TakenAt, d.Revision, d.Head, d.Ledger.Size = now.UTC().Round(0), s.revision, hex.EncodeToString(s.head[:]), s.size
	if v := s.plan.last(); v != nil {
		d.Plan = &docPlan{v.Version, v.Digest}
	}
	d.Config = docConfig{Lease: c.cfg.Lease.String(), Apps: len(s.apps), OrderKey: orderKey, LedgerKey: c.cfg.LedgerKey}
	for _, m := range known {
		d.Config.Models = append(d.Config.Models, m)
	}
	slices.SortFunc(d.Config.Models, func(a, b ModelInfo) int { return strings.Compare(a.Name, b.Name) })
	sum := sha256.Sum256(body([]any{d.Config.Models, d.Config.Lease}))
	d.Config.Digest = hex.EncodeToString(sum[:])
	for _, k := range s.keyList {
		if k.revokedAt.IsZero() {
			d.Config.Keys++
		} else {
			d.Config.Revoked++
		}
	}
	d.Lists = s.listRefs()
	for name, p := range c.points {
		d.Asked++
		d.Table = append(d.Table, docPoint{name, p.Version, p.state(now, s.revision), p.revision, p.live, p.seen.UTC(), p.trouble(now), p.Models})
	}
	slices.SortFunc(d.Table, func(a, b docPoint) int { return strings.Compare(a.Name, b.Name) })
	for _, r := range s.list {
		if r.stoodBefore(first) && (len(b.Models) == 0 || len(r.Scope.Models) == 0 || overlap(r.Scope.Models, b.Models)) {
			x := docCorrection{r.Correction, r.revision, r.createdBy, slices.Clone(r.history)}
			if !s.toldIn(r.Incident, b.Incident) {
				x.Correction.Incident = ""
			}
			d.Corrections = append(d.Corrections, x)
		}
	}
	d.open(s, b)
	for _, m := range b.Models {
		if _, ok := known[m]; !ok {
			d.Missing = append(d.Missing, evidenceGap{"", "models", strconv.Quote(short(m)) + " is not a model that is served here"})
		}
	}
	if !b.Ends.IsZero() && !d.TakenAt.Before(b.Ends) {
		d.Missing = append(d.Missing, evidenceGap{"", "before_end", "it was taken after " + b.alteration() + " had ended"})
	}
	sortGaps(d.Missing)
	return d
}

// stoodBefore says whether a correction was in force before an entry of the ledger.
func (r *record) stoodBefore(entry uint64) bool {
	in := false
	for _, h := range r.history {
		if h.Entry >= entry {
			break
		}
		in = h.Action != "lifted" && h.Action != "expired"
	}
	return in
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// toldIn says whether an incident may be named in the evidence of another: whoever
// may read that may know of it. Those that are restricted are named in their own.
func (s *state) toldIn(id, own string) bool {
	in := s.book().Incident(id)
	return id == own || in == nil || in.Marking == nil || in.Marking.Need == nil
}

// open lists what is open and about the models.
func (d *evidenceDoc) open(s *state, b *evidenceBody) {
	about := map[string]bool{b.Incident: b.Incident != ""}
	for _, in := range s.book().Incidents() {
		if in.Status == incident.StatusClosed || !s.toldIn(in.ID, b.Incident) || in.ID != b.Incident && !s.concernsModels(in, b.Models) {
			continue
		}
		about[in.ID] = true
		d.Incidents = append(d.Incidents, docOpen{ID: in.ID, State: string(in.Status)})
	}
	for _, id := range s.playbook.live {
		if r := s.playbook.runs[id]; r != nil && about[r.Incident] {
			d.Runs = append(d.Runs, docOpen{ID: id, State: r.State, Of: r.Incident})
		}
	}
	for _, x := range s.decision.all.Open() {
		if about[x.Incident] {
			d.Decisions = append(d.Decisions, docOpen{ID: x.ID, State: "open", Of: x.Incident})
		}
	}
}

// concernsModels says whether an incident is about one of the models, by its
// subject or its corrections; none stands for all.
func (s *state) concernsModels(in *incident.Incident, models []string) bool {
	if len(models) == 0 || overlap(in.Subject.Models, models) {
		return true
	}
	return slices.ContainsFunc(in.Corrections, func(l incident.LinkedCorrection) bool {
		r := s.corrections[l.ID]
		return r != nil && (len(r.Scope.Models) == 0 || overlap(r.Scope.Models, models))
	})
}

// takeTexts moves the texts of prompts out of an answer: once for all gateways. A
// text that is not what its digest says is left out.
func (d *evidenceDoc) takeTexts(s *order.Snapshot) {
	for i := range s.Prompts {
		for j := range s.Prompts[i].Prompts {
			p := &s.Prompts[i].Prompts[j]
			if p.Text == "" {
				continue
			}
			sum := sha256.Sum256([]byte(p.Text))
			if digest := hex.EncodeToString(sum[:]); digest == p.SHA256 {
				d.Texts[digest] = p.Text
			} else {
				d.Missing = append(d.Missing, evidenceGap{s.Gateway, "system_prompts", "a text is not what its digest says, and is left out"})
				p.Why = "it was not what its digest says"
			}
			p.Text = ""
		}
	}
}
