package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
)

// plane is a control plane that gateways can follow.
type plane interface {
	gateway() gatewayConfig // how one reaches it
	key() string            // a caller's key
}

// standIn signs one order with a key and the corrections in force, and leases.
// It serves the rows that issue no commands.
type standIn struct {
	server *bus.Server
	signer order.Signer
	secret string
}

func (b *bench) standIn(cs []correction.Correction) (*standIn, error) {
	p := &standIn{secret: "ak_bench"}
	var err error
	if p.signer, err = order.GenerateSigner(); err != nil {
		return nil, err
	}
	if p.server, err = bus.Embedded(bus.Options{Listen: "127.0.0.1:0"}); err != nil {
		return nil, err
	}
	b.onEnd(p.server.Close)
	own, err := p.server.Connect("control")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(p.secret))
	o := order.Order{Revision: 1, IssuedAt: time.Now().UTC(), Put: cs,
		PutKeys: []order.Key{{ID: "k-1", Hash: hex.EncodeToString(sum[:]), Org: "acme", Tier: "paid", Attributes: []string{"cohort=bench"}}}}
	head, err := o.Head()
	if err != nil {
		return nil, err
	}
	var s order.State
	if err := s.Apply(&o, head); err != nil {
		return nil, err
	}
	state, err := order.Sign(s, p.signer)
	if err != nil {
		return nil, err
	}
	if _, err := own.Subscribe(order.SubjectSync, func(m bus.Msg) { m.Respond(state) }); err != nil {
		return nil, err
	}
	_, err = own.Subscribe(order.SubjectBeat, func(m bus.Msg) {
		var beat order.Beat
		if json.Unmarshal(m.Data, &beat) != nil {
			return
		}
		l, err := order.Sign(order.Lease{Gateway: beat.Gateway, Nonce: beat.Nonce, Revision: s.Revision, Head: s.Head,
			At: time.Now(), TTL: correction.Duration(15 * time.Second)}, p.signer)
		if err == nil {
			m.Respond(l)
		}
	})
	return p, err
}

func (p *standIn) gateway() gatewayConfig {
	return gatewayConfig{Bus: p.server.URL(), Trust: p.signer.Public()}
}

func (p *standIn) key() string { return p.secret }

// scoped returns n corrections of all kinds as operators write them, none of
// which touches the load: they name other organisations, users and cohorts.
func scoped(n int) ([]correction.Correction, error) {
	cs := make([]correction.Correction, n)
	for i := range cs {
		c, err := correction.Parse([]byte(scopedText(i)))
		if err != nil {
			return nil, fmt.Errorf("make correction %d: %w", i, err)
		}
		c.ID, c.AppliedAt = fmt.Sprintf("c-%d", i+1), time.Now().UTC()
		if err := c.Validate(time.Now()); err != nil {
			return nil, fmt.Errorf("make correction %d: %w", i, err)
		}
		cs[i] = c
	}
	return cs, nil
}

func scopedText(i int) string {
	kind, more := `"kind":"access","params":{"mode":"block"}`, ""
	scope := fmt.Sprintf(`"users":["user-%d"]`, i)
	switch i % 8 {
	case 0:
		kind = `"kind":"rate","params":{"metric":"requests","limit":100,"window":"1m","per":"user"}`
		scope = fmt.Sprintf(`"models":["sim-large"],"orgs":["org-%d"]`, i)
	case 1:
		kind = `"kind":"capability","params":{"clamp":{"output_tokens":1000}}`
		scope = fmt.Sprintf(`"models":["sim-large"],"orgs":["org-%d"]`, i)
	case 2:
		kind = `"kind":"capability","params":{"disable":["tools"]}`
		scope = fmt.Sprintf(`"attributes":["cohort=%d"]`, i)
	case 3:
		kind = fmt.Sprintf(`"kind":"use","params":{"use_case":"area-%d/topic-%d"}`, i%10, i)
		scope = `"models":["sim-large"]`
	case 4:
		kind = `"kind":"stop","params":{"level":"L3"}`
		scope = fmt.Sprintf(`"versions":["version-%d"]`, i%200)
	case 5:
		scope = fmt.Sprintf(`"tools":["tool-%d"]`, i)
		more = fmt.Sprintf(`,"except":{"orgs":["org-%d"]}`, i)
	}
	return fmt.Sprintf(`{%s,"scope":{%s}%s,"reason":"benchmark"}`, kind, scope, more)
}
