package sdktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genai"

	"andon/correction"
	"andon/gateway"
	"andon/order"
	"andon/sim"
)

const callerKey = "ak_sdktest"

// front is a gateway before a simulated provider. It has no control plane: it
// starts with an order on disk, and emergency orders add to what is in force.
type front struct {
	Target
	provider  *sim.Sim
	admin     string
	emergency order.Signer
}

func newFront(t *testing.T, corrections ...string) *front {
	t.Helper()
	return newFrontWith(t, nil, corrections...)
}

// newFrontWith is newFront with another configuration.
func newFrontWith(t *testing.T, change func(*gateway.Config), corrections ...string) *front {
	t.Helper()
	control, err := order.GenerateSigner()
	ok(t, err)
	emergency, err := order.GenerateSigner()
	ok(t, err)
	trust := order.Trust{Control: []order.PublicKey{control.Public()}, Emergency: []order.PublicKey{emergency.Public()}}
	dir := t.TempDir()
	keep(t, dir, trust, control, corrections)

	p := provider(t)
	cfg := gateway.Config{
		Name: "gw-1", Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: dir, Trust: trust,
		Upstreams: []gateway.Upstream{{Name: "sim", Wire: "all", BaseURL: p.URL()}},
		Models:    []gateway.Model{{Name: "sim-large", Upstream: "sim"}, {Name: "sim-small", Upstream: "sim"}},
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(cfg)
	ok(t, err)
	ok(t, g.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return &front{Target{URL: "http://" + g.Addr(), Key: callerKey, Model: "sim-large"}, p, "http://" + g.AdminAddr(), emergency}
}

// keep writes a first order, which holds the caller's key and corrections as
// JSON, where the gateway looks for its last one.
func keep(t *testing.T, dir string, trust order.Trust, control order.Signer, corrections []string) {
	t.Helper()
	sum := sha256.Sum256([]byte(callerKey))
	o := order.Order{Revision: 1, IssuedAt: time.Now().UTC(), PutKeys: []order.Key{{ID: "k-1", Hash: hex.EncodeToString(sum[:]), Org: "acme"}}}
	for i, text := range corrections {
		c, err := correction.Parse([]byte(text))
		ok(t, err)
		c.ID, c.AppliedAt = fmt.Sprintf("c-%d", i+1), o.IssuedAt
		o.Put = append(o.Put, c)
	}
	head, err := o.Head()
	ok(t, err)
	var state order.State
	ok(t, state.Apply(&o, head))
	signed, err := order.Sign(state, control)
	ok(t, err)
	f, err := order.OpenFollower(dir, trust)
	ok(t, err)
	ok(t, f.Resync(signed))
	ok(t, f.Persist())
}

// stop takes the model away with a signed emergency order, once the provider
// has everything open that the test wants to see cut.
func (f *front) stop(t *testing.T, streams, plain int) Refusal {
	t.Helper()
	f.await(t, streams, plain)
	c, err := correction.Parse([]byte(`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"drill","public_reason":"it is a drill"}`))
	ok(t, err)
	e, err := order.NewEmergency("sdktest", time.Now(), time.Hour, c)
	ok(t, err)
	signed, err := order.Sign(e, f.emergency)
	ok(t, err)
	res, err := client(t).Post(f.admin+"/emergency", "application/json", bytes.NewReader(signed))
	ok(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ok(t, err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("emergency order: %s: %s", res.Status, body)
	}
	return Refusal{Status: http.StatusServiceUnavailable, Correction: e.ID}
}

// await waits until the provider has exactly this much open.
func (f *front) await(t *testing.T, streams, plain int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		s, p := f.provider.Active()
		if s == int64(streams) && p == int64(plain) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the provider has %d streams and %d plain calls open, want %d and %d", s, p, streams, plain)
		}
	}
}

// Nothing is forbidden: the SDKs do not notice the gateway.
func TestGateway(t *testing.T) {
	f := newFront(t)
	Run(t, f.Target)
	f.await(t, 0, 0)
}

func TestGatewayNode(t *testing.T) {
	f := newFront(t)
	RunNode(t, f.Target)
	f.await(t, 0, 0)
}

// The model is taken away while the SDKs are in the middle of it.
func TestGatewayCut(t *testing.T) {
	f := newFront(t)
	var r Refusal
	Cut(t, f.Target, func(streams, plain int) Refusal {
		r = f.stop(t, streams, plain)
		return r
	})
	f.await(t, 0, 0)
	Refused(t, f.Target, r)
	RefusedNode(t, f.Target, r)
	other := f.Target
	other.Model = "sim-small"
	openaiChat(t, other)
}

func TestGatewayCutNode(t *testing.T) {
	f := newFront(t)
	CutNode(t, f.Target, func(streams, plain int) Refusal { return f.stop(t, streams, plain) })
	f.await(t, 0, 0)
}

// A caller without a key of the gateway's gets each SDK's own exception.
func TestGatewayUnknownKey(t *testing.T) {
	f := newFront(t)
	f.Key = "ak_of-nobody"
	_, err := func() (any, error) {
		c := newOpenAI(t, f.Target)
		return c.Chat.Completions.New(within(t), chatParams(f.Target, "hello"))
	}()
	openaiFailed(t, err, 401)
	c := newAnthropic(t, f.Target)
	_, err = c.Messages.New(within(t), messageParams(f.Target, "hello"))
	anthropicFailed(t, err, 401, "authentication_error")
	if n := len(f.provider.Requests()); n != 0 {
		t.Errorf("%d requests of a stranger reached the provider", n)
	}
}

// Each kind of correction refuses with the status that the field has for it,
// and each SDK raises its exception for that, without a pointless retry.
func TestGatewayRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, correction string
		status           int
	}{
		{"access", `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"drill"}`, 403},
		{"allow only", `{"kind":"access","params":{"mode":"allow_only"},"scope":{"orgs":["globex"]},"reason":"drill"}`, 403},
		{"pin", `{"kind":"capability","params":{"pin":"sim-large-0"},"scope":{"models":["sim-large"]},"reason":"drill"}`, 422},
		{"clamp", `{"kind":"capability","params":{"clamp":{"context_tokens":1}},"scope":{"all":true},"reason":"drill"}`, 422},
		{"legal order", `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"legal_order":"Example Court, 1 X 23/26","reason":"drill"}`, 451},
		{"withdrawn", `{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"drill"}`, 503},
		{"withdrawn for good", `{"kind":"stop","params":{"level":"L6"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"drill"}`, 410},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFront(t, tc.correction)
			r := Refusal{Status: tc.status, Correction: "c-1"}
			Refused(t, f.Target, r)
			RefusedNode(t, f.Target, r)
			if n := len(f.provider.Requests()); n != 0 {
				t.Errorf("%d requests reached the provider", n)
			}
		})
	}
}

