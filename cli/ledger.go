package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/app/config"
	"andon/ledger"
)

func (c *command) ledgerCmd() *cobra.Command {
	return group("ledger", "The record, checked by anybody", c.ledgerVerifyCmd(), c.ledgerProveCmd(), c.ledgerExportCmd(), c.ledgerWitnessesCmd(), c.ledgerCheckpointCmd(), c.ledgerEraseCmd())
}

// dataDir is the folder whose ledger is meant.
func (c *command) dataDir(flag string) string {
	for _, d := range []string{flag, c.env("ANDON_DATA")} {
		if d != "" {
			return d
		}
	}
	return config.Default().Data
}

func (c *command) ledgerVerifyCmd() *cobra.Command {
	var data, file, key string
	var a assurance
	cmd := &cobra.Command{
		Use: "verify", Short: "Check the whole record offline; names the first bad entry", Args: cobra.NoArgs,
		Long: `Check the whole record offline; the first bad entry is named.

What the record says of itself cannot show that all of it was put back to an
older copy, or rewritten by whoever holds its key. --checkpoint shows that, with
a checkpoint that was kept elsewhere: the one in a gateway's data folder
(witness/checkpoint), or what "andon ledger checkpoint" printed. --witness shows
it, too: keys of gateways and outside witnesses ("andon ledger witnesses" lists
them; keep the list elsewhere) of which --quorum have to have cosigned.`,
		Example: `  andon ledger verify --data andon-data --checkpoint checkpoint.txt
  andon ledger verify --witness gw-1.key --witness gw-2.key --quorum 2
  andon ledger verify --export record.jsonl --public-key ledger.key.pub`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.export != "" && (file != "" || data != "") {
				return usagef("andon ledger verify --export record.jsonl --public-key ledger.key.pub", "--export is a file by itself; leave --ledger and --data out")
			}
			l := config.LayoutOf(c.dataDir(data))
			if file == "" {
				file = l.Ledger()
			}
			if key == "" {
				key = l.LedgerKey() + ".pub"
			}
			return c.ledgerVerify(cmd.Context(), file, key, &a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data folder (default ./andon-data, ANDON_DATA)")
	f.StringVar(&file, "ledger", "", "the ledger itself, elsewhere")
	f.StringVar(&key, "public-key", "", "`file` of the public key (default: beside the ledger)")
	f.StringVar(&a.checkpoint, "checkpoint", "", "`file` of a checkpoint that was kept elsewhere: the record must hold it")
	f.StringVar(&a.checkpoint, "trusted", "", "the same as --checkpoint")
	f.Lookup("trusted").Hidden = true
	f.StringArrayVar(&a.witnesses, "witness", nil, "`key` of a witness, or a file of keys, a line each; may be repeated")
	f.IntVar(&a.quorum, "quorum", 0, "how many of them must have cosigned one checkpoint (default 1)")
	f.StringVar(&a.export, "export", "", "`file` that andon ledger export wrote, instead of a ledger")
	return cmd
}

func (c *command) ledgerVerify(ctx context.Context, file, key string, a *assurance) error {
	v, err := ledger.ReadVerifier(key)
	if err != nil {
		return err
	}
	o, err := a.options()
	if err != nil {
		return err
	}
	var done func()
	o.Progress, done = c.progress()
	var r ledger.Report
	if a.export != "" {
		var in *os.File
		if in, err = os.Open(a.export); err != nil {
			return fmt.Errorf("read export: %w", err)
		}
		defer in.Close()
		r, err = ledger.VerifyExport(ctx, in, v, o)
	} else {
		r, err = ledger.Verify(ctx, file, v, o)
	}
	done()
	var bad *ledger.Fault
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	return c.verified(&r, bad)
}

func (c *command) verified(r *ledger.Report, bad *ledger.Fault) error {
	if c.output == "json" {
		out := struct {
			Sound      bool     `json:"sound"`
			Origin     string   `json:"origin"`
			Size       uint64   `json:"size"`
			Root       string   `json:"root"`
			Checkpoint string   `json:"checkpoint,omitempty"`
			Key        string   `json:"key,omitempty"`
			Personal   int      `json:"personal_values"`
			Erased     int      `json:"erased_values"`
			Cosigned   uint64   `json:"cosigned_entries,omitempty"`
			CosignedBy []string `json:"cosigned_by,omitempty"`
			Entry      *int64   `json:"first_bad_entry,omitempty"`
			Kind       string   `json:"fault,omitempty"`
			Detail     string   `json:"detail,omitempty"`
			Notes      []string `json:"notes,omitempty"`
		}{Sound: bad == nil, Origin: r.Origin, Size: r.Size, Root: r.Root.String(), Checkpoint: string(r.Checkpoint), Key: r.Key, Personal: r.Personal, Erased: r.Erased,
			Cosigned: r.Cosigned, CosignedBy: r.CosignedBy, Notes: r.Notes}
		if bad != nil {
			out.Kind, out.Detail = string(bad.Kind), bad.Detail
			if bad.Entry >= 0 {
				out.Entry = &bad.Entry
			}
		}
		if err := c.json(out); err != nil {
			return err
		}
	}
	if bad != nil {
		if c.output != "json" {
			if bad.Entry >= 0 {
				c.printf("NOT SOUND: first bad entry %d\n", bad.Entry)
			} else {
				c.printf("NOT SOUND\n")
			}
			c.printf("  %s: %s\n", bad.Kind, bad.Detail)
		}
		return &reported{exitFailed, bad.Error()}
	}
	if c.output != "json" {
		c.printf("sound: %s, signed by %s\nroot %s\n", entries(r.Size), r.Key, r.Root)
		if r.Personal+r.Erased > 0 {
			c.printf("personal values: %d are as committed to, %d were erased\n", r.Personal, r.Erased)
		}
		if len(r.CosignedBy) > 0 {
			c.printf("cosigned up to entry %d by %s\n", r.Cosigned, strings.Join(r.CosignedBy, ", "))
		}
		for _, n := range r.Notes {
			c.printf("note: %s\n", n)
		}
	}
	return nil
}

func entries(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return strconv.FormatUint(n, 10) + " entries"
}

func (c *command) ledgerProveCmd() *cobra.Command {
	var data, file string
	cmd := &cobra.Command{
		Use: "prove N -f OUT", Short: "Write the proof that entry N is in the record (C2SP tlog-proof)",
		Long: `Write the proof that entry N is in the record (C2SP tlog-proof). It asks the
control plane; with --data it reads a ledger that nobody has open.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usagef("andon ledger prove 12 -f 12.tlog-proof", "%q is not the number of an entry", args[0])
			}
			proof, err := c.ledgerProof(cmd.Context(), n, data)
			if err != nil {
				return err
			}
			if file == "" || file == "-" {
				_, err = c.Stdout.Write(proof)
				return err
			}
			if err := os.WriteFile(file, proof, 0o644); err != nil {
				return fmt.Errorf("write proof: %w", err)
			}
			if c.output == "json" {
				return c.json(map[string]any{"entry": n, "file": file})
			}
			c.printf("entry %d: %s\n", n, file)
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder to read, offline")
	cmd.Flags().StringVarP(&file, "file", "f", "", "where to write it (default: stdout)")
	return cmd
}

func (c *command) ledgerProof(ctx context.Context, n uint64, data string) ([]byte, error) {
	if data != "" {
		return offlineProof(ctx, n, config.LayoutOf(data))
	}
	cl, err := c.client()
	if err != nil {
		return nil, err
	}
	resp, err := cl.send(ctx, http.MethodGet, fmt.Sprintf("/ledger/entries/%d.tlog-proof", n), nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	proof, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	return proof, nil
}

func offlineProof(ctx context.Context, n uint64, l config.Layout) ([]byte, error) {
	v, err := ledger.ReadVerifier(l.LedgerKey() + ".pub")
	if err != nil {
		return nil, err
	}
	signer, _, err := ledger.LoadOrCreateSigner(l.LedgerKey(), v.Name())
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.Ledger()); err != nil { // opening would make an empty one
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	log, err := ledger.OpenSQLite(l.Ledger(), signer)
	if errors.Is(err, ledger.ErrInUse) {
		return nil, fmt.Errorf("%w; without --data the running control plane is asked", err)
	}
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return log.Proof(ctx, n)
}

func (c *command) ledgerExportCmd() *cobra.Command {
	var data, file string
	var personal bool
	cmd := &cobra.Command{
		Use: "export", Short: "Write the record as JSON lines, with its checkpoint at the end", Args: cobra.NoArgs,
		Long: `Write the record as JSON lines, with its checkpoint at the end. andon-verify, a
program of its own, checks such a file with nothing but the public key.

Personal values stand beside the record and are left out, unless --with-personal
asks for them. What is exported with them can not be erased any more.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := config.LayoutOf(c.dataDir(data)).Ledger()
			if file == "" || file == "-" {
				return ledger.Export(cmd.Context(), path, c.Stdout, ledger.ExportOptions{Personal: personal})
			}
			out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("write export: %w", err)
			}
			err = ledger.Export(cmd.Context(), path, out, ledger.ExportOptions{Personal: personal})
			if err = errors.Join(err, out.Close()); err != nil {
				return errors.Join(err, os.Remove(file)) // half an export is none
			}
			if c.output == "json" {
				return c.json(map[string]any{"file": file})
			}
			c.printf("exported: %s\n", file)
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder (default ./andon-data, ANDON_DATA)")
	cmd.Flags().StringVarP(&file, "file", "f", "", "where to write it; must not exist (default: stdout)")
	cmd.Flags().BoolVar(&personal, "with-personal", false, "personal values, too, as far as they are not erased")
	return cmd
}
