package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/ledger"
	"andon/witness"
)

// witnessCmds are none: what this room adds stands under `andon ledger`.
func (c *command) witnessCmds() []*cobra.Command { return nil }

// assurance is what a verification is given from outside of the record.
type assurance struct {
	checkpoint string // file
	witnesses  []string
	quorum     int
	export     string // file
}

func (a *assurance) options() (o ledger.VerifyOptions, err error) {
	if a.checkpoint != "" {
		if o.Trusted, err = os.ReadFile(a.checkpoint); err != nil {
			return o, fmt.Errorf("read checkpoint: %w", err)
		}
	}
	if a.quorum != 0 && len(a.witnesses) == 0 {
		return o, usagef("--quorum 2 --witness gw-1.key --witness gw-2.key", "a quorum needs the keys of witnesses")
	}
	if a.quorum < 0 {
		return o, usagef("--quorum 2", "a quorum of %d; at least 1", a.quorum)
	}
	o.Quorum = a.quorum
	for _, text := range a.witnesses {
		keys := []string{text}
		data, err := os.ReadFile(text)
		if err == nil {
			keys = strings.Fields(string(data))
		} else if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(text, "+") {
			return o, fmt.Errorf("read witness keys: %w", err)
		}
		if len(keys) == 0 {
			return o, fmt.Errorf("read witness keys: %s holds none", text)
		}
		for _, k := range keys {
			v, err := witness.NewVerifier(k)
			if err != nil {
				return o, err
			}
			o.Witnesses = append(o.Witnesses, v)
		}
	}
	return o, nil
}

// progress says on stderr how far a long check is, from two seconds on: on a
// terminal in one line that is written anew, else a line every few seconds.
func (c *command) progress() (step func(done, total uint64), end func()) {
	begun, last, wrote := time.Now(), time.Time{}, false
	every := 3 * time.Second
	if c.Interactive {
		every = 200 * time.Millisecond
	}
	step = func(done, total uint64) {
		now := time.Now()
		if c.output == "json" || now.Sub(begun) < 2*time.Second || now.Sub(last) < every {
			return
		}
		last = now
		text := fmt.Sprintf("%d entries", done)
		if total > 0 {
			text = fmt.Sprintf("%d of %d entries, %d %%", done, total, done*100/total)
		}
		if !c.Interactive {
			fmt.Fprintln(c.Stderr, text)
			return
		}
		wrote = true
		fmt.Fprintf(c.Stderr, "\r%-60s", text)
	}
	return step, func() {
		if wrote {
			fmt.Fprintf(c.Stderr, "\r%-60s\r", "")
		}
	}
}

// witnessList is what the API says of them.
type witnessList struct {
	Size      uint64 `json:"size"`
	Witnesses []struct {
		Name   string    `json:"name"`
		Kind   string    `json:"kind"`
		Key    string    `json:"key,omitempty"`
		Size   uint64    `json:"size"`
		Behind uint64    `json:"behind"`
		At     time.Time `json:"cosigned_at,omitzero"`
		Heard  time.Time `json:"last_seen_at,omitzero"`
		Alarm  string    `json:"alarm,omitempty"`
	} `json:"witnesses"`
	Cosigned []struct {
		Size uint64   `json:"size"`
		By   []string `json:"by"`
	} `json:"cosigned"`
	Forks []ledgerFork `json:"forks"`
}

// ledgerFork is evidence that two gateways were shown different histories.
type ledgerFork struct {
	Says   string    `json:"says"`
	Detail string    `json:"detail"`
	Proven bool      `json:"proven"`
	Entry  *uint64   `json:"entry,omitempty"`
	At     time.Time `json:"at,omitzero"`
	SaidBy []string  `json:"said_by"`
	Sides  []struct {
		Gateway   string `json:"gateway"`
		Key       string `json:"key"`
		LedgerKey string `json:"ledger_key"`
		Note      string `json:"note"`
	} `json:"sides"`
	Statements []string `json:"statements,omitempty"`
}

func (c *command) ledgerWitnessesCmd() *cobra.Command {
	var keys bool
	cmd := &cobra.Command{
		Use: "witnesses", Short: "Who vouches for which size of the record, and since when", Args: cobra.NoArgs,
		Example: "  andon ledger witnesses --keys > witnesses.keys",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(c, cmd, "/ledger/witnesses", func(l *witnessList) error {
				if keys {
					for _, w := range l.Witnesses {
						if w.Key != "" {
							c.printf("%s\n", w.Key)
						}
					}
					return nil
				}
				return c.printWitnesses(l)
			})
		},
	}
	cmd.Flags().BoolVar(&keys, "keys", false, "their public keys alone, for andon ledger verify --witness")
	return cmd
}

