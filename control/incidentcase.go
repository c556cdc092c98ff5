package control

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"andon/incident"
	"andon/ledger"
)

// signalAnswer is a signal as it was taken in.
type signalAnswer struct {
	signalView
	Repeated bool `json:"repeated"` // it was there already, and its count went up
}

// postSignal takes in a signal. The same dedup_key of the same source and sender
// is the same signal.
func (c *Control) postSignal(cl *call) error {
	if err := cl.op.may("signal.send"); err != nil {
		return err
	}
	x, err := decode[incident.SignalSpec](cl)
	if err != nil {
		return err
	}
	id, repeated := "", false
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if err := s.checkNeed(x.Marking); err != nil {
			return nil, err
		}
		e := s.book().Receive(x, incident.Meta{Seq: s.size, At: now, Actor: cl.op.id})
		switch e := e.(type) {
		case *incident.SignalRepeated:
			id, repeated = e.Signal, true
		case *incident.SignalReceived:
			id, repeated = e.Signal, false
		}
		return s.incidentDraft(cl.op, e, now)
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := signalAnswer{c.state.viewSignal(c.state.readerOf(cl.op), c.state.book().Signal(id)), repeated}
	c.mu.RUnlock()
	status := http.StatusCreated
	if repeated {
		status = http.StatusOK
	}
	cl.w.Header().Set("Location", "/api/v1/signals/"+id)
	return cl.reply(status, v)
}

type signalList struct {
	Total   int          `json:"total"`
	Signals []signalView `json:"signals"`
	After   string       `json:"after,omitempty"`
}

// getSignals lists signals, the youngest first.
func (c *Control) getSignals(cl *call) error {
	if err := cl.op.may("signal.read"); err != nil {
		return err
	}
	q, err := cl.query("type", "source", "case", "model", "exercise", "after", "limit")
	if err != nil {
		return err
	}
	exercise, err := q.choice("exercise", "true", "false")
	if err != nil {
		return err
	}
	c.mu.RLock()
	s := c.state
	b, r := s.book(), s.readerOf(cl.op)
	all := b.Signals()
	p, err := q.page(len(all))
	list := signalList{Signals: []signalView{}}
	for i := len(all) - 1; i >= 0 && err == nil; i-- {
		x := all[i]
		if q.Has("type") && x.Type != q.Get("type") || q.Has("source") && x.Source != q.Get("source") || q.Has("case") && x.Case != q.Get("case") ||
			q.Has("model") && !slices.Contains(x.Subject.Models, q.Get("model")) || exercise != "" && x.Exercise != (exercise == "true") || !b.SeesSignal(r, x) {
			continue
		}
		list.Total++
		switch {
		case i >= p.below:
		case len(list.Signals) < p.limit:
			list.Signals = append(list.Signals, s.viewSignal(r, x))
		default:
			list.After = list.Signals[p.limit-1].ID
		}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, list)
}

// getSignal shows a signal with its text and data, which are in the ledger.
func (c *Control) getSignal(cl *call) error {
	if err := cl.op.may("signal.read"); err != nil {
		return err
	}
	c.mu.RLock()
	x, err := c.state.seenSignal(cl.op, cl.r.PathValue("id"))
	var v signalView
	if err == nil {
		v = c.state.viewSignal(c.state.readerOf(cl.op), x)
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	err = c.cfg.Log.Read(cl.r.Context(), v.Entry, v.Entry+1, func(e ledger.Entry) error {
		var b incident.SignalReceived
		err := json.Unmarshal(e.Body, &b)
		v.Text, v.Data = b.Text, b.Data
		return err
	})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

type outcomeList struct {
	Outcomes []incident.Outcome `json:"outcomes"`
}

// getOutcomes says how often each source was right.
func (c *Control) getOutcomes(cl *call) error {
	if err := cl.op.may("signal.read"); err != nil {
		return err
	}
	c.mu.RLock()
	b, r := c.state.book(), c.state.readerOf(cl.op)
	list := outcomeList{b.Outcomes(func(k *incident.Case) bool { return b.SeesCase(r, k) })}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

type triageList struct {
	Total    int            `json:"total"`
	ByStatus map[string]int `json:"by_status"`
	Cases    []triageView   `json:"cases"`
	After    string         `json:"after,omitempty"`
}

// getTriages lists triage cases, the youngest first.
func (c *Control) getTriages(cl *call) error {
	if err := cl.op.may("triage.read"); err != nil {
		return err
	}
	q, err := cl.query("status", "owner", "exercise", "after", "limit")
	if err != nil {
		return err
	}
	status, err := q.choice("status", append(slices.Clone(incident.CaseStatuses), "open")...)
	if err != nil {
		return err
	}
	exercise, err := q.choice("exercise", "true", "false")
	if err != nil {
		return err
	}
	c.mu.RLock()
	s := c.state
	b, r := s.book(), s.readerOf(cl.op)
	all := b.Cases()
	p, err := q.page(len(all))
	list := triageList{ByStatus: map[string]int{}, Cases: []triageView{}}
	for i := len(all) - 1; i >= 0 && err == nil; i-- {
		k := all[i]
		open := k.Status == incident.CaseNew || k.Status == incident.CaseTriaged
		if status == "open" && !open || status != "" && status != "open" && k.Status != status || q.Has("owner") && k.Owner != q.Get("owner") ||
			exercise != "" && k.Exercise != (exercise == "true") || !b.SeesCase(r, k) {
			continue
		}
		list.Total++
		list.ByStatus[k.Status]++
		switch {
		case i >= p.below:
		case len(list.Cases) < p.limit:
			list.Cases = append(list.Cases, s.viewTriage(r, k, false))
		default:
			list.After = list.Cases[p.limit-1].ID
		}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, list)
}

const shownCaseEntries = 100

// showTriage answers with a case, its signals and what was written about it.
func (c *Control) showTriage(cl *call, status int, id string) error {
	c.mu.RLock()
	k, err := c.state.seenCase(cl.op, id)
	var v triageView
	var want []seek
	if err == nil {
		v = c.state.viewTriage(c.state.readerOf(cl.op), k, true)
		for _, seq := range k.Entries[max(0, len(k.Entries)-shownCaseEntries):] {
			want = append(want, seek{seq: seq})
		}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	if v.Entries, err = c.readTimeline(cl.r.Context(), want, ""); err != nil {
		return err
	}
	return cl.reply(status, v)
}

func (c *Control) getTriage(cl *call) error {
	if err := cl.op.may("triage.read"); err != nil {
		return err
	}
	return c.showTriage(cl, http.StatusOK, cl.r.PathValue("id"))
}

// seenSignals refuses signals that the operator may not know of.
func (s *state) seenSignals(op *operator, ids []string) error {
	for i, id := range ids {
		if _, err := s.seenSignal(op, id); err != nil {
			return badField("signals["+strconv.Itoa(i)+"]", "there is no signal "+strconv.Quote(short(id)))
		}
	}
	return nil
}

// postTriage opens a case by hand.
func (c *Control) postTriage(cl *call) error {
	if err := cl.op.may("triage.open"); err != nil {
		return err
	}
	x, err := decode[incident.CaseSpec](cl)
	if err != nil {
		return err
	}
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if err := s.seenSignals(cl.op, x.Signals); err != nil {
			return nil, err
		}
		if err := s.checkNeed(x.Marking); err != nil {
			return nil, err
		}
		if x.Marking != nil && !x.Marking.Allows(s.readerOf(cl.op)) {
			return nil, badField("marking.need_to_know", "leaves you out; name yourself as well")
		}
		id = s.book().NextCase()
		return s.incidentDraft(cl.op, &incident.CaseOpened{Case: id, CaseSpec: x}, now)
	})
	if err != nil {
		return err
	}
	cl.w.Header().Set("Location", "/api/v1/cases/"+id)
	return c.showTriage(cl, http.StatusCreated, id)
}

// caseStep runs a command on the case of the path and shows it.
func caseStep[T any](c *Control, cl *call, event func(s *state, id string, x T) (incident.Event, error)) error {
	x, err := decode[T](cl)
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if _, err := s.seenCase(cl.op, id); err != nil {
			return nil, err
		}
		e, err := event(s, id, x)
		if err != nil {
			return nil, err
		}
		return s.incidentDraft(cl.op, e, now)
	})
	if err != nil {
		return err
	}
	return c.showTriage(cl, http.StatusOK, id)
}

