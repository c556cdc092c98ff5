package gateway

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/order"
	"andon/wire"
	"andon/wire/wires"
)

// ownPath is where callers acknowledge the uses that they are asked to: the one
// path on the data listener that is the gateway's own.
const ownPath = "/andon/acknowledgements"

const (
	maxAcknowledgement = 16 << 10 // bytes of a body
	acknowledgeTime    = 10 * time.Second
	acknowledgeMost    = 30 // a minute for each caller, asking what there is included
	acknowledgeCallers = 10_000
)

// owed is one acknowledgement that a caller is asked for.
type owed struct {
	Correction   string    `json:"correction"`
	UseCase      string    `json:"use_case"`
	By           time.Time `json:"acknowledge_by"`
	Over         bool      `json:"over"` // the deadline is past: the use is refused until it is acknowledged
	Reason       string    `json:"reason,omitempty"`
	Declared     bool      `json:"declared"` // the key, or this request, declares the use
	Acknowledged bool      `json:"acknowledged"`
	LegalOrder   string    `json:"legal_order,omitempty"`
}

// own serves the gateway's own path: who calls first, then what is asked. It waits
// for the control plane, which no call to a model does.
func (x *exchange) own(c *call, rl *ruling, path string) *wire.Problem {
	g, r := x.g, x.r
	x.wr = wires.Guess(path, func(name string) string { return r.Header.Get(name) })
	if rl == nil {
		return &wire.Problem{Status: http.StatusServiceUnavailable, Code: "andon_no_order", Title: "Not ready", Detail: "this gateway has no valid order yet", Retry: true}
	}
	now, _ := g.clock.span()
	caller, p := g.identify(r, rl, now)
	if p != nil {
		return p
	}
	if caller.org == "" && caller.key == "" {
		return &wire.Problem{Status: http.StatusForbidden, Code: "nobody", Title: "Nobody in particular", Detail: "this gateway does not know who calls, so nobody can acknowledge"}
	}
	if wait := g.acknowledging.take(caller.org+"\x00"+caller.key, time.Now()); wait > 0 {
		return &wire.Problem{Status: http.StatusTooManyRequests, Code: "too_many", Title: "Too many", Detail: "at most 30 a minute are served on this path", Retry: true, RetryAfter: wait}
	}
	c.caller = caller
	x.env.Reset()
	g.describe(&c.req, x, caller)
	switch r.Method {
	case http.MethodGet:
		list := struct {
			Acknowledgements []owed `json:"acknowledgements"`
		}{x.owes(c, rl, now)}
		return x.answerOwn(http.StatusOK, list)
	case http.MethodPost:
		return x.acknowledge(c, rl, now)
	}
	x.w.Header()["Allow"] = []string{"GET, POST"}
	return &wire.Problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Title: "Method not allowed", Detail: "this path takes GET and POST"}
}

func (x *exchange) answerOwn(status int, v any) *wire.Problem {
	data, err := json.Marshal(v)
	if err != nil {
		return &wire.Problem{Status: http.StatusInternalServerError, Code: "internal", Title: "Internal error", Detail: "the answer can not be written"}
	}
	x.w.Header()["Content-Type"] = contentJSON
	x.w.WriteHeader(status)
	x.w.Write(append(data, '\n'))
	x.g.metrics.outcome(x, "ok")
	return nil
}

// owes finds what the caller is asked to acknowledge, by the policy itself: what
// would be asked for if it declared the use, on any model.
func (x *exchange) owes(c *call, rl *ruling, now correction.Span) []owed {
	list := []owed{}
	rl.policy.Each(func(r *correction.Rule) bool {
		cor := r.Correction
		if cor.Params.Action != "acknowledge" || cor.Mode == correction.Shadow {
			return true
		}
		done := c.req.Org != "" && slices.Contains(cor.Acknowledged, c.req.Org) || slices.Contains(cor.Acknowledged, "key:"+c.req.Key)
		if uses := append(slices.Clone(c.req.UseCases), cor.Params.UseCase); !done && !x.reached(c, rl, cor.ID, uses, now) {
			return true
		}
		list = append(list, owed{Correction: cor.ID, UseCase: cor.Params.UseCase, By: cor.Params.AcknowledgeBy.UTC(), Over: now.Late >= cor.Params.AcknowledgeBy.UnixNano(),
			Reason: cor.PublicReason, Acknowledged: done, LegalOrder: cor.LegalOrder, Declared: slices.ContainsFunc(c.req.UseCases, func(u string) bool {
				return u == cor.Params.UseCase || strings.HasPrefix(u, cor.Params.UseCase+"/")
			})})
		return true
	})
	return list
}

