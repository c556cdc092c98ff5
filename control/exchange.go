package control

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/openc2"
)

// This room writes the record for others: the whole history of corrections as
// OpenC2 commands and responses, one message a line.

var exchangeTable = []route{
	{"GET", "/api/v1/openc2", "", false, (*Control).getOpenC2},
}

var exchangePermits = map[string]authority.Set{"history.export": readers}

var exchangeCodes = map[string]code{}

var exchangeFolds = map[string]foldFunc{}

// openC2Of are the messages that an entry is in OpenC2; none for what is no
// command to an actuator. Of an incident that knows refuses, nothing is written.
func openC2Of(e *ledger.Entry, knows func(incident string) bool) ([]openc2.Message, error) {
	var out []openc2.Message
	at := e.At
	say := func(cmd openc2.Command) { out = append(out, openc2.Request(cmd, at, e.Actor)) }
	apply := func(c *correction.Correction) {
		if c.Incident != "" && !knows(c.Incident) {
			c.Incident = ""
		}
		say(openc2.Apply(c, e.Seq))
	}
	switch e.Type {
	case typeCreated:
		b, err := read[createdBody](e.Body)
		if err != nil {
			return nil, err
		}
		apply(&b.Correction)
	case typeAdopted:
		b, err := read[adoptedBody](e.Body)
		if err != nil {
			return nil, err
		}
		for i := range b.Corrections {
			apply(&b.Corrections[i])
		}
	case typeLifted, typeExpired:
		b, err := read[changedBody](e.Body)
		if err != nil {
			return nil, err
		}
		if e.Type == typeLifted { // what expires was told so by its stop_time
			say(openc2.Cancel(b.ID, b.Reason, e.Seq))
		}
	case typeExtended, typeRatified, typeRaised:
		b, err := read[changedBody](e.Body)
		if err != nil {
			return nil, err
		}
		if b.Level != "" {
			say(openc2.Raise(b.ID, b.Level, b.Reason, e.Seq))
			break
		}
		say(openc2.Update(b.ID, b.Reason, b.ExpiresAt, b.ReviewBy, e.Seq))
	case typeRestored:
		b, err := read[restoredBody](e.Body)
		if err != nil {
			return nil, err
		}
		for _, id := range b.Lift {
			say(openc2.Cancel(id, b.Reason, e.Seq))
		}
		for _, set := range [][]correction.Correction{b.Reinstate, b.Change} {
			for i := range set {
				apply(&set[i])
			}
		}
	case typeMeasured:
		b, err := read[measuredBody](e.Body)
		if err != nil {
			return nil, err
		}
		for _, id := range b.Corrections {
			for _, p := range b.Points {
				result := map[string]any{openc2.Namespace: map[string]any{"revision": b.Revision, "cut": p.Cut}}
				if !p.AcceptedAt.IsZero() {
					out = append(out, openc2.Acknowledge(id, http.StatusProcessing, "accepted", p.AcceptedAt, p.Name, nil))
				}
				switch {
				case !p.EnforcingAt.IsZero():
					out = append(out, openc2.Acknowledge(id, http.StatusOK, "enforcing", p.EnforcingAt, p.Name, result))
				case p.Error != "":
					out = append(out, openc2.Acknowledge(id, http.StatusInternalServerError, p.Error, at, p.Name, nil))
				}
			}
		}
	}
	return out, nil
}

// getOpenC2 writes the history from an entry on. It ends with the entries that
// there were when it was asked for.
func (c *Control) getOpenC2(cl *call) error {
	if err := cl.op.may("history.export"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	if err := onlyQuery(q, "from"); err != nil {
		return err
	}
	var from uint64
	if text := q.Get("from"); text != "" {
		var err error
		if from, err = strconv.ParseUint(text, 10, 64); err != nil {
			p := problem("invalid_query", strconv.Quote(short(text))+" is not the number of an entry")
			p.Field = "from"
			return p
		}
	}
	knows := func(id string) bool {
		c.mu.RLock()
		defer c.mu.RUnlock()
		return c.state.knows(cl.op, id)
	}
	rc := http.NewResponseController(cl.w)
	cl.w.Header().Set("Content-Type", "application/x-ndjson")
	err := c.cfg.Log.Read(cl.r.Context(), from, c.cfg.Log.Size(), func(e ledger.Entry) error {
		messages, err := openC2Of(&e, knows)
		if err != nil {
			return err
		}
		for i := range messages {
			line, err := json.Marshal(&messages[i], json.Deterministic(true))
			if err != nil {
				return err
			}
			if err := rc.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return err
			}
			if _, err := cl.w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.log.Warn("an export ended early", "operator", cl.op.id, "error", err)
		panic(http.ErrAbortHandler) // a list that ends here would look whole
	}
	return nil
}
