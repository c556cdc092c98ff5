package cli

import (
	"crypto/sha256"
	"encoding/hex"
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

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"andon/app/config"
	"andon/correction"
	"andon/ledger"
)

// maxEvidenceFile bounds a document, in bytes.
const maxEvidenceFile = 64 << 20

// evidenceText is an evidence as the control plane shows it.
type evidenceText struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Incident    string    `json:"incident"`
	Models      []string  `json:"models"`
	Corrections []string  `json:"corrections"`
	Before      uint64    `json:"before_revision"`
	Ends        time.Time `json:"before_end"`
	Reason      string    `json:"reason"`
	By          string    `json:"by"`
	At          time.Time `json:"at"`
	SHA256      string    `json:"sha256"`
	Size        int64     `json:"size"`
	SealedAt    time.Time `json:"sealed_at"`
	Asked       int       `json:"points_asked"`
	Answered    int       `json:"points_answered"`
	Missing     []struct {
		Point string `json:"point"`
		What  string `json:"what"`
		Why   string `json:"why"`
	} `json:"missing"`
	Entry    uint64       `json:"entry"`
	Stored   string       `json:"stored"`
	Erased   *erasureText `json:"erased"`
	Redacted *erasureText `json:"prompts_erased"`
}

// erasureText is what retention erased, and under which rule.
type erasureText struct {
	Class   string              `json:"class"`
	Keep    correction.Duration `json:"keep"`
	Basis   string              `json:"basis"`
	Version int                 `json:"plan_version"`
	At      time.Time           `json:"at"`
}

func (x *erasureText) words() string {
	return fmt.Sprintf("erased under retention %s (kept %s, plan version %d: %s) on %s", x.Class, x.Keep, x.Version, x.Basis, x.At.UTC().Format(time.RFC3339))
}

// evidenceFlags say whether evidence is taken before a command alters the system.
type evidenceFlags struct{ take, reason string }

func (e *evidenceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.take, "evidence", "", "take or skip: whether what stood before is sealed as evidence (default: take, in an incident); nothing waits for it")
	cmd.Flags().StringVar(&e.reason, "evidence-reason", "", "why it is skipped, for the record")
}

// query adds what they say to the parameters of a command.
func (e *evidenceFlags) query(rest string) string {
	q := url.Values{}
	if e.take != "" {
		q.Set("evidence", e.take)
	}
	if e.reason != "" {
		q.Set("evidence_reason", e.reason)
	}
	switch {
	case len(q) == 0:
		return rest
	case rest == "":
		return "?" + q.Encode()
	}
	return rest + "&" + q.Encode()
}

func (c *command) evidenceCmds() []*cobra.Command {
	return []*cobra.Command{group("evidence", "What models were as they were altered, sealed into the record",
		c.evidenceTakeCmd(), c.evidenceListCmd(), c.evidenceShowCmd(), c.evidenceGetCmd(), c.evidenceVerifyCmd())}
}

