package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
)

// tokenPrefix begins a join token's text; a later form has another.
const tokenPrefix = "aj1_"

const maxToken = 4096 // bytes of its text

// Token is a join token: all that a gateway needs to get in, once. Its text is a
// secret until it was used.
type Token struct {
	Control string `json:"c"` // https://host:port of the control plane
	Pin     string `json:"p"` // fingerprint of the certificate that vouches for it
	Gateway string `json:"g"` // who may use it
	Secret  string `json:"s"` // 256 bits, base64
}

// NewToken makes a token with a fresh secret.
func NewToken(control, pin, gateway string) Token {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return Token{control, pin, gateway, base64.RawURLEncoding.EncodeToString(b[:])}
}

// ParseToken reads a token's text. The error never repeats it.
func ParseToken(text string) (Token, error) {
	var t Token
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok || len(text) > maxToken {
		return t, fmt.Errorf("read join token: it has to begin with %s, as andon join-token add prints it", tokenPrefix)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err == nil {
		err = json.Unmarshal(data, &t, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return Token{}, errors.New("read join token: it is not whole; copy all of it")
	}
	u, err := url.Parse(t.Control)
	pin, pinErr := hex.DecodeString(t.Pin)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
		pinErr != nil || len(pin) != sha256.Size || !NameValid(t.Gateway) || len(t.Secret) != base64.RawURLEncoding.EncodedLen(32) {
		return Token{}, errors.New("read join token: what it holds makes no sense; ask for another one")
	}
	return t, nil
}

// Text is the form in which a token is handed over.
func (t Token) Text() (string, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("write join token: %w", err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(data), nil
}

// Hash is what the control plane keeps of the secret: its SHA-256, in hex.
func (t Token) Hash() string {
	sum := sha256.Sum256([]byte(t.Secret))
	return hex.EncodeToString(sum[:])
}

// String names the token without its secret.
func (t Token) String() string { return "join token of " + t.Gateway }

// GoString is String: %#v must not show the secret either.
func (t Token) GoString() string { return t.String() }