func (c *command) printWitnesses(l *witnessList) error {
	forked := c.printForks(l.Forks)
	c.printf("the record has %s\n", entries(l.Size))
	if len(l.Witnesses) == 0 {
		c.printf("nobody vouches for it yet: gateways do once they have a lease; control.witnesses names outside ones\n")
		return forked
	}
	rows := [][]string{{"WITNESS", "KIND", "VOUCHES FOR", "BEHIND", "COSIGNED", "LAST SEEN"}}
	for _, w := range l.Witnesses {
		rows = append(rows, []string{w.Name, w.Kind, strconv.FormatUint(w.Size, 10), strconv.FormatUint(w.Behind, 10), until(w.At, c.Now()), until(w.Heard, c.Now())})
	}
	table(c.Stdout, rows)
	for _, k := range l.Cosigned {
		if len(k.By) > 1 {
			c.printf("the most in common: %s, cosigned by %d\n", entries(k.Size), len(k.By))
			break
		}
	}
	alarms := 0
	for _, w := range l.Witnesses {
		if w.Alarm != "" {
			alarms++
			c.printf("ALARM %s: %s\n", w.Name, w.Alarm)
		}
	}
	if alarms > 0 {
		c.printf("compare with a checkpoint kept elsewhere: andon ledger verify --checkpoint FILE; gateways enforce on\n")
		return &reported{exitFailed, "a witness has seen a record that does not go with this one"}
	}
	return forked
}

// printForks shows the evidence, and is an error while a gateway stands by it.
func (c *command) printForks(forks []ledgerFork) (err error) {
	for _, f := range forks {
		head := "ALARM " + f.Says
		if len(f.SaidBy) == 0 {
			head = "in the record, and said by no gateway any more: " + f.Says
		} else {
			err = &reported{exitFailed, "the ledger forks"}
		}
		c.printf("%s\n  %s\n", head, f.Detail)
		if f.Proven {
			c.printf("  the two notes prove it: whoever holds the ledger's key has signed both\n")
		} else {
			c.printf("  both are signed by the ledger's key, and this record holds only one of them\n")
		}
		if f.Entry != nil {
			c.printf("  entry %d, %s\n", *f.Entry, until(f.At, c.Now()))
		}
		for _, s := range f.Sides {
			c.printf("  %s vouches, by %s, for\n    %s\n", s.Gateway, s.Key, strings.ReplaceAll(strings.TrimSpace(s.Note), "\n", "\n    "))
		}
		if len(f.SaidBy) > 0 {
			c.printf("  find the other copy of the control plane, and stop it. Gateways enforce on. Once it is settled, remove witness/forks.json\n  in the data folder of %s and restart there\n", strings.Join(f.SaidBy, " and "))
		}
		c.printf("\n")
	}
	return err
}

func (c *command) ledgerCheckpointCmd() *cobra.Command {
	var least int
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Print the signed checkpoint, to be kept elsewhere (C2SP tlog-checkpoint)", Args: cobra.NoArgs,
		Example: "  andon ledger checkpoint --cosigned 2 > checkpoint.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			path := "/ledger/checkpoint"
			if least != 0 {
				path += "?cosigned=" + strconv.Itoa(least)
			}
			resp, err := cl.send(cmd.Context(), http.MethodGet, path, nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			note, err := io.ReadAll(io.LimitReader(resp.Body, witness.MaxNote))
			if err != nil {
				return fmt.Errorf("read checkpoint: %w", err)
			}
			if c.output == "json" {
				return c.json(map[string]string{"checkpoint": string(note)})
			}
			_, err = clean(c.Stdout).Write(note)
			return err
		},
	}
	cmd.Flags().IntVar(&least, "cosigned", 0, "the newest that at least so many witnesses have cosigned")
	return cmd
}

func (c *command) ledgerEraseCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "erase COMMITMENT --reason TEXT", Short: "Erase a personal value for good; the record stays whole", Args: exactly(1),
		Long: `Erase a personal value for good. Names, addresses and notes about people stand
beside the record; an entry names each by a commitment of 64 hex digits. The value
is overwritten, the entry stands as it was, and another says who erased it and why.
There is no undo. Exports with personal values, and backups, keep what they hold.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "asked for by the person"`, "a reason is required")
			}
			type answer struct {
				Commitment string `json:"commitment"`
				Entry      uint64 `json:"entry"`
				Gone       bool   `json:"gone"`
			}
			return send(c, cmd, http.MethodPost, "/personal/"+url.PathEscape(args[0])+"/erase", map[string]string{"reason": reason}, func(v *answer) error {
				c.printf("erased by entry %d; there is no undo\n", v.Entry)
				if !v.Gone {
					c.printf("the disk still holds it while somebody reads an older state of the record; it goes as soon as that ends\n")
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) simWitnessCmd() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "witness KEY...", Short: "A simulated outside witness of ledgers (C2SP tlog-witness)", Args: cobra.MinimumNArgs(1),
		Long:    "A simulated outside witness (C2SP tlog-witness) of the ledgers with these public keys, or files that hold them. It forgets all when it ends.",
		Example: "  andon sim witness andon-data/ledger.key.pub --listen 127.0.0.1:8084",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.Daemons.Witness(cmd.Context(), listen, args, c.Stdout)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8084", "address")
	return cmd
}
