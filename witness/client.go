package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer = 64 << 10 // bytes of a witness's answer
	maxProof  = 63       // hashes in a request, as tlog-witness says
	maxTries  = 4        // of one submission, while the witness says other sizes
)

// Refusal is an answer of a witness that did not cosign.
type Refusal struct {
	Witness string
	Status  int    // of HTTP
	Detail  string // what it means
	Split   bool   // the witness holds another history, or a longer one
}

// Error says who refused, and why.
func (r *Refusal) Error() string {
	return fmt.Sprintf("witness %s: %s (HTTP %d)", r.Witness, r.Detail, r.Status)
}

// Client hands checkpoints to one outside witness (C2SP tlog-witness).
type Client struct {
	url      string
	verifier *Verifier
	http     *http.Client
	size     uint64 // that the witness cosigned last, as far as is known
}

// NewClient is a client of the witness whose submission prefix is at address,
// with the public key that its cosignatures must verify by.
func NewClient(address, key string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("witness url %.200q: it must be http:// or https://, a host and a path", address)
	}
	v, err := NewVerifier(key)
	if err != nil {
		return nil, err
	}
	return &Client{url: strings.TrimSuffix(u.String(), "/") + "/add-checkpoint", verifier: v, http: &http.Client{
		Timeout: 30 * time.Second,
		// A redirect would send the checkpoint where nobody has configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name is the witness's.
func (c *Client) Name() string { return c.verifier.name }

// Verifier verifies the witness's cosignatures.
func (c *Client) Verifier() *Verifier { return c.verifier }

// Submit hands in a signed checkpoint, with a proof from what the witness has,
// and returns its cosignature line, verified. The error is a [*Refusal] if the
// witness answered and did not cosign.
func (c *Client) Submit(ctx context.Context, signed []byte, prove Prove) (line string, err error) {
	text, _, err := Split(signed)
	if err != nil {
		return "", err
	}
	cp, err := Parse(text)
	if err != nil {
		return "", err
	}
	for range maxTries {
		if c.size > cp.Size {
			size := c.size
			c.size = 0 // it is asked anew next time
			return "", &Refusal{c.Name(), http.StatusConflict, fmt.Sprintf("it has cosigned %d entries and the ledger has %d: the ledger was rolled back, or this checkpoint is an old one", size, cp.Size), true}
		}
		body, err := c.request(signed, c.size, cp.Size, prove)
		if err != nil {
			return "", err
		}
		status, kind, answer, err := c.post(ctx, body)
		if err != nil {
			return "", fmt.Errorf("witness %s: %w", c.Name(), err)
		}
		switch {
		case status == http.StatusOK:
			line, _, err := c.verifier.Line(append(bytes.Clone(signed), answer...))
			if err != nil {
				return "", fmt.Errorf("witness %s: it answered without a cosignature that verifies: %w", c.Name(), err)
			}
			c.size = cp.Size
			return line, nil
		case status == http.StatusConflict && kind == "text/x.tlog.size":
			n, err := strconv.ParseInt(strings.TrimSuffix(string(answer), "\n"), 10, 63)
			if err != nil || n < 0 || strconv.FormatInt(n, 10)+"\n" != string(answer) {
				return "", fmt.Errorf("witness %s: it answered 409 with %.40q, which is no size and a line break", c.Name(), answer)
			}
			if uint64(n) == c.size {
				return "", fmt.Errorf("witness %s: it answered 409 with the size %d, from which the proof was", c.Name(), n)
			}
			c.size = uint64(n)
		default:
			return "", c.refused(status)
		}
	}
	return "", fmt.Errorf("witness %s: it named another size %d times in a row", c.Name(), maxTries)
}

func (c *Client) refused(status int) error {
	r := &Refusal{Witness: c.Name(), Status: status}
	switch status {
	case http.StatusConflict:
		r.Detail, r.Split = "it has cosigned another history of as many entries", true
	case http.StatusUnprocessableEntity:
		r.Detail, r.Split = "the proof from what it has does not verify there: it holds another history", true
	case http.StatusNotFound:
		r.Detail = "it does not know this ledger; its owner has to add the origin"
	case http.StatusForbidden:
		r.Detail = "it does not trust the key that signed the checkpoint; its owner has to add it"
	case http.StatusBadRequest:
		r.Detail = "it could not read the request"
	case http.StatusTooManyRequests:
		r.Detail = "it asks for fewer requests"
	default:
		r.Detail = "it did not cosign"
	}
	return r
}

// request is the body of add-checkpoint.
func (c *Client) request(signed []byte, from, to uint64, prove Prove) ([]byte, error) {
	body := fmt.Appendf(nil, "old %d\n", from)
	if from > 0 && from < to {
		proof, err := prove(from, to)
		if err != nil {
			return nil, err
		}
		if len(proof) > maxProof {
			return nil, fmt.Errorf("a proof of %d hashes, at most %d", len(proof), maxProof)
		}
		for _, h := range proof {
			body = append(base64.StdEncoding.AppendEncode(body, h[:]), '\n')
		}
	}
	return append(append(body, '\n'), signed...), nil
}

func (c *Client) post(ctx context.Context, body []byte) (status int, kind string, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("User-Agent", "andon")
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address: the name says who
		}
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, "", nil, fmt.Errorf("read answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return 0, "", nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
