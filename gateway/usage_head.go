package gateway

import (
	"net/http"
	"strconv"
	"time"

	"andon/gateway/limit"
)

// told are the metrics that the providers' own rate-limit headers speak of: the
// part of the name that stands for each.
var told = map[string]struct{ openai, anthropic string }{
	"requests":      {"Requests", "Requests"},
	"total_tokens":  {"Tokens", "Tokens"},
	"input_tokens":  {"Tokens", "Input-Tokens"},
	"output_tokens": {"Tokens", "Output-Tokens"},
}

// rateHeaders puts the limits that reach this call into the headers by which its
// provider tells of its own, so that clients which pace themselves by them pace
// themselves by what is true. Of the provider's limit and those of corrections the
// tighter is told: the one of which less remains. The Gemini API has no such headers; where
// no rate correction reaches the call, nothing is changed.
func (x *exchange) rateHeaders(h http.Header) {
	if len(x.acct.limits) == 0 || x.wr == nil {
		return
	}
	anthropic := x.wr.Name() == "anthropic"
	if !anthropic && x.wr.Name() != "openai" {
		return
	}
	now := x.g.limits.Now(x.g.clock.mono())
	for _, r := range x.acct.limits {
		names, ok := told[r.Correction.Params.Metric]
		if !ok {
			continue
		}
		key, spec, _, _ := x.ask(r, x.acct.req)
		s, _ := x.g.limits.Look(key, spec, now, 0)
		if anthropic {
			prefix := "Anthropic-Ratelimit-" + names.anthropic + "-"
			tell(h, prefix+"Limit", prefix+"Remaining", prefix+"Reset", s, x.g.clock.now().Add(s.Reset).UTC().Format(time.RFC3339))
		} else {
			tell(h, "X-Ratelimit-Limit-"+names.openai, "X-Ratelimit-Remaining-"+names.openai, "X-Ratelimit-Reset-"+names.openai, s, s.Reset.Round(time.Millisecond).String())
		}
	}
}

// tell sets three headers, unless they tell of less that remains already.
func tell(h http.Header, limit, remaining, reset string, s limit.Standing, at string) {
	if have, err := strconv.ParseInt(h.Get(remaining), 10, 64); err == nil && have <= s.Remaining {
		return
	}
	h[limit] = []string{strconv.FormatInt(s.Limit, 10)}
	h[remaining] = []string{strconv.FormatInt(s.Remaining, 10)}
	h[reset] = []string{at}
}
