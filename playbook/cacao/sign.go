package cacao

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Signature is a JSS signature, section 10.15 of CACAO.
type Signature struct {
	Type           string         `json:"type"`
	ID             string         `json:"id"`
	CreatedBy      string         `json:"created_by,omitempty"`
	Created        string         `json:"created"`
	Modified       string         `json:"modified"`
	Revoked        bool           `json:"revoked,omitzero"`
	Signee         string         `json:"signee"`
	ValidFrom      string         `json:"valid_from,omitempty"`
	ValidUntil     string         `json:"valid_until,omitempty"`
	RelatedTo      string         `json:"related_to"`
	RelatedVersion string         `json:"related_version"`
	HashAlgorithm  string         `json:"hash_algorithm"`
	Algorithm      string         `json:"algorithm"`
	PublicKey      string         `json:"public_key,omitempty"`
	CertChain      []string       `json:"public_cert_chain,omitempty"`
	CertURL        string         `json:"cert_url,omitempty"`
	Thumbprint     string         `json:"thumbprint,omitempty"`
	Value          string         `json:"value,omitempty"`
	Signature      jsontext.Value `json:"signature,omitempty"` // countersignature
}

// Signed is a signature that was verified.
type Signed struct {
	By      string            `json:"by"`               // as the signature says, which proves nothing
	Key     ed25519.PublicKey `json:"-"`                // what proves it
	Trusted bool              `json:"trusted"`          // the key is one that was said to be
	At      string            `json:"at,omitempty"`     // as the signature says
	Signer  string            `json:"signer,omitempty"` // identity, as it says
}

// ErrSignature is wrapped by what is wrong with a signature.
var ErrSignature = errors.New("bad signature")

// maxSignatures bounds how many one document may have.
const maxSignatures = 16

// Sign adds a signature to a document. sign signs the 64 hex digits of a SHA-256
// with the private key of public.
func Sign(doc []byte, public ed25519.PublicKey, signee string, now time.Time, sign func(digest [32]byte) ([]byte, error)) ([]byte, error) {
	d, err := parse(doc)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("sign playbook: %w", err)
	}
	at := timestamp(now)
	s := Signature{Type: "jss", ID: id("jss", d.ID+d.Modified+at+string(der)), CreatedBy: d.CreatedBy, Created: at, Modified: at, Signee: signee,
		RelatedTo: d.ID, RelatedVersion: d.Modified, HashAlgorithm: "sha-256", Algorithm: "Ed25519", PublicKey: base64.StdEncoding.EncodeToString(der)}
	raw, err := json.Marshal(&s)
	if err != nil {
		return nil, fmt.Errorf("sign playbook: %w", err)
	}
	bytes, err := signed(doc, raw)
	if err != nil {
		return nil, fmt.Errorf("sign playbook: %w", err)
	}
	value, err := sign(sha256.Sum256(bytes))
	if err != nil {
		return nil, fmt.Errorf("sign playbook: %w", err)
	}
	s.Value = base64.RawURLEncoding.EncodeToString(value)
	if raw, err = json.Marshal(&s); err != nil {
		return nil, fmt.Errorf("sign playbook: %w", err)
	}
	return with(doc, append(slices.Clone(d.Signatures), raw))
}

// members are a document's own, each as it stands.
func members(doc []byte) (map[string]jsontext.Value, error) {
	var m map[string]jsontext.Value
	return m, json.Unmarshal(doc, &m)
}

