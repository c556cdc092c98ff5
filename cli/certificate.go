package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/app/config"
	"andon/order"
)

func (c *command) custodyCertificateCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "certificate CASE -f FILE", Short: "Write what became of a sealed or destroyed model, signed", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			resp, err := cl.send(cmd.Context(), http.MethodGet, "/custody/"+url.PathEscape(args[0])+"/certificate", nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
			if err != nil {
				return fmt.Errorf("read the certificate: %w", err)
			}
			if file == "" || file == "-" {
				_, err = c.Stdout.Write(data)
				return err
			}
			if err := writeNew(file, data); err != nil {
				return fmt.Errorf("write the certificate: %w", err)
			}
			if c.output == "json" {
				return c.json(map[string]string{"file": file})
			}
			c.printf("%s\ncheck it anywhere: andon custody verify %s --key KEY\n", file, file)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "where to write it; must not exist (default: stdout)")
	return cmd
}

func (c *command) custodyVerifyCmd() *cobra.Command {
	var key, data string
	cmd := &cobra.Command{
		Use: "verify FILE --key andon-ed25519:…", Short: "Check a certificate offline: who signed it, and whether it hangs together",
		Long: `Check a certificate offline. The key is that which orders are signed with; take it from
somebody you trust, not from who gave you the certificate. In a data folder of the
control plane its own key is taken. Each entry of the ledger that a certificate names can
be proved with "andon ledger prove".`,
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			signed, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read the certificate: %w", err)
			}
			trusted, err := c.orderKey(key, data)
			if err != nil {
				return err
			}
			cert, hash, err := order.OpenCertificate(bytes.TrimSpace(signed), []order.PublicKey{trusted})
			if err != nil {
				if c.output == "json" {
					if err := c.json(map[string]any{"valid": false, "detail": err.Error()}); err != nil {
						return err
					}
				} else {
					c.printf("NOT VALID\n  %s\n", err)
				}
				return &reported{exitFailed, err.Error()}
			}
			if c.output == "json" {
				return c.json(map[string]any{"valid": true, "hash": hash.String(), "keyid": trusted.ID(), "certificate": cert})
			}
			c.printCertificate(&cert, hash, trusted)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public key that orders are signed with")
	cmd.Flags().StringVar(&data, "data", "", "data folder of the control plane, whose key is taken")
	return cmd
}

// orderKey is the key that was given, or that of a data folder.
func (c *command) orderKey(text, data string) (order.PublicKey, error) {
	if text != "" {
		k, err := order.ParsePublicKey(text)
		if err != nil {
			return k, usagef("--key andon-ed25519:…", "--key: %v", err)
		}
		return k, nil
	}
	name := config.LayoutOf(c.dataDir(data)).OrderKey()
	if _, err := os.Stat(name); err != nil {
		return order.PublicKey{}, usagef("--key andon-ed25519:… (orders_key of GET /api/v1/ledger)", "it does not say whose signature counts")
	}
	s, err := order.LoadOrCreate(name)
	return s.Public(), err
}

func (c *command) printCertificate(cert *order.Certificate, hash order.Hash, key order.PublicKey) {
	what := map[string]string{"sealed": "sealed (L5)", "destroyed": "destroyed (L6)"}[cert.State]
	if cert.Exercise {
		what += ", in an exercise"
	}
	c.printf("valid: signed by key %s\n%s  %s: %s\n", key.ID(), cert.Case, strings.Join(cert.Models, " "), what)
	c.printf("%s; %s\n", cert.Reason, cert.LegalBasis)
	for _, r := range cert.Resolutions {
		var names []string
		for _, a := range r.Approvals {
			names = append(names, personText(a.By))
		}
		c.printf("%s: proposed by %s %s, approved by %s\n", r.Action, personText(r.By), r.At.Format(time.RFC3339), strings.Join(names, ", "))
	}
	rows := [][]string{{"COPY", "KIND", "DIGEST", "LOCATION", "CUSTODIAN", "DESTROYED", "BY", "WITNESS"}}
	for _, m := range cert.Copies {
		at, by, witness := "-", "-", "-"
		if d := m.Destroyed; d != nil {
			at, by, witness = d.At.Format(time.RFC3339), personText(d.By), personText(d.Witness)
		}
		rows = append(rows, []string{m.ID, m.Kind, c.cut(m.Digest, 20), c.cut(m.Location, 30), personText(m.Custodian), at, by, witness})
	}
	table(c.Stdout, rows)
	if n := len(cert.Entries); n > 0 {
		c.printf("%s of the ledger, %d to %d\nhash %s\n", entries(uint64(n)), cert.Entries[0].Seq, cert.Entries[n-1].Seq, hash)
	}
}

func personText(p order.Person) string {
	if p.Name == "" {
		return p.ID
	}
	return p.ID + " (" + p.Name + ")"
}
