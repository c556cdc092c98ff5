package control

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"andon/ledger"
)

// ledgerView says which ledger this is.
type ledgerView struct {
	Entries uint64 `json:"entries"`
	Key     string `json:"key,omitempty"`    // public, in the form of C2SP signed-note
	Origin  string `json:"origin,omitempty"` // name of the log
	Orders  string `json:"orders_key"`       // public key that orders are signed with
}

func (c *Control) getLedger(cl *call) error {
	if err := cl.op.may("ledger.read"); err != nil {
		return err
	}
	v := ledgerView{Entries: c.cfg.Log.Size(), Key: c.cfg.LedgerKey, Orders: c.OrderKey().String()}
	v.Origin, _, _ = strings.Cut(v.Key, "+")
	return cl.reply(http.StatusOK, v)
}

// raw answers with what the ledger holds, byte for byte.
func (cl *call) raw(kind string, data []byte, err error) error {
	if errors.Is(err, ledger.ErrNotFound) {
		return problem("not_found", "the ledger does not have this, or not yet")
	}
	if err != nil {
		return err
	}
	cl.w.Header().Set("Content-Type", kind)
	cl.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	cl.w.Write(data)
	return nil
}

const textPlain = "text/plain; charset=utf-8"

func (c *Control) getTile(cl *call) error {
	if err := cl.op.may("ledger.read"); err != nil {
		return err
	}
	if strings.HasPrefix(cl.r.PathValue("path"), "entries") { // they hold bodies; other tiles hold hashes
		if err := cl.op.may("ledger.read_entries"); err != nil {
			return err
		}
	}
	data, err := c.cfg.Log.Tile(cl.r.Context(), "tile/"+cl.r.PathValue("path"))
	return cl.raw("application/octet-stream", data, err)
}

// getEntry serves two things, since a pattern cannot tell them apart: entry N as
// it is hashed, and N.tlog-proof.
func (c *Control) getEntry(cl *call) error {
	if err := cl.op.may("ledger.read"); err != nil {
		return err
	}
	text, proof := strings.CutSuffix(cl.r.PathValue("n"), ".tlog-proof")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return problem("not_found", "entries are numbered from 0: /api/v1/ledger/entries/7, or 7.tlog-proof")
	}
	if proof {
		data, err := c.cfg.Log.Proof(cl.r.Context(), n)
		return cl.raw(textPlain, data, err)
	}
	if err := cl.op.may("ledger.read_entries"); err != nil {
		return err
	}
	if n >= c.cfg.Log.Size() {
		return problem("not_found", "the ledger has "+strconv.FormatUint(c.cfg.Log.Size(), 10)+" entries")
	}
	var data []byte
	err = c.cfg.Log.Read(cl.r.Context(), n, n+1, func(e ledger.Entry) (err error) {
		data, err = e.Encode()
		return err
	})
	return cl.raw("application/json", data, err)
}

func (c *Control) getOpenAPI(cl *call) error {
	cl.w.Header().Set("Cache-Control", "max-age=300")
	cl.w.Header().Set("Content-Type", "application/json")
	_, err := cl.w.Write(openAPI())
	if err != nil {
		return nil // whoever asked has gone
	}
	return nil
}