// with is the document with these signatures, in canonical form.
func with(doc []byte, signatures []jsontext.Value) ([]byte, error) {
	m, err := members(doc)
	if err != nil {
		return nil, err
	}
	delete(m, "signatures")
	if len(signatures) > 0 {
		if m["signatures"], err = json.Marshal(signatures); err != nil {
			return nil, err
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	v := jsontext.Value(out)
	if err := v.Canonicalize(); err != nil {
		return nil, err
	}
	return v, nil
}

// signed is what a signature is over: the document with that signature alone, and
// without its value.
func signed(doc []byte, signature jsontext.Value) ([]byte, error) {
	var s map[string]jsontext.Value
	if err := json.Unmarshal(signature, &s); err != nil {
		return nil, err
	}
	delete(s, "value")
	delete(s, "signature") // a countersignature comes later
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return with(doc, []jsontext.Value{raw})
}

// Verify checks every signature of a document. One that does not hold, that is
// revoked or past its time, or that cannot be judged here, is an error: what
// cannot be judged is refused. A document without any gives none.
func Verify(doc []byte, now time.Time, trusted []ed25519.PublicKey) ([]Signed, error) {
	d, err := parse(doc)
	if err != nil {
		return nil, err
	}
	if len(d.Signatures) > maxSignatures {
		return nil, fmt.Errorf("%w: signatures: has %d; at most %d", ErrSignature, len(d.Signatures), maxSignatures)
	}
	var out []Signed
	for i, raw := range d.Signatures {
		one, err := verify(doc, raw, d, now, trusted)
		if err != nil {
			return nil, fmt.Errorf("%w: signatures[%d]: %w", ErrSignature, i, err)
		}
		out = append(out, one)
	}
	return out, nil
}

func verify(doc []byte, raw jsontext.Value, d *Document, now time.Time, trusted []ed25519.PublicKey) (Signed, error) {
	var s Signature
	if err := json.Unmarshal(raw, &s, json.RejectUnknownMembers(true)); err != nil {
		return Signed{}, fmt.Errorf("cannot be read: %w", err)
	}
	switch {
	case s.Type != "jss":
		return Signed{}, fmt.Errorf("type is %q; allowed: jss", short(s.Type))
	case s.Algorithm != "Ed25519":
		return Signed{}, fmt.Errorf("algorithm %q cannot be judged here; allowed: Ed25519", short(s.Algorithm))
	case s.PublicKey == "":
		return Signed{}, errors.New("it names no public_key; certificates and thumbprints cannot be judged here")
	case len(s.Signature) > 0:
		return Signed{}, errors.New("it is countersigned, which cannot be judged here")
	case s.Revoked:
		return Signed{}, fmt.Errorf("it was revoked by %s", short(s.Signee))
	case s.RelatedTo != "" && s.RelatedTo != d.ID:
		return Signed{}, fmt.Errorf("it is for the playbook %s", short(s.RelatedTo))
	case s.RelatedVersion != "" && s.RelatedVersion != d.Modified:
		return Signed{}, fmt.Errorf("it is for the version of %s", short(s.RelatedVersion))
	}
	for _, bound := range []struct {
		name, at string
		out      func(time.Time) bool
	}{{"valid_from", s.ValidFrom, now.Before}, {"valid_until", s.ValidUntil, now.After}} {
		if bound.at == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, bound.at)
		if err != nil || bound.out(t) {
			return Signed{}, fmt.Errorf("%s is %s: it does not hold now", bound.name, short(bound.at))
		}
	}
	over, err := signed(doc, raw)
	if err != nil {
		return Signed{}, fmt.Errorf("cannot be read: %w", err)
	}
	key, err := s.over(over)
	if err != nil {
		return Signed{}, err
	}
	known := slices.ContainsFunc(trusted, func(k ed25519.PublicKey) bool { return k.Equal(key) })
	return Signed{By: s.Signee, Key: key, Trusted: known, At: s.Created, Signer: s.CreatedBy}, nil
}

// over says whose signature it is, if it is one over these bytes.
func (s *Signature) over(over []byte) (ed25519.PublicKey, error) {
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s.PublicKey, "="))
	if err != nil {
		return nil, errors.New("public_key is not base64")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("public_key is not an Ed25519 key")
	}
	value, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s.Value, "="))
	if err != nil || len(value) != ed25519.SignatureSize {
		return nil, errors.New("value is not an Ed25519 signature")
	}
	var digest []byte
	switch s.HashAlgorithm {
	case "sha-256":
		sum := sha256.Sum256(over)
		digest = sum[:]
	case "sha-512":
		sum := sha512.Sum512(over)
		digest = sum[:]
	default:
		return nil, fmt.Errorf("hash_algorithm %q cannot be judged here; allowed: sha-256, sha-512", short(s.HashAlgorithm))
	}
	// X.590 is read in two ways: its worked example signs the digest's hex digits,
	// as we do, and its words say the digest. Both bind the same document.
	if !ed25519.Verify(key, []byte(hex.EncodeToString(digest)), value) && !ed25519.Verify(key, digest, value) {
		return nil, fmt.Errorf("it does not hold: the playbook is not what %s signed", short(s.Signee))
	}
	return key, nil
}