// What is done to a case, as the API takes it.
type (
	caseSignals struct {
		Signals []string `json:"signals"`
	}
	caseAssessment struct {
		Severity incident.Severity `json:"severity,omitempty"`
		Owner    string            `json:"owner,omitempty"`
		Text     string            `json:"text"`
	}
	caseClosing struct {
		Reason string `json:"reason"` // typed
		Text   string `json:"text"`
		Of     string `json:"of,omitempty"`
	}
	caseJoining struct {
		Incident string `json:"incident"`
		Reason   string `json:"reason"`
	}
)

func (c *Control) postTriageSignals(cl *call) error {
	if err := cl.op.may("triage.group"); err != nil {
		return err
	}
	return caseStep(c, cl, func(s *state, id string, x caseSignals) (incident.Event, error) {
		return &incident.CaseGrouped{Case: id, Signals: x.Signals}, s.seenSignals(cl.op, x.Signals)
	})
}

func (c *Control) postTriageAssess(cl *call) error {
	if err := cl.op.may("triage.assess"); err != nil {
		return err
	}
	return caseStep(c, cl, func(s *state, id string, x caseAssessment) (incident.Event, error) {
		if x.Owner != "" {
			if err := s.operatorThere("owner", x.Owner); err != nil {
				return nil, err
			}
		}
		return &incident.CaseAssessed{Case: id, Severity: x.Severity, Owner: x.Owner, Text: x.Text}, nil
	})
}

func (c *Control) postTriageClose(cl *call) error {
	if err := cl.op.may("triage.close"); err != nil {
		return err
	}
	return caseStep(c, cl, func(s *state, id string, x caseClosing) (incident.Event, error) {
		if x.Of != "" {
			if _, err := s.seenCase(cl.op, x.Of); err != nil {
				return nil, badField("of", "there is no triage case "+strconv.Quote(short(x.Of)))
			}
		}
		return &incident.CaseClosed{Case: id, Reason: x.Reason, Text: x.Text, Of: x.Of}, nil
	})
}

func (c *Control) postTriageReopen(cl *call) error {
	if err := cl.op.may("triage.reopen"); err != nil {
		return err
	}
	return caseStep(c, cl, func(s *state, id string, x reasoned) (incident.Event, error) {
		return &incident.CaseReopened{Case: id, Reason: x.Reason}, nil
	})
}

// postTriageJoin makes a case part of an incident that is there.
func (c *Control) postTriageJoin(cl *call) error {
	if err := cl.op.may("triage.join"); err != nil {
		return err
	}
	return caseStep(c, cl, func(s *state, id string, x caseJoining) (incident.Event, error) {
		if _, err := s.seen(cl.op, x.Incident); err != nil {
			return nil, badField("incident", "there is no incident "+strconv.Quote(short(x.Incident)))
		}
		in := s.book().Root(x.Incident)
		return &incident.CaseJoined{Case: id, Incident: in.ID, Reason: x.Reason}, nil
	})
}
