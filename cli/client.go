package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// client talks to one control plane. It follows no redirects: a token is for
// the address that it was given for.
type client struct {
	base  string
	token string
	http  *http.Client
	from  string // where address and token came from, for errors
	slow  func() // called once an answer is late; nil: nobody listens

	otherAuthority string // what to do if the control plane is known by another authority
}

// devFile is what `make run` leaves for tools.
type devFile struct {
	Control       string `json:"control"`
	Gateway       string `json:"gateway"`
	Admin         string `json:"admin"`
	Sim           string `json:"sim"`
	OperatorToken string `json:"operator_token"`
	CallerKey     string `json:"caller_key"`
}

func (c *command) env(name string) string {
	v, _ := c.Lookup(name)
	return v
}

func (c *command) readDev() (devFile, string, error) {
	dir, asked := c.dev, c.dev != ""
	if !asked {
		if dir = c.env("ANDON_DATA"); dir == "" {
			dir = "andon-data"
		}
	}
	name := filepath.Join(dir, "dev.json")
	var d devFile
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err != nil && (asked || !errors.Is(err, fs.ErrNotExist)) {
		return d, name, fmt.Errorf("read %s: %w", name, err)
	}
	return d, name, nil
}

// client finds the control plane: flags, then ANDON_SERVER and ANDON_TOKEN,
// then the dev.json of `make run`. --dev goes before the environment, since it
// was said on purpose. A token of dev.json is used for its own address alone.
func (c *command) client() (*client, error) {
	cl, err := c.reach()
	if err == nil && cl.token == "" {
		err = usagef("andon login --server "+cl.base+", or --token TOKEN or ANDON_TOKEN", "no operator token is given for %s", cl.base)
	}
	if err != nil {
		return nil, err
	}
	c.asked = cl
	return cl, nil
}

// reach is client for what needs no token.
func (c *command) reach() (*client, error) {
	cl := &client{base: c.server, token: c.token, http: httpClient(), from: "--server"}
	if c.dev == "" {
		if cl.base == "" {
			cl.base, cl.from = c.env("ANDON_SERVER"), "ANDON_SERVER"
		}
		if cl.token == "" {
			cl.token = c.env("ANDON_TOKEN")
		}
	}
	if cl.base == "" || cl.token == "" {
		d, name, err := c.readDev()
		if err != nil {
			return nil, err
		}
		if cl.base == "" {
			cl.base, cl.from = d.Control, name
		}
		if cl.token == "" && sameOrigin(cl.base, d.Control) {
			cl.token = d.OperatorToken
		}
	}
	hint := "--server URL --token TOKEN, or ANDON_SERVER and ANDON_TOKEN, or run beside ./andon-data"
	if cl.base == "" {
		return nil, usagef(hint, "no control plane is named")
	}
	pool, err := c.authorities()
	if err != nil {
		return nil, err
	}
	secured(cl.http, pool)
	cl.otherAuthority = "--ca andon-data/ca.crt, or ANDON_CA: the authority's certificate, from the control plane's machine"
	if pool != nil {
		cl.otherAuthority = "the file of --ca or ANDON_CA does not hold the authority by which this control plane is known: if it was replaced (andon ca rotate), copy ca.crt anew from the data folder on its machine, which holds all that are believed; if not, somebody else answers there"
	}
	if scheme := "http://"; !strings.Contains(cl.base, "://") {
		if pool != nil {
			scheme = "https://"
		}
		cl.base = scheme + cl.base
	}
	u, err := url.Parse(cl.base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, usagef("http://127.0.0.1:7070", "%s is not the address of a control plane", cl.from)
	}
	cl.base = strings.TrimRight(cl.base, "/")
	if c.dev == "" && c.token == "" && c.env("ANDON_TOKEN") == "" {
		kept, err := c.keptLogin(cl.base)
		if err != nil {
			return nil, err
		}
		if kept.Token != "" {
			cl.token = kept.Token // who logged in means to be that person, not the first operator of dev.json
		}
	}
	if c.output != "json" {
		cl.slow = func() {
			fmt.Fprintf(clean(c.Stderr), "no answer yet from %s (from %s); the way without it: andon emergency sign --help\n", cl.base, cl.from)
		}
	}
	return cl, nil
}

