package detect

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Types of classifier.
const (
	Moderation = "moderation" // POST URL/moderations
	Chat       = "chat"       // POST URL/chat/completions
)

// Bounds of a Classifier.
const (
	DefaultTimeout = 2 * time.Second
	MaxTimeout     = time.Minute
	MaxPolicy      = 16 << 10 // bytes of Config.Policy
	window         = 32 << 10 // bytes of text judged at once
	overlap        = 2 << 10  // that two windows share
	atOnce         = 4        // requests of one text that are under way
	maxAnswer      = 64 << 10 // bytes of an answer that is read
)

// Config says what a Classifier asks, and whom.
type Config struct {
	Type     string        // Moderation or Chat
	URL      string        // of an OpenAI-compatible API, its version included: https://api.example.com/v1
	Key      string        // sent as a bearer token; empty: none is sent
	Model    string        // that classifies
	Category string        // Moderation: whose score counts; empty: the highest
	Policy   string        // Chat: what is looked for, in words
	Timeout  time.Duration // of a whole text; 0: DefaultTimeout; at most MaxTimeout
}

// Classifier asks an endpoint how much a text is what it looks for. It is safe
// for concurrent use and keeps connections for further texts. The text is sent
// to the endpoint, and nowhere else: redirects are not followed.
type Classifier struct {
	config Config
	url    string
	client *http.Client
}

// Failure is why a text has no score.
type Failure string

// The failures. A Classifier's errors are a *ScoreError with one of them.
const (
	Timeout     Failure = "timeout"     // no answer in time
	Cancelled   Failure = "cancelled"   // the caller's context was
	Unreachable Failure = "unreachable" // no connection, or it broke
	Refused     Failure = "refused"     // an answer with another status than 200
	Malformed   Failure = "malformed"   // an answer that is not what was asked for
)

// ScoreError says why a text has no score. It holds neither the key nor the
// text, nor anything that the endpoint said.
type ScoreError struct {
	Failure Failure
	Status  int // of a refusal
	Detail  string
	cause   error
}

func (e *ScoreError) Error() string {
	return "classify text: " + string(e.Failure) + ": " + e.Detail
}

// Unwrap returns the context's error, if it ended the call.
func (e *ScoreError) Unwrap() error { return e.cause }

// NewClassifier checks c. Errors are of type *Error.
func NewClassifier(c Config) (*Classifier, error) {
	u, err := url.Parse(c.URL)
	switch {
	case c.Type != Moderation && c.Type != Chat:
		return nil, &Error{"type", fmt.Sprintf("unknown type %q; moderation and chat are allowed", c.Type)}
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, &Error{"url", "has to be http:// or https://, a host, and at most a path; credentials belong into key"}
	case c.Model == "":
		return nil, &Error{"model", "is missing: the model that classifies"}
	case strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, &Error{"key", "has characters that a header cannot carry; visible ASCII is allowed"}
	case c.Type == Chat && strings.TrimSpace(c.Policy) == "":
		return nil, &Error{"policy", "is missing: what is looked for, in words"}
	case c.Type == Chat && c.Category != "":
		return nil, &Error{"category", "is for moderation; chat has its policy"}
	case c.Type == Moderation && c.Policy != "":
		return nil, &Error{"policy", "is for chat; moderation has its categories"}
	case len(c.Policy) > MaxPolicy || !utf8.ValidString(c.Policy):
		return nil, &Error{"policy", fmt.Sprintf("has to be UTF-8 of at most %d bytes", MaxPolicy)}
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return nil, &Error{"timeout", fmt.Sprintf("is %v; 1ns to %v are allowed, and 0 for %v", c.Timeout, MaxTimeout, DefaultTimeout)}
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	path := map[string]string{Moderation: "moderations", Chat: "chat/completions"}[c.Type]
	return &Classifier{config: c, url: u.JoinPath(path).String(), client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		},
	}}, nil
}

// Close closes the connections that are not in use.
func (c *Classifier) Close() { c.client.CloseIdleConnections() }

// Score returns how much text is what the classifier looks for, 0 to 1. A long
// text is judged in windows that overlap, and the highest score counts. The
// empty text scores 0. Errors are of type *ScoreError, and what they mean for
// the text is the caller's to say.
func (c *Classifier) Score(ctx context.Context, text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		high  float64
		first *ScoreError
		room  = make(chan struct{}, atOnce)
	)
	for w := range windows(text) {
		room <- struct{}{}
		if ctx.Err() != nil {
			<-room
			mu.Lock()
			if first == nil {
				first = ended(outer)
			}
			mu.Unlock()
			break
		}
		// Each ends with ctx, which the first failure cancels.
		wg.Go(func() {
			defer func() { <-room }()
			score, err := c.ask(ctx, outer, w)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
				cancel()
			}
			high = max(high, score)
		})
	}
	wg.Wait()
	if first != nil {
		return 0, first
	}
	return high, nil
}

// windows yields the stretches of text that are judged, cut between characters.
func windows(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > window {
			if !yield(text[:boundary(text, window)]) {
				return
			}
			text = text[boundary(text, window-overlap):]
		}
		yield(text)
	}
}

// boundary is where the character that has byte i of text begins.
func boundary(text string, i int) int {
	for n := 0; n < utf8.UTFMax-1 && i > 0 && !utf8.RuneStart(text[i]); n++ {
		i--
	}
	return i
}

// ended words the end of a context: the caller's, or else our own timeout.
func ended(outer context.Context) *ScoreError {
	if errors.Is(outer.Err(), context.Canceled) {
		return &ScoreError{Failure: Cancelled, Detail: "the caller gave up", cause: context.Canceled}
	}
	return &ScoreError{Failure: Timeout, Detail: "there was no answer in time", cause: context.DeadlineExceeded}
}

func (c *Classifier) ask(ctx, outer context.Context, text string) (float64, *ScoreError) {
	body, err := c.request(text)
	if err != nil {
		return 0, &ScoreError{Failure: Malformed, Detail: "the request cannot be written"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, &ScoreError{Failure: Unreachable, Detail: "the request cannot be made"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if c.config.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Key)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, broken(ctx, outer, err)
	}
	defer res.Body.Close()
	// Reading to the end lets the connection be used again.
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, broken(ctx, outer, err)
	case res.StatusCode != http.StatusOK:
		return 0, &ScoreError{Failure: Refused, Status: res.StatusCode, Detail: fmt.Sprintf("the endpoint answered with status %d", res.StatusCode)}
	case len(answer) > maxAnswer:
		return 0, malformed("the answer is longer than %d bytes", maxAnswer)
	}
	if c.config.Type == Moderation {
		return readModeration(answer, c.config.Category)
	}
	return readChat(answer)
}

// broken words an error of the transport. Its text may name URLs and what a
// server sent, so only its kind is kept.
func broken(ctx, outer context.Context, err error) *ScoreError {
	if ctx.Err() != nil {
		return ended(outer)
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return ended(outer)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &ScoreError{Failure: Unreachable, Detail: "the endpoint's certificate is not trusted"}
	}
	return &ScoreError{Failure: Unreachable, Detail: "there was no connection, or it broke off"}
}

func malformed(format string, args ...any) *ScoreError {
	return &ScoreError{Failure: Malformed, Detail: fmt.Sprintf(format, args...)}
}
