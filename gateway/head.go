package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"andon/wire/wires"
)

var contentJSON = []string{"application/json"}

// stay lists request headers, in canonical form, that do not travel on: those
// of one hop, the caller's credentials, what would make the provider compress,
// and what only we may say.
var stay = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Expect": true,
	"Host": true, "Content-Length": true, "Content-Encoding": true, "Accept-Encoding": true,
	"Authorization": true, "X-Api-Key": true, "X-Goog-Api-Key": true, "Api-Key": true, "Cookie": true,
	"Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Host": true, "X-Forwarded-Proto": true, "X-Forwarded-Prefix": true, "X-Real-Ip": true,
	"X-Goog-Fieldmask":       true, // would leave the usage out
	"Range":                  true, // a part of an answer can not be judged
	"If-Range":               true,
	"X-Http-Method-Override": true, "X-Http-Method": true, "X-Method-Override": true, "X-Original-Url": true, "X-Rewrite-Url": true,
}

// account lists headers that choose whose account pays and answers. They are
// the caller's to send only where the credential is the caller's, too.
var account = map[string]bool{"Openai-Organization": true, "Openai-Project": true, "X-Goog-User-Project": true}

// roomy is a head's capacity, in bytes: a small body goes out behind it, in the
// same write.
const roomy = 4 << 10

// appendHead writes the head of the request that the provider gets; n is the
// length of its body, -1 if it has none.
func (x *exchange) appendHead(b []byte, c *call, n int) []byte {
	m, r := c.model, x.r
	if cap(b) < roomy {
		b = make([]byte, 0, roomy)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, m.host.Prefix...)
	name := m.UpstreamModel // to be written where it differs
	if x.env.Model == name {
		name = ""
	}
	b = append(b, x.rt.Path(r.URL.EscapedPath(), name)...)
	if q := r.URL.RawQuery; q != "" {
		if q = x.rt.Query(wires.WithoutKey(q), name); q != "" {
			b = append(b, '?')
			b = append(b, q...)
		}
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, m.host.Name...)
	b = append(b, "\r\n"...)
	if n >= 0 {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, "\r\n"...)
	}
	named := r.Header["Connection"]
	for k, vs := range r.Header {
		if stay[k] || strings.HasPrefix(k, "Andon-") || strings.HasPrefix(k, "Sec-Websocket-") || k == x.g.countryHeader || m.key != "" && account[k] || len(named) > 0 && listed(named, k) {
			continue
		}
		for _, v := range vs {
			b = appendHeader(b, k, v)
		}
	}
	if r.Header["Content-Type"] == nil && n > 0 {
		b = appendHeader(b, "Content-Type", "application/json")
	}
	if m.key != "" {
		switch x.wr.Name() {
		case "anthropic":
			b = appendHeader(b, "X-Api-Key", m.key)
		case "gemini":
			b = appendHeader(b, "X-Goog-Api-Key", m.key)
		default:
			b = appendHeader(b, "Authorization", "Bearer "+m.key)
		}
	} else if x.g.cfg.Identity.Mode != "keys" {
		// The caller's own credential is the provider's: Andon issued none.
		for _, k := range [...]string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key"} {
			for _, v := range r.Header[k] {
				b = appendHeader(b, k, v)
			}
		}
	}
	return append(b, "\r\n"...)
}

func appendHeader(b []byte, k, v string) []byte {
	b = append(b, k...)
	b = append(b, ": "...)
	b = append(b, v...)
	return append(b, "\r\n"...)
}

// listed reports whether a Connection header names k as one of this hop.
func listed(named []string, k string) bool {
	for _, v := range named {
		for f := range strings.SplitSeq(v, ",") {
			if http.CanonicalHeaderKey(strings.TrimSpace(f)) == k {
				return true
			}
		}
	}
	return false
}

// copyHead takes over the head of the provider's answer; n is the length of
// the body, -1 if it is not known.
func (x *exchange) copyHead(resp *http.Response, n int64) {
	h := x.w.Header()
	named := resp.Header["Connection"]
	for k, vs := range resp.Header {
		switch k {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length":
			continue
		}
		if strings.HasPrefix(k, "Andon-") || len(named) > 0 && listed(named, k) {
			continue
		}
		h[k] = vs
	}
	x.rateHeaders(h)
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // none came, so none is guessed
	}
	if n >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(n, 10)}
	}
	if resp.StatusCode != http.StatusOK {
		x.w.WriteHeader(resp.StatusCode)
	}
}
