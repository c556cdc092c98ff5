package keyring

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const fingerprint = "SHA256:"

func (c Config) openAgent(source string) (*Key, error) {
	want := strings.TrimPrefix(source, "agent:")
	if want != "" && (!strings.HasPrefix(want, fingerprint) || len(want) > 100 || strings.ContainsAny(want, " \t\r\n")) {
		return nil, fmt.Errorf("%w: agent: is followed by the fingerprint of a key, SHA256:…, as ssh-add -l prints it", ErrSource)
	}
	socket := c.Agent
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil, fmt.Errorf("%w: no agent: its socket is neither configured nor in SSH_AUTH_SOCK", ErrAway)
	}
	key, err := findAgentKey(socket, want, c.Timeout)
	if err != nil {
		return nil, err
	}
	public, ok := key.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
	if !ok || len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("agent key %s: %w", want, ErrKind)
	}
	return &Key{Source: source, Public: public, sign: func(message []byte) ([]byte, error) {
		var sig *ssh.Signature
		err := askAgent(socket, c.Timeout, func(a agent.ExtendedAgent) (err error) {
			sig, err = a.Sign(key, message)
			return err
		})
		if err != nil {
			return nil, err
		}
		if sig.Format != ssh.KeyAlgoED25519 {
			return nil, fmt.Errorf("%w: the agent signed as %.40q", ErrKind, sig.Format)
		}
		return sig.Blob, nil
	}}, nil
}

// findAgentKey returns the key of that fingerprint.
func findAgentKey(socket, want string, timeout time.Duration) (ssh.PublicKey, error) {
	var keys []*agent.Key
	err := askAgent(socket, timeout, func(a agent.ExtendedAgent) (err error) {
		keys, err = a.List()
		return err
	})
	if err != nil {
		return nil, err
	}
	var there []string
	for _, k := range keys {
		public, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			continue // certificates and kinds that this library does not know
		}
		print := ssh.FingerprintSHA256(public)
		if print == want {
			if public.Type() != ssh.KeyAlgoED25519 {
				return nil, fmt.Errorf("agent key %s: %w: it is %s; only ssh-ed25519 signs orders", want, ErrKind, public.Type())
			}
			return public, nil
		}
		if public.Type() == ssh.KeyAlgoED25519 && len(there) < 10 {
			there = append(there, print)
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("%w: the agent holds no Ed25519 key; it may be locked, or was started anew: ssh-add it", ErrAway)
	}
	if want == "" {
		return nil, fmt.Errorf("%w: say which key of the agent: agent:%s", ErrSource, strings.Join(there, " or agent:"))
	}
	return nil, fmt.Errorf("%w: the agent does not hold %s; its Ed25519 keys are %s", ErrAway, want, strings.Join(there, ", "))
}

// askAgent asks on a connection of its own: an agent that was started anew is
// found, and one that hangs is left.
func askAgent(socket string, timeout time.Duration, ask func(agent.ExtendedAgent) error) error {
	start := time.Now()
	conn, err := net.DialTimeout("unix", socket, timeout)
	if err != nil {
		return fmt.Errorf("%w: agent: %w", ErrAway, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(start.Add(timeout)); err != nil {
		return fmt.Errorf("%w: agent: %w", ErrAway, err)
	}
	err = ask(agent.NewClient(conn))
	if errors.Is(err, os.ErrDeadlineExceeded) || err != nil && time.Since(start) >= timeout {
		return fmt.Errorf("%w: %w: the agent at %s has not answered for %v; it may be waiting for somebody to confirm", ErrAway, ErrTimeout, socket, timeout)
	}
	if err != nil {
		return fmt.Errorf("%w: agent: %w", ErrAway, err)
	}
	return nil
}
