package control

import (
	"cmp"
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
	"andon/bus"
	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// typeAcknowledged is the entry of an acknowledgement; it makes a revision.
const typeAcknowledged = "use.acknowledged"

// keyID stands before a key's id where somebody without an org acknowledges.
const keyID = "key:"

// acknowledgedBody is an acknowledgement. An org acknowledges for all its keys.
type acknowledgedBody struct {
	ID         string `json:"id"`
	Correction string `json:"correction"`
	Org        string `json:"org,omitempty"`
	Key        string `json:"key,omitempty"`
	Statement  string `json:"statement"`
	Gateway    string `json:"gateway,omitempty"` // where it was given; "": by an operator on behalf
	By         string `json:"by,omitempty"`      // that operator, where others had to agree
}

// who is as whom a correction knows who has acknowledged.
func (b *acknowledgedBody) who() string {
	if b.Org != "" {
		return b.Org
	}
	return keyID + b.Key
}

func (s *state) foldAcknowledged(e ledger.Entry, o *order.Order) (func(), error) {
	b, err := read[acknowledgedBody](e.Body)
	if err != nil {
		return nil, err
	}
	r := s.corrections[b.Correction]
	if r == nil || r.gone != "" || slices.Contains(r.Acknowledged, b.who()) {
		return nil, fmt.Errorf("correction %q cannot be acknowledged by %q: %w", b.Correction, b.who(), errForm)
	}
	next := r.Correction
	next.Acknowledged = slices.Sorted(slices.Values(append(slices.Clone(r.Acknowledged), b.who())))
	o.Put = []correction.Correction{issued(next)}
	receipt := order.Receipt{ID: b.ID, Correction: b.Correction, Org: b.Org, Key: b.Key, At: e.At.UTC(), Entry: e.Seq, Statement: b.Statement}
	if b.Gateway == "" {
		receipt.By = cmp.Or(b.By, e.Actor)
	}
	return func() {
		s.nAcknowledged = max(s.nAcknowledged, number(b.ID, "a-"))
		r.receipts = append(r.receipts, receipt)
		s.replace(r, next, e, "acknowledged", "by "+b.who())
	}, nil
}

// acknowledge writes an acknowledgement into the ledger. Who has acknowledged gets
// the first receipt again.
func (c *Control) acknowledge(ctx context.Context, actor string, b acknowledgedBody) (receipt order.Receipt, err error) {
	if err := reasonField("statement", b.Statement); err != nil {
		return receipt, err
	}
	_, err = c.execute(ctx, actor, func(s *state, _ time.Time) ([]draft, error) { return c.draftAcknowledged(s, b) })
	if err != nil {
		return receipt, err
	}
	return c.receipt(b), nil
}

// acknowledgeFor writes down what an operator says that a caller has acknowledged.
// The caller is let through by it, so it is agreed to like any loosening.
func (c *Control) acknowledgeFor(ctx context.Context, op *operator, b acknowledgedBody) (receipt order.Receipt, err error) {
	b.By = op.id
	err = c.act(ctx, op, func(s *state) (wanted, error) {
		r, err := s.standing(b.Correction, c.early())
		if err != nil {
			return wanted{}, err
		}
		return wanted{question: s.question(authority.Loosen, &r.Correction, r.share()), do: "acknowledge", subject: b.Correction + " " + b.who(),
			says: "write down that " + short(b.who()) + " has acknowledged " + b.Correction, what: b, reason: b.Statement}, nil
	})
	if err != nil {
		return receipt, err
	}
	return c.receipt(b), nil
}

// doAcknowledge carries out what was agreed to. None is drafted if it is known.
func doAcknowledge(c *Control, s *state, _ *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[acknowledgedBody](what)
	if err != nil {
		return nil, err
	}
	return c.draftAcknowledged(s, b)
}

func (c *Control) draftAcknowledged(s *state, b acknowledgedBody) ([]draft, error) {
	r, err := s.standing(b.Correction, c.early())
	if err != nil {
		return nil, err
	}
	if r.Params.Action != "acknowledge" {
		return nil, badField("correction", b.Correction+" asks for no acknowledgement")
	}
	if k := s.keys[b.Key]; k != nil && (k.Org != b.Org || !k.revokedAt.IsZero()) {
		return nil, badField("key", b.Key+" is not a key of this org, or was revoked")
	}
	if slices.Contains(r.Acknowledged, b.who()) {
		return nil, nil
	}
	if len(r.Acknowledged) >= correction.MaxAcknowledged {
		return nil, badField("correction", fmt.Sprintf("%s has %d acknowledgements, and no more fit", b.Correction, correction.MaxAcknowledged))
	}
	b.ID = "a-" + strconv.Itoa(s.nAcknowledged+1)
	return []draft{{typeAcknowledged, b}}, s.room(len(b.who()) + 3)
}

// receipt is the receipt of who has acknowledged.
func (c *Control) receipt(b acknowledgedBody) (receipt order.Receipt) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, a := range c.state.corrections[b.Correction].receipts {
		if (&acknowledgedBody{Org: a.Org, Key: a.Key}).who() == b.who() {
			receipt = a
		}
	}
	return receipt
}