// A limit tells when it makes sense to come back.
func TestGatewayLimit(t *testing.T) {
	f := newFront(t, `{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1h","per":"key"},"scope":{"all":true},"reason":"drill"}`)
	c := newOpenAI(t, f.Target)
	_, err := c.Chat.Completions.New(within(t), chatParams(f.Target, "hello"))
	ok(t, err)
	r := Refusal{Status: 429, Correction: "c-1"}
	Refused(t, f.Target, r)
	RefusedNode(t, f.Target, r)
}

// What a filter finds in the middle of an answer, and a call of a tool that is
// switched off, end a stream with each SDK's own error.
func TestGatewayFilter(t *testing.T) {
	const found = `sim: text="this is allowed and then a forbidden phrase follows"`
	filter := `{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["forbidden phrase"],"action":"cut"}},"scope":{"all":true},"reason":"drill"}`
	denied := `{"kind":"capability","params":{"disable":["tool:weather"]},"scope":{"all":true},"reason":"drill"}`
	for _, tc := range []struct{ name, correction, prompt string }{{"text", filter, found}, {"tool", denied, "sim: tool=weather"}} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFront(t, tc.correction)
			r, inside := Refusal{Status: 422, Correction: "c-1"}, tc.name == "text"
			if inside {
				r.Status = 403
			}
			o, a, g := newOpenAI(t, f.Target), newAnthropic(t, f.Target), newGemini(t, f.Target)
			told := ""
			chat := o.Chat.Completions.NewStreaming(within(t), chatParams(f.Target, tc.prompt))
			for chat.Next() {
				if c := chat.Current().Choices; len(c) > 0 {
					told += c[0].Delta.Content
				}
			}
			r.openai(t, "chat stream", chat.Err(), inside) // a call is its first event: nothing was said before
			response := o.Responses.NewStreaming(within(t), responseParams(f.Target, tc.prompt))
			for response.Next() {
				if e := response.Current(); e.Type == "response.output_text.delta" {
					told += e.Delta
				}
			}
			r.openai(t, "responses stream", response.Err(), true)
			messages := a.Messages.NewStreaming(within(t), messageParams(f.Target, tc.prompt))
			for messages.Next() {
				told += messages.Current().Delta.Text
			}
			r.anthropic(t, "messages stream", messages.Err(), true)
			var err error
			for part, e := range g.Models.GenerateContentStream(within(t), f.Model, genai.Text(tc.prompt), nil) {
				if err = e; e != nil {
					break
				}
				told += part.Text()
			}
			if inside {
				r.gemini(t, "generate stream", err)
			} else if err == nil {
				t.Error("generate stream: no error")
			}
			if inside && (strings.Count(told, "this is allowed") != 4 || strings.Contains(told, "phrase")) || strings.Contains(told, "weather") {
				t.Errorf("told: %q", told)
			}
			_, err = o.Chat.Completions.New(within(t), chatParams(f.Target, tc.prompt))
			r.openai(t, "chat", err, false)
			_, err = a.Messages.New(within(t), messageParams(f.Target, tc.prompt))
			r.anthropic(t, "messages", err, false)
			_, err = g.Models.GenerateContent(within(t), f.Model, genai.Text(tc.prompt), nil)
			r.gemini(t, "generate", err)
		})
	}
}
