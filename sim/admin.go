package sim

import (
	"encoding/base64"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// shownHeaders are the request headers that the journal tells. Keys are not
// among them: a journal is printed and pasted.
var shownHeaders = []string{
	"Accept", "Accept-Encoding", "Anthropic-Beta", "Anthropic-Version", "Content-Encoding", "Content-Type",
	"Openai-Organization", "Openai-Project", "Traceparent", "User-Agent", "X-Forwarded-For", "X-Request-Id",
	"X-Stainless-Lang", "X-Stainless-Retry-Count",
}

// keyHeaders are told by their presence alone.
var keyHeaders = []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"}

// admin serves /_sim, which is not journalled.
func (s *Sim) admin(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/active":
		streams, plain := s.Active()
		b := append([]byte(nil), `{"active": `...)
		b = strconv.AppendInt(b, streams, 10)
		b = append(b, `, "plain": `...)
		b = strconv.AppendInt(b, plain, 10)
		b = append(b, `, "served": `...)
		b = strconv.AppendInt(b, s.served.Load(), 10)
		writeJSON(w, http.StatusOK, append(b, "}\n"...))
	case "GET /_sim/requests":
		q := r.URL.Query()
		after, err1 := number(q.Get("after"), 0)
		limit, err2 := number(q.Get("limit"), math.MaxInt32)
		if err1 != nil || err2 != nil {
			writeJSON(w, http.StatusBadRequest, []byte(`{"error": "after and limit are numbers from 0"}`+"\n"))
			return
		}
		b := append([]byte(nil), '[')
		for i, e := range s.journal.list(after, int(limit)) {
			if i > 0 {
				b = append(b, ",\n"...)
			}
			b = e.appendJSON(b)
		}
		writeJSON(w, http.StatusOK, append(b, "]\n"...))
	case "POST /_sim/reset":
		s.journal.reset()
		s.shelf.reset() // ids begin anew
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusNotFound, []byte(`{"error": "known are GET /_sim/active, GET /_sim/requests, POST /_sim/reset"}`+"\n"))
	}
}

func number(s string, absent uint64) (uint64, error) {
	if s == "" {
		return absent, nil
	}
	return strconv.ParseUint(s, 10, 31)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}

func (e *entry) appendJSON(b []byte) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, e.seq, 10)
	b = append(b, `,"at":"`...)
	b = e.at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","method":`...)
	b = quote(b, e.method)
	b = append(b, `,"path":`...)
	b = quote(b, e.path)
	b = append(b, `,"query":`...)
	b = quote(b, e.query)
	b = append(b, `,"proto":`...)
	b = quote(b, e.proto)
	b = append(b, `,"headers":{`...)
	comma := false
	show := func(name, value string) {
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = quote(b, name)
		b = append(b, ':')
		b = quote(b, value)
	}
	for _, name := range shownHeaders {
		if v := e.header[name]; len(v) > 0 {
			show(name, v[0])
		}
	}
	for _, name := range keyHeaders {
		if v := e.header[name]; len(v) > 0 {
			show(name, "present")
		}
	}
	b = append(b, `},"body":`...)
	b = quote(b, string(e.body))
	if !utf8.Valid(e.body) {
		// The string above has replacement characters; this is what was sent.
		b = append(b, `,"body_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.body)
		b = append(b, '"')
	}
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.status.Load()), 10)
	b = append(b, `,"tokens":`...)
	b = strconv.AppendInt(b, e.tokens.Load(), 10)
	b = append(b, `,"ended":`...)
	b = quote(b, endNames[e.end.Load()])
	return append(b, '}')
}

// quote appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