func (c *command) evidenceTakeCmd() *cobra.Command {
	var body struct {
		Incident string   `json:"incident,omitempty"`
		Models   []string `json:"models,omitempty"`
		Prompts  *bool    `json:"system_prompts,omitempty"`
		Reason   string   `json:"reason"`
	}
	var without bool
	cmd := &cobra.Command{
		Use: "take [--incident ID] [--model NAME] --reason TEXT", Short: "Take a snapshot of what stands now, and seal it", Args: cobra.NoArgs,
		Long: `Take a snapshot of what stands now, and seal it: models and versions as served, what is in
force and how it was compiled, filters, limits and what is used of them, calls in flight, recent
refusals, and the system prompts that callers have used lately. Corrections that are made in an
incident, and alter the system, have theirs taken by themselves.`,
		Example: `  andon evidence take --incident i-7 --reason "before the rollback"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(body.Reason) == "" {
				return usagef(`--reason "what it is for"`, "a reason is required")
			}
			if without {
				body.Prompts = new(bool)
			}
			return send(c, cmd, http.MethodPost, "/evidence", body, func(v *evidenceText) error {
				c.printEvidence(v, "andon evidence get %s   saves it; what was sealed stays in the record\n")
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Incident, "incident", "", "incident that it belongs to; who may not know of that is not shown it")
	f.StringSliceVar(&body.Models, "model", nil, "`models` (default: those of the incident, else all)")
	f.BoolVar(&without, "without-prompts", false, "leave out the system prompts that callers have used")
	f.StringVar(&body.Reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) evidenceListCmd() *cobra.Command {
	var incident, state string
	cmd := &cobra.Command{
		Use: "ls", Short: "Evidence that was taken, is due, was skipped, or was missed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {"500"}}
			if incident != "" {
				q.Set("incident", incident)
			}
			if state != "" {
				q.Set("state", state)
			}
			rows := [][]string{{"ID", "STATE", "AT", "INCIDENT", "MODELS", "POINTS", "SIZE", "REASON"}}
			for {
				var page struct {
					Evidence []jsontext.Value `json:"evidence"`
					After    string           `json:"after"`
				}
				if err := c.fetch(cmd, "/evidence?"+q.Encode(), &page); err != nil {
					return err
				}
				for _, raw := range page.Evidence {
					if c.output == "json" {
						if err := c.json(raw); err != nil {
							return err
						}
						continue
					}
					var v evidenceText
					if err := unmarshal(raw, &v); err != nil {
						return err
					}
					rows = append(rows, c.evidenceRow(&v))
				}
				if page.After == "" {
					break
				}
				q.Set("after", page.After)
			}
			switch {
			case c.output == "json":
			case len(rows) == 1:
				c.printf("there is no evidence\n")
			default:
				table(c.Stdout, rows)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&incident, "incident", "", "of this incident alone")
	cmd.Flags().StringVar(&state, "state", "", "due, sealed, skipped or missed")
	return cmd
}

func (c *command) evidenceRow(v *evidenceText) []string {
	models, points, size, state := strings.Join(v.Models, " "), "", "", v.State
	if models == "" {
		models = "all"
	}
	if v.State == "sealed" {
		points, size = fmt.Sprintf("%d/%d", v.Answered, v.Asked), strconv.FormatInt(v.Size, 10)
		switch v.Stored {
		case "intact":
		case "erased":
			state = "erased"
		default:
			state = "LOST"
		}
	}
	return []string{v.ID, state, v.At.UTC().Format("01-02 15:04:05"), v.Incident, c.cut(models, 20), points, size, c.cut(v.Reason, 36)}
}

func (c *command) evidenceShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "One evidence: what was sealed, and what is missing", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/evidence/"+url.PathEscape(args[0]), func(v *evidenceText) error {
				c.printEvidence(v, "")
				return nil
			})
		},
	}
}

// printEvidence shows one. next is said after it, with its id, if it is sealed.
func (c *command) printEvidence(v *evidenceText, next string) {
	of := "all models"
	if len(v.Models) > 0 {
		of = strings.Join(v.Models, ", ")
	}
	if v.Incident != "" {
		of += ", incident " + v.Incident
	}
	c.printf("%s  %s  %s\n  of %s, by %s\n  %s\n", v.ID, v.State, v.At.UTC().Format(time.RFC3339), of, c.person(v.By), v.Reason)
	if v.Before > 0 {
		c.printf("  as it stood before revision %d (%s)\n", v.Before, strings.Join(v.Corrections, ", "))
	}
	if !v.Ends.IsZero() {
		c.printf("  before the end, by itself, of %s at %s\n", strings.Join(v.Corrections, ", "), v.Ends.UTC().Format(time.RFC3339))
	}
	if v.State != "sealed" {
		return
	}
	c.printf("  %d bytes, SHA-256 %s, entry %d\n  %d of %d points answered\n", v.Size, v.SHA256, v.Entry, v.Answered, v.Asked)
	for _, m := range v.Missing {
		point := m.Point
		if point == "" {
			point = "control"
		}
		c.printf("  missing: %s: %s: %s\n", point, m.What, m.Why)
	}
	if v.Redacted != nil {
		c.printf("  system prompts %s\n", v.Redacted.words())
	}
	if v.Erased != nil {
		c.printf("  %s\n", v.Erased.words())
		return
	}
	if v.Stored != "intact" {
		c.printf("  THE DOCUMENT IS NOT ON THE DISK AS IT WAS SEALED: restore it from a backup\n")
	}
	if next != "" {
		c.printf(next, v.ID)
	}
}

func (c *command) evidenceGetCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "get ID [-f FILE]", Short: "Save a document and its proof; they replace nothing", Args: exactly(1),
		Long: "Save a document, and beside it, as FILE.proof, the entry that sealed it with its proof. The document may hold\nsystem prompts as callers wrote them: it is saved so that nobody else can read it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				file = args[0] + ".json"
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			path := "/evidence/" + url.PathEscape(args[0])
			var proof jsontext.Value
			if err := cl.do(cmd.Context(), http.MethodGet, path+"/proof", nil, nil, &proof); err != nil {
				return err
			}
			resp, err := cl.send(cmd.Context(), http.MethodGet, path+"/content", nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			data, err := readDocument(resp.Body)
			if err != nil {
				return fmt.Errorf("get evidence: %w", err)
			}
			if err := checkEvidence(data, proof, nil); err != nil {
				return fmt.Errorf("get evidence: nothing was saved: %w", err)
			}
			for _, f := range []struct {
				name string
				data []byte
			}{{file, data}, {file + ".proof", proof}} {
				if err := writePrivateNew(f.name, f.data); errors.Is(err, fs.ErrExist) {
					return usagef("-f ANOTHER", "%s is there already, and nothing is written over", f.name)
				} else if err != nil {
					return fmt.Errorf("get evidence: %w", err)
				}
			}
			if c.output == "json" {
				return c.json(map[string]any{"file": file, "proof": file + ".proof", "size": len(data)})
			}
			c.printf("%s  %d bytes\n%s.proof\nandon evidence verify %s --public-key FILE   checks them anywhere\n", file, len(data), file, file)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` that is not there yet (default ID.json)")
	return cmd
}

func writePrivateNew(name string, data []byte) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return errors.Join(err, out.Close())
}

