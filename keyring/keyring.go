// Package keyring reaches signing keys that stay where they are: in an agent
// that speaks the protocol of ssh-agent, or in a PKCS#11 token.
//
// What it promises:
//
//   - A key is Ed25519, and what it signs is the plain Ed25519 signature of the
//     message. Each signature is verified before it is handed out.
//   - No call takes longer than the bound. An agent or token that hangs gives
//     ErrTimeout; a token that still hangs is not asked a second time at once.
//   - A key that goes away and comes back serves again: connections and sessions
//     are opened anew. It must be the same key.
//   - A PIN that a token has refused is not offered to it again, since a token
//     locks itself after a few. No error repeats a PIN.
//
// A Key may be used by any number of callers at once; they take turns.
package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Errors to be told apart with errors.Is.
var (
	ErrSource  = errors.New("not a source of keys")    // the text makes no sense, or names what is not allowed
	ErrAway    = errors.New("the key cannot be had")   // agent or token is not there, locked, or without it; later it may be
	ErrTimeout = errors.New("no answer in time")       // ErrAway comes with it
	ErrKind    = errors.New("not an Ed25519 key")      // it is there and of another kind
	ErrTwice   = errors.New("more than one key fits")  // say which
	ErrPIN     = errors.New("the token refuses it so") // no PIN, a wrong one, or it is locked
	ErrOther   = errors.New("another key than before") // under the same name
)

// Timeout bounds each question to an agent or a token.
const Timeout = 5 * time.Second

// Config says where agents and tokens are. What a source names must agree with
// it: sources may come from operators, and a PKCS#11 module is code.
type Config struct {
	Agent   string        // socket of the agent; "": $SSH_AUTH_SOCK
	Module  string        // file of the PKCS#11 module; "": there is none
	PIN     string        // file with the PIN of the token's user; "": none is needed
	Timeout time.Duration // default Timeout
}

// Key is a signing key somewhere else.
type Key struct {
	Source string            // as it was opened; holds no secret
	Public ed25519.PublicKey // of this key, as long as the Key lives

	sign  func(message []byte) ([]byte, error)
	close func() error
}

// Schemes are what sources begin with.
var Schemes = []string{"agent:", "pkcs11:"}

// Open finds the key that a source names, and has it sign something to see that
// it does. Sources are
//
//	agent:SHA256:…                    a key of the agent, by its fingerprint as ssh-add -l prints it
//	pkcs11:token=…;object=…           a key of a token (RFC 7512), with
//	  ?module-path=…&pin-source=…     what Config says, or left out
func (c Config) Open(source string) (*Key, error) {
	if c.Timeout <= 0 {
		c.Timeout = Timeout
	}
	var k *Key
	var err error
	switch {
	case strings.HasPrefix(source, "agent:"):
		k, err = c.openAgent(source)
	case strings.HasPrefix(source, "pkcs11:"):
		k, err = c.openToken(source)
	default:
		err = fmt.Errorf("%w: it begins with none of %s", ErrSource, strings.Join(Schemes, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("open signing key: %w", err)
	}
	if _, err := k.Sign([]byte("andon: does this key sign? " + rand.Text())); err != nil {
		return nil, fmt.Errorf("open signing key %s: %w", k.Source, errors.Join(err, k.Close()))
	}
	return k, nil
}

// Sign returns the Ed25519 signature of message.
func (k *Key) Sign(message []byte) ([]byte, error) {
	sig, err := k.sign(message)
	if err == nil && (len(sig) != ed25519.SignatureSize || !ed25519.Verify(k.Public, message, sig)) {
		err = fmt.Errorf("%w: its signature does not fit the key", ErrOther)
	}
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k.Source, err)
	}
	return sig, nil
}

// Close lets go of the key.
func (k *Key) Close() error {
	if k.close == nil {
		return nil
	}
	return k.close()
}

// readPIN reads the file with a PIN, which others must not be able to read.
func readPIN(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("%w: it wants a PIN: name the file that holds it", ErrPIN)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w: read PIN: %w", ErrPIN, err)
	}
	if fi.Mode().Perm()&0o077 != 0 || !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %s must be a file that only its owner can read (mode %04o); run: chmod 600 %s", ErrPIN, path, fi.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: read PIN: %w", ErrPIN, err)
	}
	pin := strings.TrimRight(string(data), "\r\n")
	if pin == "" || len(pin) > 255 || strings.ContainsRune(pin, 0) {
		return "", fmt.Errorf("%w: %s does not hold a PIN of 1 to 255 bytes", ErrPIN, path)
	}
	return pin, nil
}