// reached says whether a correction asks the caller for an acknowledgement, or
// refuses it without one, on any model that is served here.
func (x *exchange) reached(c *call, rl *ruling, id string, uses []string, now correction.Span) bool {
	is := func(r *correction.Rule) bool { return r.Correction.ID == id }
	q := c.req
	q.UseCases = uses
	for _, m := range x.g.order {
		m.describe(&q)
		rl.policy.Decide(&q, now, &x.verdict)
		if slices.ContainsFunc(x.verdict.Acknowledge, is) || slices.ContainsFunc(x.verdict.Refused, is) {
			return true
		}
	}
	return false
}

// acknowledge hands a statement to the control plane, and answers once it is in
// the ledger.
func (x *exchange) acknowledge(c *call, rl *ruling, now correction.Span) *wire.Problem {
	g := x.g
	bad := func(detail string) *wire.Problem {
		return &wire.Problem{Status: http.StatusBadRequest, Code: "invalid_request", Title: "Invalid request", Detail: detail}
	}
	if len(x.r.Header["Content-Encoding"]) > 0 {
		return bad("the body has to be sent without Content-Encoding")
	}
	data, err := io.ReadAll(io.LimitReader(x.r.Body, maxAcknowledgement+1))
	if err != nil {
		return bad("the body ended too early")
	}
	if len(data) > maxAcknowledgement {
		return &wire.Problem{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Title: "Body too large", Detail: "the body may have 16 KiB"}
	}
	var b struct {
		Correction string `json:"correction"`
		Statement  string `json:"statement"`
	}
	if err := json.Unmarshal(data, &b, json.RejectUnknownMembers(true)); err != nil {
		return bad(`the body has to be {"correction": "c-5", "statement": "…"} and nothing else`)
	}
	if strings.TrimSpace(b.Statement) == "" || len(b.Statement) > correction.MaxReasonBytes {
		return bad("statement: say in 1 to 4096 bytes what you acknowledge")
	}
	if !slices.ContainsFunc(x.owes(c, rl, now), func(o owed) bool { return o.Correction == b.Correction }) {
		return &wire.Problem{Status: http.StatusNotFound, Code: "not_found", Title: "Not found", Detail: "you are not asked to acknowledge " + printable(b.Correction) + "; GET " + ownPath + " lists what you are"}
	}
	unavailable := &wire.Problem{Status: http.StatusServiceUnavailable, Code: "andon_unavailable", Title: "Not available now", Retry: true, RetryAfter: 5 * time.Second,
		Detail: "the control plane can not be reached; it is not known whether the acknowledgement was recorded: GET " + ownPath + " tells, later"}
	if g.cfg.Bus == nil {
		return unavailable
	}
	ask, err := json.Marshal(order.Acknowledge{Gateway: g.cfg.Name, Correction: b.Correction, Org: c.caller.org, Key: c.caller.key, Statement: b.Statement})
	if err != nil {
		return unavailable
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), acknowledgeTime)
	defer cancel()
	answer, err := g.cfg.Bus.Request(ctx, order.SubjectAcknowledge, ask)
	var receipt order.Receipt
	if err == nil {
		err = json.Unmarshal(answer, &receipt)
	}
	switch {
	case err != nil:
		g.log.Warn("an acknowledgement was not recorded", "request", x.id, "error", err)
		return unavailable
	case receipt.Code == "ledger_full" || receipt.Code == "ledger_unavailable" || receipt.Code == "unavailable":
		return unavailable
	case receipt.Code != "" || receipt.ID == "":
		return &wire.Problem{Status: http.StatusConflict, Code: "not_acknowledged", Title: "Not acknowledged", Detail: "the control plane did not take it: " + printable(receipt.Detail)}
	}
	x.w.Header()["Location"] = []string{ownPath}
	return x.answerOwn(http.StatusCreated, receipt)
}

// turns bounds how often each caller is served in a minute.
type turns struct {
	mu    sync.Mutex
	until time.Time // end of the minute
	used  map[string]int
}

// take reports how long the caller has to wait; 0: it is served.
func (t *turns) take(who string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == nil || !now.Before(t.until) {
		t.used, t.until = map[string]int{}, now.Add(time.Minute)
	}
	if t.used[who] >= acknowledgeMost || t.used[who] == 0 && len(t.used) >= acknowledgeCallers {
		return t.until.Sub(now)
	}
	t.used[who]++
	return 0
}