// onAcknowledge takes in what a caller acknowledges at a gateway.
func (c *Control) onAcknowledge(m bus.Msg) {
	var b order.Acknowledge
	if err := json.Unmarshal(m.Data, &b); err != nil || len(m.Data) > 64<<10 {
		c.log.Warn("an acknowledgement by a caller cannot be read", "error", err)
		return
	}
	if !c.speaks(m, order.SubjectAcknowledge, b.Gateway) {
		return
	}
	go func() { // the bus brings the next one meanwhile; the command lock puts them in order
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var receipt order.Receipt
		err := errors.Join(checkLine("org", b.Org, maxKeyText), checkLine("key", b.Key, maxKeyText))
		if err == nil && b.Org+b.Key == "" {
			err = badField("org", "missing: nobody in particular acknowledges")
		}
		if err == nil {
			receipt, err = c.acknowledge(ctx, system, acknowledgedBody{Correction: b.Correction, Org: b.Org, Key: b.Key, Statement: b.Statement, Gateway: b.Gateway})
		}
		if err != nil {
			p := asProblem(err)
			receipt = order.Receipt{Code: p.Code, Detail: p.Detail}
		}
		data, err := json.Marshal(receipt)
		if err != nil {
			c.log.Error("a receipt cannot be written", "error", err)
			return
		}
		c.answer(m, data)
	}()
}

// onBehalf is an acknowledgement that an operator writes down.
type onBehalf struct {
	Org    string `json:"org,omitempty"`
	Key    string `json:"key,omitempty"` // of a caller without an org
	Reason string `json:"reason"`        // how it was given
}

func (c *Control) postAcknowledge(cl *call) error {
	if err := cl.op.may("correction.acknowledge"); err != nil {
		return err
	}
	b, err := decode[onBehalf](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if (b.Org == "") == (b.Key == "") {
		return badField("org", "give the org that has acknowledged, or the id of a key without one", "org", "key")
	}
	if err := errors.Join(checkLine("org", b.Org, maxKeyText), checkLine("key", b.Key, maxKeyText)); err != nil {
		return err
	}
	if b.Key != "" {
		c.mu.RLock()
		k := c.state.keys[b.Key]
		c.mu.RUnlock()
		if k == nil {
			return problem("not_found", "there is no key "+strconv.Quote(short(b.Key)))
		}
		b.Org = k.Org
	}
	receipt, err := c.acknowledgeFor(cl.r.Context(), cl.op, acknowledgedBody{Correction: cl.r.PathValue("id"), Org: b.Org, Key: b.Key, Statement: b.Reason})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusCreated, receipt)
}

// acknowledgementsView says who has acknowledged, and who has not.
type acknowledgementsView struct {
	Correction   string          `json:"correction"`
	UseCase      string          `json:"use_case"`
	By           time.Time       `json:"acknowledge_by"`
	Acknowledged []order.Receipt `json:"acknowledged"`
	Missing      []missingView   `json:"missing"`
	Notes        []string        `json:"notes"` // what is not known
}

// missingView is somebody who has not acknowledged.
type missingView struct {
	Org      string   `json:"org,omitempty"`
	Keys     []string `json:"keys,omitempty"`     // that declare the use
	Requests int64    `json:"requests,omitempty"` // recorded ones for the use
}

func (c *Control) getAcknowledgements(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	c.mu.RLock()
	r := c.state.corrections[id]
	var cor correction.Correction
	v := acknowledgementsView{Correction: id, Acknowledged: []order.Receipt{}, Missing: []missingView{}, Notes: []string{}}
	by := map[string]*missingView{}
	if r != nil && r.Params.Action == "acknowledge" {
		cor = r.Correction
		v.UseCase, v.By, v.Acknowledged = cor.Params.UseCase, cor.Params.AcknowledgeBy, append(v.Acknowledged, r.receipts...)
		c.state.owing(&cor, by)
	}
	c.mu.RUnlock()
	if r == nil {
		return problem("not_found", "there is no correction "+strconv.Quote(short(id)))
	}
	if cor.ID == "" {
		return badField("correction", id+" asks for no acknowledgement")
	}
	// Keys say what they are for; what callers declare with each request only the
	// record of the gateways says.
	probe := cor
	probe.ID, probe.AppliedAt, probe.Mode, probe.Acknowledged = "", time.Time{}, "", nil
	probe.Params.Action, probe.Params.AcknowledgeBy = "", time.Time{}
	seen, err := c.preview(cl.r.Context(), &probe)
	if err != nil {
		return err
	}
	for _, o := range seen.ByOrg {
		if o.Requests == 0 || slices.Contains(cor.Acknowledged, o.Name) {
			continue
		}
		if by[o.Name] == nil {
			by[o.Name] = &missingView{Org: o.Name}
		}
		by[o.Name].Requests = o.Requests
	}
	if seen.Coverage.Recorded == 0 {
		v.Notes = append(v.Notes, "no gateway has recorded traffic: who declares the use with each request is not known")
	}
	for _, m := range by {
		v.Missing = append(v.Missing, *m)
	}
	slices.SortFunc(v.Missing, func(a, b missingView) int {
		return strings.Compare(a.Org+strings.Join(a.Keys, " "), b.Org+strings.Join(b.Keys, " "))
	})
	return cl.reply(http.StatusOK, v)
}

// owing finds the keys that declare the use and have not acknowledged, by org.
func (s *state) owing(cor *correction.Correction, by map[string]*missingView) {
	probe := *cor
	probe.Params.Action, probe.Params.AcknowledgeBy, probe.Acknowledged = "", time.Time{}, nil
	p := subjects(&probe)
	if p == nil {
		return
	}
	var v correction.Verdict
	for _, k := range s.keyList {
		own := s.stands(k.Key) // with what its application is for
		if !k.revokedAt.IsZero() || slices.Contains(cor.Acknowledged, k.Org) || slices.Contains(cor.Acknowledged, keyID+k.ID) || !reaches(p, &own, own.UseCases, &v) {
			continue
		}
		who := k.Org
		if who == "" {
			who = keyID + k.ID
		}
		if by[who] == nil {
			by[who] = &missingView{Org: k.Org}
		}
		by[who].Keys = append(by[who].Keys, k.ID)
	}
}
