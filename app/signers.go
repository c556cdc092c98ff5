package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"andon/keyring"
	"andon/order"
)

// firstKey is where the key that signs orders is, unless the configuration says
// otherwise.
const firstKey = "file:order.key"

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// openSigner opens a signing key. Sources come from the configuration, and from
// operators: theirs name files in one folder and nowhere else, and no other
// PKCS#11 module than the configured one is ever loaded.
func (a *App) openSigner(source string, create bool) (order.Signer, error) {
	if source == "" {
		source = firstKey
	}
	name, isFile := strings.CutPrefix(source, "file:")
	if !isFile {
		c := &a.cfg.Control
		k, err := keyring.Config{Agent: c.KeyAgent, Module: c.PKCS11, PIN: c.PKCS11PIN}.Open(source)
		if errors.Is(err, keyring.ErrSource) && !strings.HasPrefix(source, "agent:") && !strings.HasPrefix(source, "pkcs11:") {
			return order.Signer{}, fmt.Errorf("%.80q names no key: it begins with file:, agent: or pkcs11:", source)
		}
		if err != nil {
			return order.Signer{}, err
		}
		public, err := order.NewPublicKey(k.Public)
		if err != nil {
			return order.Signer{}, errors.Join(err, k.Close())
		}
		return order.RemoteSigner(public, k.Sign), nil
	}
	l := a.cfg.Layout()
	path := filepath.Join(l.SigningKeys(), name)
	switch {
	case source == firstKey:
		path = l.OrderKey()
	case source == a.cfg.Control.OrderKey && filepath.IsAbs(name):
		path = name // as whoever runs this process wrote it
	case !keyName.MatchString(name):
		return order.Signer{}, fmt.Errorf("%.80q names no key: after file: stands a name of small letters, digits, and . _ - (it lies in %s)", source, l.SigningKeys())
	}
	if _, err := os.Stat(path); err != nil && !create { // none is made where one is looked for
		return order.Signer{}, fmt.Errorf("open signing key: %w", err)
	}
	return order.LoadOrCreate(path)
}
