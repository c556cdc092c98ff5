package app

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"andon/app/config"
	"andon/keyring"
	"andon/ledger"
)

const firstLedgerKey = "file:ledger.key"

// openLedger opens the record with the key that signs it and, for a while, the one
// before. rekeyed is what has to be in the record then.
func (a *App) openLedger(l config.Layout) (record *ledger.SQLite, vkey string, rekeyed *ledger.RekeyedBody, err error) {
	c := &a.cfg.Control
	signer, vkey, err := a.ledgerSigner(l, cmp.Or(c.LedgerKey, firstLedgerKey))
	if err != nil {
		return nil, "", nil, fmt.Errorf("control.ledger_key: %w", err)
	}
	var along []note.Signer
	if c.FormerKey != "" {
		former, formerKey, err := a.ledgerSigner(l, c.FormerKey)
		if err != nil {
			return nil, "", nil, fmt.Errorf("control.former_ledger_key: %w", err)
		}
		b, err := ledger.Rekey(former, signer, formerKey, vkey)
		if err != nil {
			return nil, "", nil, fmt.Errorf("control.former_ledger_key: %w", err)
		}
		along, rekeyed = append(along, former), &b
	}
	record, err = ledger.OpenSQLite(l.Ledger(), signer, along...)
	return record, vkey, rekeyed, err
}

func (a *App) ledgerSigner(l config.Layout, source string) (note.Signer, string, error) {
	c := &a.cfg.Control
	if name, isFile := strings.CutPrefix(source, "file:"); isFile {
		path := filepath.Join(l.SigningKeys(), name)
		switch {
		case source == firstLedgerKey:
			path = l.LedgerKey()
		case filepath.IsAbs(name):
			path = name
		case !keyName.MatchString(name):
			return nil, "", fmt.Errorf("%.80q names no key: after file: stands a path, or a name of small letters, digits, and . _ - (it lies in %s)", source, l.SigningKeys())
		default:
			if err := os.MkdirAll(l.SigningKeys(), 0o700); err != nil {
				return nil, "", err
			}
		}
		return ledger.LoadOrCreateSigner(path, c.Origin)
	}
	k, err := keyring.Config{Agent: c.KeyAgent, Module: c.PKCS11, PIN: c.PKCS11PIN}.Open(source)
	if err != nil {
		return nil, "", err
	}
	return ledger.RemoteSigner(c.Origin, k.Public, k.Sign)
}
