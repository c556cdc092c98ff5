// Package sink is a simulated receiver of webhooks (Standard Webhooks 1.0), for
// development, demos and tests.
//
// It verifies what it gets by the specification and by nothing of the sender's,
// keeps the last messages in memory, also those that it refuses, and lists them at
// GET /_sink/requests. POST /_sink/answer makes it slow, failing, gone or
// redirecting, for a number of messages. It forgets all when it ends. All methods
// are safe for concurrent use.
package sink

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what is taken and kept.
const (
	maxBody   = 256 << 10       // bytes of a message
	maxKept   = 1000            // messages; the oldest go first
	tolerance = 5 * time.Minute // between the sender's clock and this one
	maxDelay  = time.Minute
)

// Request is a message as it came.
type Request struct {
	At        time.Time      `json:"at"`
	ID        string         `json:"id"`        // webhook-id
	Timestamp string         `json:"timestamp"` // webhook-timestamp
	Type      string         `json:"type,omitempty"`
	Verified  bool           `json:"verified"`
	Fault     string         `json:"fault,omitempty"` // why it does not verify
	Again     bool           `json:"again,omitempty"` // a message of this id was taken before
	Status    int            `json:"status"`          // that was answered
	Payload   jsontext.Value `json:"payload,omitempty"`
}

// Answer says how messages are answered from now on.
type Answer struct {
	Status     int    `json:"status"`                // default 204
	RetryAfter string `json:"retry_after,omitempty"` // value of the header Retry-After
	Location   string `json:"location,omitempty"`    // likewise
	Delay      int    `json:"delay_ms,omitempty"`    // before it is answered, at most a minute
	Times      int    `json:"times,omitempty"`       // so many messages, then as before; 0: all
}

// Sink is a receiver. Make one with New.
type Sink struct {
	key []byte
	now func() time.Time

	mu     sync.Mutex
	kept   []Request
	taken  map[string]bool // ids
	answer Answer
}

// NewSecret makes a secret of 256 bits.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// New is a receiver of messages that are signed with a secret: whsec_ and 24 to 64
// bytes in base64.
func New(secret string, now func() time.Time) (*Sink, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("new sink: the secret must be whsec_ and 24 to 64 bytes in base64")
	}
	return &Sink{key: key, now: now, taken: map[string]bool{}}, nil
}

// ServeHTTP takes messages at every path but those below /_sink/.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/_sink/requests" && r.Method == http.MethodGet:
		write(w, http.StatusOK, map[string]any{"requests": s.Requests()})
	case r.URL.Path == "/_sink/answer" && r.Method == http.MethodPost:
		var a Answer
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
		if err == nil {
			err = json.Unmarshal(data, &a, json.RejectUnknownMembers(true))
		}
		if err == nil {
			err = s.Answer(a)
		}
		if err != nil {
			write(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(r.URL.Path, "/_sink/"):
		write(w, http.StatusNotFound, map[string]string{"error": "there are GET /_sink/requests and POST /_sink/answer"})
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		write(w, http.StatusMethodNotAllowed, map[string]string{"error": "a webhook is a POST"})
	default:
		s.take(w, r)
	}
}

// Answer changes how messages are answered.
func (s *Sink) Answer(a Answer) error {
	if a.Status == 0 {
		a.Status = http.StatusNoContent
	}
	switch {
	case a.Status < 200 || a.Status > 599:
		return fmt.Errorf("status %d: 200 to 599", a.Status)
	case a.Delay < 0 || a.Delay > int(maxDelay/time.Millisecond):
		return fmt.Errorf("delay_ms %d: 0 to %d", a.Delay, maxDelay/time.Millisecond)
	case a.Times < 0:
		return fmt.Errorf("times %d: 0 or more", a.Times)
	case strings.ContainsAny(a.RetryAfter+a.Location, "\r\n"):
		return errors.New("retry_after and location are single lines")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = a
	return nil
}

// Requests are the last messages, the oldest first.
func (s *Sink) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request{}, s.kept...)
}

// Taken are the messages that verified and were answered with success, as they
// came, without those that came again.
func (s *Sink) Taken() (out []Request) {
	for _, r := range s.Requests() {
		if r.Verified && r.Status/100 == 2 && !r.Again {
			out = append(out, r)
		}
	}
	return out
}

func (s *Sink) take(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	now := s.now()
	q := Request{At: now.UTC(), ID: first(r.Header, "Webhook-Id"), Timestamp: first(r.Header, "Webhook-Timestamp")}
	if err == nil {
		err = s.verify(r.Header, payload, now)
	}
	var m struct {
		Type string `json:"type"`
	}
	if err == nil {
		if err = json.Unmarshal(payload, &m); err == nil && m.Type == "" {
			err = errors.New("the payload has no type")
		}
	}
	if q.Type, q.Verified = m.Type, err == nil; err != nil {
		q.Fault = err.Error()
	}
	if jsontext.Value(payload).IsValid() {
		q.Payload = payload
	}
	s.mu.Lock()
	a := s.answer
	if s.answer.Times > 0 {
		if s.answer.Times--; s.answer.Times == 0 {
			s.answer = Answer{}
		}
	}
	s.mu.Unlock()
	if q.Status = a.Status; q.Status == 0 {
		q.Status = http.StatusNoContent
	}
	if !q.Verified {
		q.Status = http.StatusUnauthorized
	}
	if a.Delay > 0 {
		t := time.NewTimer(time.Duration(a.Delay) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done(): // the sender has gone, and has seen no success
			q.Status = 499
		}
	}
	s.keep(q)
	for name, v := range map[string]string{"Retry-After": a.RetryAfter, "Location": a.Location} {
		if v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(q.Status)
}

func (s *Sink) keep(q Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Again = q.Verified && s.taken[q.ID]; q.Verified && q.Status/100 == 2 {
		s.taken[q.ID] = true
	}
	if s.kept = append(s.kept, q); len(s.kept) > maxKept {
		s.kept = append([]Request{}, s.kept[len(s.kept)-maxKept:]...)
	}
	if len(s.taken) > 100*maxKept {
		s.taken = map[string]bool{}
	}
}

// verify says what is wrong with a message, as Standard Webhooks has it: the
// signature is over id, timestamp and the payload's very bytes.
func (s *Sink) verify(h http.Header, payload []byte, now time.Time) error {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if len(h.Values(name)) != 1 || h.Get(name) == "" {
			return fmt.Errorf("%s must be there once", strings.ToLower(name))
		}
	}
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || strings.Contains(id, ".") {
		return errors.New("webhook-timestamp must be seconds since 1970, and webhook-id without dots")
	}
	if d := now.Sub(time.Unix(n, 0)); d > tolerance || d < -tolerance {
		return fmt.Errorf("webhook-timestamp is %s away; at most %s", d.Round(time.Second), tolerance)
	}
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "%s.%s.%s", id, at, payload)
	want := m.Sum(nil)
	for _, one := range strings.Fields(h.Get("Webhook-Signature")) {
		text, ok := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("no signature in webhook-signature verifies")
}

func first(h http.Header, name string) string {
	v := h.Get(name)
	return strings.ToValidUTF8(v[:min(len(v), 200)], "")
}

func write(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // all of it is plain data
		status, data = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}