func sameOrigin(a, b string) bool {
	trim := func(s string) string {
		return strings.TrimRight(strings.TrimPrefix(s, "http://"), "/")
	}
	return b != "" && trim(a) == trim(b)
}

func httpClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{Proxy: nil, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, ResponseHeaderTimeout: 60 * time.Second, MaxIdleConnsPerHost: 4},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// slowAfter is how long nothing is said while an answer is awaited.
const slowAfter = 2 * time.Second

const maxAnswer = 64 << 20

// do sends one request below /api/v1 and decodes the answer into out, unless
// out is nil. Members that this version does not know are ignored: the control
// plane may be newer.
func (cl *client) do(ctx context.Context, method, path string, header http.Header, in, out any) error {
	resp, err := cl.send(ctx, method, path, header, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", cl.base, err)
	}
	if resp.StatusCode == http.StatusAccepted {
		w := &awaiting{}
		if json.Unmarshal(data, w) == nil && w.Approval.ID != "" {
			return w
		}
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read answer of %s%s: %w", cl.base, path, err)
	}
	return nil
}

// send returns a 2xx response, or a *problem.
func (cl *client) send(ctx context.Context, method, path string, header http.Header, in any) (*http.Response, error) {
	var body io.Reader
	text, isText := in.(upload)
	switch {
	case isText:
		body = text.body
	case in != nil:
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, cl.base+"/api/v1"+path, body)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if cl.token != "" {
		req.Header.Set("Authorization", "Bearer "+cl.token)
	}
	switch {
	case isText:
		if header["Content-Type"] == nil {
			req.Header.Set("Content-Type", "text/plain; charset=utf-8")
		}
		req.ContentLength = text.size
	case in != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	if cl.slow != nil && !isText { // an upload takes its time
		defer time.AfterFunc(slowAfter, cl.slow).Stop()
	}
	resp, err := cl.http.Do(req)
	if err != nil {
		if unknownAuthority(err) {
			return nil, &hinted{fmt.Errorf("reach the control plane (from %s): %w", cl.from, err), cl.otherAuthority}
		}
		return nil, unreached(ctx, method, fmt.Errorf("reach the control plane (from %s): %w", cl.from, err))
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	err = readProblem(resp)
	if p, ok := err.(*problem); ok && p.Code == "" && p.Hint == "" && p.Status == http.StatusNotFound {
		p.Hint = "is " + cl.base + " (from " + cl.from + ") the control plane? a gateway has another address"
	}
	return nil, err
}

// unreached says what to do while the control plane is away: what was sent may
// have been applied, and a stop has another way.
func unreached(ctx context.Context, method string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	hint := "gateways go on under their last order; to tighten without the control plane: andon emergency sign --help, then andon emergency send"
	var op *net.OpError
	if method != http.MethodGet && !(errors.As(err, &op) && op.Op == "dial") {
		hint = "it is not known whether this was applied: andon corrections, once it answers. " + hint
	}
	return &hinted{err, hint}
}

// readProblem makes an error of an answer that is not 2xx, whatever its shape.
func readProblem(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := &problem{}
	if err := json.Unmarshal(data, p); err != nil || p.Error() == "" {
		p = &problem{Detail: shorten(strings.TrimSpace(string(data)), 300)}
	}
	if p.Error() == "" {
		p.Detail = "the answer was " + resp.Status
	}
	p.Status = resp.StatusCode
	if resp.StatusCode == http.StatusUnauthorized && p.Hint == "" {
		p.Hint = "check --token or ANDON_TOKEN"
	}
	return p
}
