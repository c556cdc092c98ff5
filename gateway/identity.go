package gateway

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"andon/correction"
	"andon/wire"
	"andon/wire/wires"
)

// Headers by which a trusted proxy says who calls (identity mode header), and
// by which any caller declares its use case.
const (
	headerOrg        = "Andon-Org"
	headerUser       = "Andon-User"
	headerKey        = "Andon-Key"
	headerTier       = "Andon-Tier"
	headerAttributes = "Andon-Attributes" // "name=value, name=value"
	headerUseCase    = "Andon-Use-Case"   // "node, node"
)

// identify says who calls. In mode keys it is the key's owner; in mode header
// what a trusted proxy says; in mode open nobody in particular. What the body
// claims comes later, and never replaces what is verified.
func (g *Gateway) identify(r *http.Request, rl *ruling, now correction.Span) (*caller, *wire.Problem) {
	switch g.cfg.Identity.Mode {
	case "open":
		return &anyone, nil
	case "header":
		if !g.trusted(peer(r)) {
			return nil, &wire.Problem{Status: http.StatusUnauthorized, Code: "untrusted_source", Title: "Unknown caller",
				Detail: "this gateway takes identity from named proxies only, and the connection does not come from one"}
		}
		c := &caller{org: r.Header.Get(headerOrg), user: r.Header.Get(headerUser), key: r.Header.Get(headerKey), tier: r.Header.Get(headerTier)}
		for _, h := range []string{headerOrg, headerUser, headerKey, headerTier, headerAttributes} {
			if len(r.Header[h]) > 1 {
				return nil, &wire.Problem{Status: http.StatusBadRequest, Code: "ambiguous_identity", Title: "Ambiguous identity",
					Detail: "the header " + strings.ToLower(h) + " is given more than once", Param: strings.ToLower(h)}
			}
		}
		c.attributes = split(r.Header.Get(headerAttributes))
		return c, nil
	}
	secret, ok := credential(r)
	if !ok {
		return nil, &wire.Problem{Status: http.StatusUnauthorized, Code: "ambiguous_key", Title: "Ambiguous API key",
			Detail: "different API keys are given in Authorization, x-api-key, x-goog-api-key, a WebSocket's subprotocols or ?key=: send one"}
	}
	if secret == "" {
		return nil, &wire.Problem{Status: http.StatusUnauthorized, Code: "missing_api_key", Title: "No API key",
			Detail: "no API key: send it as Authorization: Bearer, x-api-key or x-goog-api-key"}
	}
	c := rl.keys[sha256.Sum256([]byte(secret))]
	if c == nil {
		return nil, badKey("this API key is not known, or was revoked")
	}
	if c.expired(now) {
		return nil, badKey("this API key has expired")
	}
	return c, nil
}

func badKey(detail string) *wire.Problem {
	return &wire.Problem{Status: http.StatusUnauthorized, Code: "invalid_api_key", Title: "Invalid API key", Detail: detail}
}

var anyone caller

// admits reports whether the key of a caller that was identified is still good.
func (g *Gateway) admits(rl *ruling, c *caller, now correction.Span) bool {
	if g.cfg.Identity.Mode != "keys" {
		return true
	}
	k := rl.keys[c.hash]
	return k != nil && !k.expired(now)
}

func (c *caller) expired(now correction.Span) bool {
	return !c.expires.IsZero() && now.Late >= c.expires.UnixNano()
}

// credential finds the caller's key. Two different ones are an attempt to be
// somebody else, or a mistake: neither is guessed at.
func credential(r *http.Request) (secret string, ok bool) {
	for _, v := range r.Header["Authorization"] {
		if len(v) > 7 && strings.EqualFold(v[:7], "bearer ") {
			v = strings.TrimSpace(v[7:])
		}
		if secret != "" && v != secret {
			return "", false
		}
		secret = v
	}
	for _, h := range [...]string{"X-Api-Key", "X-Goog-Api-Key"} {
		for _, v := range r.Header[h] {
			if secret != "" && v != secret {
				return "", false
			}
			secret = v
		}
	}
	for _, v := range r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			v, is := strings.CutPrefix(strings.TrimSpace(p), keyProtocol)
			if is && secret != "" && v != secret {
				return "", false
			}
			if is {
				secret = v
			}
		}
	}
	if r.URL.RawQuery != "" {
		if v := wires.QueryKey(r.URL.RawQuery); v != "" {
			if secret != "" && v != secret {
				return "", false
			}
			secret = v
		}
	}
	return secret, true
}

