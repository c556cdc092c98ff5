package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/wire"
)

// withdrawn is when a caller may ask again for a model that was taken away
// without saying until when.
const withdrawn = 5 * time.Minute

// refuse answers a call that a correction, a posture or a limit does not admit.
func (x *exchange) refuse(c *call, why *reason) {
	p := x.g.problem(c, why)
	h := x.w.Header() // of an attempt before this
	delete(h, "Andon-Fallback-From")
	delete(h, "Andon-Model")
	c.refusedAs = action(p)
	x.g.record(x, c, c.refusedAs, p.Status, p.Corrections)
	x.g.metrics.refused(p.Kind)
	x.linkRefused(c, why)
	x.fail(p)
}

func action(p *wire.Problem) string {
	if p.Kind == string(correction.Rate) {
		return "limited"
	}
	return "refused"
}

// fail answers in the wire's own error envelope.
func (x *exchange) fail(p *wire.Problem) {
	h := x.w.Header()
	p.RequestID = x.id
	if rl := x.g.current.Load(); rl != nil && p.Revision == 0 {
		p.Revision = rl.revision
	}
	x.head = x.wr.AppendError(x.head[:0], p)
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(len(x.head))}
	// The SDKs retry 429 and 5xx by themselves unless they are told not to.
	h["X-Should-Retry"] = []string{strconv.FormatBool(p.Retry)}
	if p.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10)}
	}
	if len(p.Corrections) > 0 {
		h["Andon-Corrections"] = []string{strings.Join(p.Corrections, ", ")}
	}
	x.rateHeaders(h)
	if p.Status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{`Bearer realm="andon"`}
	}
	x.w.WriteHeader(p.Status)
	x.w.Write(x.head)
	x.g.metrics.outcome(x, "refused")
}

// problem says to the caller why its call is refused or was cut.
func (g *Gateway) problem(c *call, why *reason) *wire.Problem {
	p := &wire.Problem{Status: why.status, Code: why.code, Title: "Model not available", Detail: why.detail, RequestID: c.id,
		NoticeURL: g.cfg.NoticeURL, AppealURL: g.cfg.AppealURL}
	if rl := why.ruling; rl != nil {
		p.Revision = rl.revision
	} else if rl := g.current.Load(); rl != nil {
		p.Revision = rl.revision
	}
	if len(why.refused) == 0 {
		if p.Status == http.StatusServiceUnavailable {
			p.RetryAfter, p.Retry = 30*time.Second, false
		}
		return p
	}
	top := why.refused[0].Correction
	now := time.Now()
	p.Code, p.Title = "andon_correction", title(top)
	p.Status = top.Status()
	p.CorrectionID, p.Kind, p.Scope, p.Reason = top.ID, string(top.Kind), top.Scope.Public(), top.PublicReason
	if top.LegalOrder != "" {
		p.Reason = strings.TrimSpace(top.LegalOrder + ". " + p.Reason)
	}
	p.ReviewBy, p.Reversible = top.ReviewBy, top.Level() < 6
	for _, r := range why.refused {
		p.Corrections = append(p.Corrections, r.Correction.ID)
	}
	v := correction.Verdict{Refused: why.refused}
	if m := c.model; m != nil {
		p.Fallback = v.Fallback(m.Fallback)
	}
	switch p.Status {
	case http.StatusServiceUnavailable:
		p.RetryAfter = withdrawn
		if left := top.ExpiresAt.Sub(now); !top.ExpiresAt.IsZero() && left > 0 {
			p.RetryAfter = left
		}
	case http.StatusTooManyRequests:
		p.RetryAfter = c.retryAfter
		p.Retry = p.RetryAfter > 0 && p.RetryAfter <= time.Minute
	}
	if p.Detail = why.detail; p.Detail == "" {
		p.Detail = detail(top)
	}
	return p
}

var titles = map[correction.Kind]string{
	correction.Stop:       "Model withdrawn",
	correction.Access:     "Access restricted",
	correction.Use:        "Use prohibited",
	correction.Capability: "Capability switched off",
	correction.Rate:       "Rate limited",
}

// title names what refuses, the same for each way of doing so.
func title(top *correction.Correction) string {
	switch p := &top.Params; {
	case p.Filter != nil:
		return "Content filtered"
	case len(p.Clamp) > 0:
		return "Bounded for now"
	case p.Pin != "":
		return "Version pinned"
	}
	return titles[top.Kind]
}

// detail says what is taken away; the wire adds by what, why and until when.
func detail(top *correction.Correction) string {
	switch top.Kind {
	case correction.Stop:
		if top.Level() == 0 {
			return "Changes to this model are frozen for now: it is served, and nothing new is made of it."
		}
		if top.Level() >= 5 {
			return "This model has been withdrawn for good."
		}
		return "This model has been withdrawn for now."
	case correction.Access:
		return "Access to this model is restricted."
	case correction.Use:
		if top.Params.Action == "acknowledge" {
			return "This use has to be acknowledged first: " + top.Params.UseCase + ". Acknowledge it by POST /andon/acknowledgements with this API key."
		}
		return "This use is prohibited for now: " + top.Params.UseCase + "."
	case correction.Capability:
		return capability(&top.Params)
	}
	limit := "The limit of " + strconv.FormatInt(*top.Params.Limit, 10) + " " + strings.ReplaceAll(top.Params.Metric, "_", " ")
	if top.Params.Window > 0 {
		limit += " in " + top.Params.Window.String()
	}
	return limit + " is reached."
}

// capability says which part of a model is taken away.
func capability(p *correction.Params) string {
	switch {
	case len(p.Disable) > 0:
		return "Switched off for now: " + strings.Join(p.Disable, ", ") + "."
	case p.Pin != "":
		return "This model is held at version " + p.Pin + " for now, which can not serve this request."
	case p.Filter != nil:
		return "A filter that is in force for now found what it looks for."
	}
	var bounds []string
	for _, name := range slices.Sorted(maps.Keys(p.Clamp)) {
		bounds = append(bounds, strings.ReplaceAll(name, "_", " ")+" at most "+strconv.FormatFloat(p.Clamp[name], 'f', -1, 64))
	}
	return "This request goes beyond what is allowed for now: " + strings.Join(bounds, ", ") + "."
}
