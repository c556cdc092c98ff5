package control

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// Bounds of one attempt.
const (
	alertTimeout  = 15 * time.Second
	maxAlertReply = 4 << 10   // bytes that are read of an answer
	maxRetryAfter = time.Hour // that an endpoint can ask for
)

// alertMessage is an alert as it is sent: thin, since whoever receives it can
// look the rest up.
type alertMessage struct {
	Type      string    `json:"type"` // alert.pull
	Timestamp time.Time `json:"timestamp"`
	Data      alertData `json:"data"`
}

type alertData struct {
	Entry      *uint64 `json:"entry,omitempty"` // of the ledger; missing: a test
	Says       string  `json:"says"`
	By         string  `json:"by"`
	Correction string  `json:"correction,omitempty"`
	Link       string  `json:"link,omitempty"` // where the rest is; a path, where the address of the API is not configured
}

// hook sends to one address, and signs what it sends (Standard Webhooks 1.0).
type hook struct {
	url  string
	key  []byte
	http *http.Client
}

// newHook is a hook of a valid endpoint. It follows no redirect. What is sent in
// plaintext stays on this machine, whatever a name leads to.
func newHook(e *AlertEndpoint) (*hook, error) {
	u, err := e.address()
	if err != nil {
		return nil, err
	}
	key, err := e.key()
	if err != nil {
		return nil, err
	}
	plain := u.Scheme == "http"
	dial := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		switch {
		case err != nil:
			return err
		case neverSent(ap.Addr()), plain && !ap.Addr().Unmap().IsLoopback():
			return fmt.Errorf("%s is no address that anything is sent to", ap.Addr())
		}
		return nil
	}}
	t := &http.Transport{DialContext: dial.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 32 << 10, ForceAttemptHTTP2: true}
	if !plain {
		t.Proxy = http.ProxyFromEnvironment
	}
	return &hook{url: u.String(), key: key, http: &http.Client{Transport: t, Timeout: alertTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// sign is the value of webhook-signature.
func (h *hook) sign(id, timestamp string, payload []byte) string {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte(id + "." + timestamp + "."))
	m.Write(payload)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	after  time.Duration // that the endpoint asks to wait
}

func (r *refusal) Error() string {
	switch {
	case r.status == http.StatusGone:
		return "it answered 410: it is gone for good"
	case r.status/100 == 3:
		return fmt.Sprintf("it answered %d; redirects are not followed: configure the address that it leads to", r.status)
	}
	return fmt.Sprintf("it answered %d %s; success is 2xx", r.status, http.StatusText(r.status))
}

// ofMessage says whether it may be this one message that the endpoint does not take.
func (r *refusal) ofMessage() bool {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusGone:
		return false
	}
	return r.status/100 == 4
}

// send is one attempt. Any answer but 2xx is a *refusal.
func (h *hook) send(ctx context.Context, id string, now time.Time, m *alertMessage) (status int, err error) {
	payload, err := json.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("write alert: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(payload))
	if err != nil {
		return 0, fmt.Errorf("build request: %w", err)
	}
	at := strconv.FormatInt(now.Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "andon")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", h.sign(id, at, payload))
	resp, err := h.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may hold a secret
		}
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAlertReply)) // so that the connection serves again
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, &refusal{resp.StatusCode, retryAfter(resp.Header, time.Now())}
	}
	return resp.StatusCode, nil
}

// retryAfter is how long an endpoint asks to wait, 0 if it does not, bounded.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(text); err == nil {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil {
			now = sent // by the endpoint's own clock
		}
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// messageID names an alert the same after every restart, by the hash of its entry.
func messageID(hash [32]byte) string { return "msg_" + hex.EncodeToString(hash[:16]) }