func (g *Gateway) trusted(ip netip.Addr) bool {
	for _, p := range g.cfg.Identity.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// address is where the caller is. Forwarding headers count only as far as
// trusted proxies wrote them: the nearest address that is not a trusted proxy's.
func (g *Gateway) address(r *http.Request) netip.Addr {
	ip := peer(r)
	if len(g.cfg.Identity.TrustedProxies) == 0 || !g.trusted(ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		a, err := netip.ParseAddr(strings.Trim(hop, "[]"))
		if err != nil {
			at, err := netip.ParseAddrPort(hop) // some proxies write the port, too
			if err != nil {
				return ip
			}
			a = at.Addr()
		}
		if ip = a.Unmap().WithZone(""); !g.trusted(ip) {
			return ip
		}
	}
	return ip
}

// describe fills the request that is decided on. Strings are copied where they
// would otherwise keep the body alive.
func (g *Gateway) describe(q *correction.Request, x *exchange, c *caller) {
	r, e := x.r, &x.env
	q.Org, q.Key, q.Tier, q.Attributes = c.org, c.key, c.tier, c.attributes
	q.Surface = c.surface
	if q.Surface == "" {
		q.Surface = g.cfg.Surface
	}
	q.IP = g.address(r)
	q.Country = g.countryOf(r, q.IP)
	if c.user != "" {
		q.Users = append(q.Users, c.user)
	}
	for _, u := range e.Users {
		if u != "" && len(q.Users) < 4 {
			q.Users = append(q.Users, strings.Clone(u))
		}
	}
	for _, u := range q.Users {
		if f := correction.FoldUser(u); f != u && f != "" {
			q.Folded = append(q.Folded, f)
		}
	}
	q.UseCases = c.useCases
	if h := r.Header[headerUseCase]; len(h) > 0 {
		q.UseCases = append(q.UseCases[:len(q.UseCases):len(q.UseCases)], split(strings.Join(h, ","))...)
	}
	for _, t := range e.Tools {
		q.Tools = append(q.Tools, strings.Clone(t))
	}
	for _, t := range e.OptionalTools {
		q.OptionalTools = append(q.OptionalTools, strings.Clone(t))
	}
	q.Features, q.Optional = e.Features|x.rt.Features, e.Optional&^x.rt.Features
	if e.HasTools || e.Stored { // what is stored with the provider may hold tools, and nobody here can look
		q.Features |= correction.Tools
	}
	if e.Stream || x.rt.Stream {
		q.Features |= correction.Streaming
	}
	switch x.rt.Op {
	case wire.OpGenerate, wire.OpRun, wire.OpBatch, wire.OpRealtime, wire.OpTranscribe, wire.OpSpeech, wire.OpImage:
		q.Generates = true
	}
	q.Brings = q.Generates || x.brings()
	if x.unseen() {
		q.Features |= wire.StoredPrompt
	}
	q.OutputTokens, q.Choices, q.Messages, q.Temperature, q.Reasoning = e.MaxTokens, e.Choices, e.Messages, e.Temperature, e.Reasoning
	q.Effort = e.Effort
	q.InputTokens = int64(len(x.body))/bytesPerToken + 1
}

// unseen reports whether the call sets a model going by what the provider keeps,
// or by a body of which only the models are read: it may use anything.
func (x *exchange) unseen() bool {
	return x.rt.Op == wire.OpRun && x.rt.Features&correction.CodeExecution == 0 // else it is a place to run code in
}

// brings reports whether the body of a call that generates nothing holds texts
// that a model is to measure, or is told when it is set going later.
func (x *exchange) brings() bool {
	switch x.rt.Op {
	case wire.OpEmbed, wire.OpCountTokens, wire.OpModerate, wire.OpStored, wire.OpFile:
		return len(x.body) > 0 && !x.env.Form && (x.rt.Body == wire.BodyJSON || x.rt.Body == wire.BodyEither)
	}
	return false
}

func split(s string) (parts []string) {
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// nextKeyExpiry is the earliest later expiry of a key, for the sweep that ends
// its calls.
func (r *ruling) nextKeyExpiry(after time.Time) (next time.Time) {
	for _, c := range r.keys {
		if c.expires.After(after) && (next.IsZero() || c.expires.Before(next)) {
			next = c.expires
		}
	}
	return next
}
