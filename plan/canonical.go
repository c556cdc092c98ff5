package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Parse reads a plan from strict JSON, as Canonical writes it, and validates it.
// An error is [Faults] without positions.
func Parse(data []byte) (*Plan, error) {
	var p Plan
	err := json.Unmarshal(data, &p, json.RejectUnknownMembers(true))
	if err == nil {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		return &p, nil
	}
	f := Fault{Detail: "not valid JSON: " + err.Error()}
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		f.Path = dotted(sem.JSONPointer)
		switch {
		case errors.Is(sem.Err, json.ErrUnknownName):
			f.Detail = "unknown field " + quote(sem.JSONPointer.LastToken())
		case sem.Err != nil:
			f.Detail = sem.Err.Error()
		default:
			f.Detail = "wrong type: a JSON " + sem.JSONKind.String() + " cannot stand here"
		}
	}
	return nil, Faults{f}
}

// dotted turns "/threats/3/owner" into "threats[3].owner".
func dotted(p jsontext.Pointer) string {
	path := ""
	for tok := range p.Tokens() {
		if n, err := strconv.Atoi(tok); err == nil {
			path += "[" + strconv.Itoa(n) + "]"
			continue
		}
		path = join(path, tok)
	}
	return path
}

// Canonical is the plan as canonical JSON (RFC 8785): the same plan gives the
// same bytes, however its files are cut.
func (p *Plan) Canonical() ([]byte, error) {
	data, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	v := jsontext.Value(data)
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return v, nil
}

// Digest names a plan by what it says: SHA-256 of its canonical form without the
// addresses of contacts, in hex. They are people's, and a digest of them would
// let somebody test a guess.
func (p *Plan) Digest() (string, error) {
	data, err := p.WithoutAddresses().Canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Addresses are the addresses of contacts, by contact, in the order of their
// channels: what of a plan is personal.
func (p *Plan) Addresses() map[string][]string {
	out := map[string][]string{}
	for _, c := range p.Contacts {
		for _, ch := range c.Channels {
			out[c.Name] = append(out[c.Name], ch.Address)
		}
	}
	return out
}

// WithoutAddresses is the plan with the addresses of its contacts left out. What
// it returns shares the rest with p.
func (p *Plan) WithoutAddresses() *Plan { return p.WithAddresses(nil) }

// WithAddresses is the plan with these addresses in their places, as Addresses
// gives them; those that are missing are empty. It shares the rest with p.
func (p *Plan) WithAddresses(addresses map[string][]string) *Plan {
	out := *p
	out.Contacts = slices.Clone(p.Contacts)
	for i := range out.Contacts {
		c := &out.Contacts[i]
		c.Channels = slices.Clone(c.Channels)
		for j := range c.Channels {
			c.Channels[j].Address = ""
			if a := addresses[c.Name]; j < len(a) {
				c.Channels[j].Address = a[j]
			}
		}
	}
	return &out
}

// FilesDigest is SHA-256 over the names and bytes of the files that the plan was
// read from, in hex; "" if it was not.
func (p *Plan) FilesDigest() string { return p.files }

func filesDigest(sources []source) string {
	h := sha256.New()
	for _, s := range sources { // in the order of their names
		fmt.Fprintf(h, "%d:%s%d:", len(s.name), s.name, len(s.data))
		h.Write(s.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// addressPath says whether a path is that of a contact's address.
func addressPath(path string) bool {
	return strings.HasPrefix(path, "contacts[") && strings.HasSuffix(path, ".address")
}