func readDocument(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxEvidenceFile+1))
	if err == nil && len(data) > maxEvidenceFile {
		err = fmt.Errorf("it has more than %d bytes", maxEvidenceFile)
	}
	return data, err
}

func (c *command) evidenceVerifyCmd() *cobra.Command {
	var proof, key, data string
	cmd := &cobra.Command{
		Use: "verify FILE [--proof FILE.proof] [--public-key FILE]", Short: "Check a document against the record, offline", Args: exactly(1),
		Long: `Check offline that a document is the one that was sealed: its SHA-256 is the one of the entry,
and the entry is in the record that the key has signed.`,
		Example: `  andon evidence verify e-1.json --public-key ledger.key.pub`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if proof == "" {
				proof = args[0] + ".proof"
			}
			if key == "" {
				key = config.LayoutOf(c.dataDir(data)).LedgerKey() + ".pub"
			}
			return c.evidenceVerify(args[0], proof, key)
		},
	}
	f := cmd.Flags()
	f.StringVar(&proof, "proof", "", "`file` that andon evidence get has written (default: FILE.proof)")
	f.StringVar(&key, "public-key", "", "`file` of the ledger's public key (default: that of the data folder)")
	f.StringVar(&data, "data", "", "data folder (default ./andon-data, ANDON_DATA)")
	return cmd
}

func (c *command) evidenceVerify(file, proof, key string) error {
	read := func(name string) ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readDocument(f)
	}
	content, err := read(file)
	if err != nil {
		return fmt.Errorf("verify evidence: %w", err)
	}
	p, err := read(proof)
	if err != nil {
		return fmt.Errorf("verify evidence: %w", err)
	}
	v, err := ledger.ReadVerifier(key)
	if err != nil {
		return err
	}
	var sealed sealedText
	if err := checkEvidence(content, p, &sealed); err != nil {
		return c.unsound(file, err)
	}
	if err := ledger.VerifyProof([]byte(sealed.entry), []byte(sealed.proof), v); err != nil {
		return c.unsound(file, err)
	}
	if c.output == "json" {
		return c.json(map[string]any{"sound": true, "id": sealed.ID, "sha256": sealed.SHA256, "entry": sealed.seq, "signed_by": v.Name()})
	}
	c.printf("sound: %s is evidence %s, sealed by entry %d of the record signed by %s\nSHA-256 %s\n", file, sealed.ID, sealed.seq, v.Name(), sealed.SHA256)
	return nil
}

func (c *command) unsound(file string, err error) error {
	if c.output == "json" {
		if jerr := c.json(map[string]any{"sound": false, "detail": err.Error()}); jerr != nil {
			return jerr
		}
	} else {
		c.printf("NOT SOUND: %s: %s\n", file, err)
	}
	return &reported{exitFailed, "verify evidence: " + err.Error()}
}

// sealedText is what an entry says that sealed a document, and its proof.
type sealedText struct {
	ID           string `json:"id"`
	SHA256       string `json:"sha256"`
	Size         int64  `json:"size"`
	seq          uint64
	entry, proof string
}

// checkEvidence holds a document against the entry that is beside it. Whether the
// entry is in the record is another question.
func checkEvidence(content, beside []byte, out *sealedText) error {
	var p struct {
		ID    string `json:"id"`
		Entry string `json:"entry"`
		Proof string `json:"proof"`
	}
	if err := json.Unmarshal(beside, &p); err != nil || p.Entry == "" {
		return errors.New("the proof cannot be read: it is not what andon evidence get writes")
	}
	var e struct {
		Seq  uint64     `json:"seq"`
		Type string     `json:"type"`
		Body sealedText `json:"body"`
	}
	if err := json.Unmarshal([]byte(p.Entry), &e); err != nil || e.Type != "evidence.sealed" && e.Type != "evidence.redacted" {
		return errors.New("the entry beside it has sealed no evidence")
	}
	sum := sha256.Sum256(content)
	if digest := hex.EncodeToString(sum[:]); digest != e.Body.SHA256 || int64(len(content)) != e.Body.Size {
		return fmt.Errorf("the document has %d bytes and SHA-256 %s; entry %d sealed %d bytes with %s", len(content), digest, e.Seq, e.Body.Size, e.Body.SHA256)
	}
	if out != nil {
		*out = e.Body
		out.seq, out.entry, out.proof = e.Seq, p.Entry, p.Proof
	}
	return nil
}
