package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"andon/correction"
	"andon/order"
)

func (c *command) emergencyCmd() *cobra.Command {
	return group("emergency", "Signed orders straight to gateways, with everything else down",
		c.emergencyKeygenCmd(), c.emergencySignCmd(), c.emergencySendCmd())
}

func (c *command) emergencyKeygenCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "keygen -f FILE", Short: "Make a key that can sign emergency orders", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return usagef("-f emergency.key", "it does not say where to keep the key")
			}
			if _, err := os.Lstat(file); err == nil {
				return fmt.Errorf("%s exists already; a key is never overwritten", file)
			}
			s, err := order.LoadOrCreate(file)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(map[string]string{"file": file, "id": s.Public().ID(), "public": s.Public().String()})
			}
			c.printf("private key: %s (keep it apart from the machines it can stop)\n", file)
			c.printf("public key:  %s\n", s.Public())
			c.printf("in andon.yaml:\n  gateway:\n    emergency_trust: [%q]\n", s.Public().String())
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "where to keep the private key (required)")
	return cmd
}

// emergencyFlags say what an emergency order holds.
type emergencyFlags struct {
	scope                                     scopeFlags
	key, by, valid, file, from                string
	stop, drain, kind, params                 string
	block                                     bool
	disable                                   []string
	reason, public, incident, fallback, lasts string
}

func (c *command) emergencySignCmd() *cobra.Command {
	var e emergencyFlags
	cmd := &cobra.Command{
		Use:   "sign --key FILE --stop L3 --model NAME --reason TEXT -f ORDER",
		Short: "Write a signed emergency order; needs nothing but the key",
		Long: `Write a signed emergency order. It needs no control plane, no network, nothing
but the key. It can only tighten. --valid bounds how long gateways accept it;
what it says stands until its --for is over, or until it is lifted.`,
		Example: `  andon emergency sign --key emergency.key --stop L3 --model sim-large --reason "out of control" -f order.json
  andon emergency sign --key emergency.key --kind access --params '{"mode":"block"}' --org acme --reason "stolen key" -f order.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.emergencySign(&e) },
	}
	e.scope.add(cmd, "key-id") // --key is the key that signs
	f := cmd.Flags()
	f.StringVar(&e.key, "key", "", "file of the private key (required)")
	f.StringVar(&e.by, "by", "", "who signs, for the record (default: the id of the key)")
	f.StringVar(&e.valid, "valid", "1h", "how long gateways accept the order, at most 30d")
	f.StringVarP(&e.file, "file", "f", "", "where to write the order (default: stdout)")
	f.StringVar(&e.stop, "stop", "", "level, L1 to L4")
	f.StringVar(&e.drain, "drain", "", "with --stop L2: how long running work may go on")
	f.BoolVar(&e.block, "block", false, "block what the scope names")
	f.StringSliceVar(&e.disable, "disable", nil, "features to switch off: tools, streaming")
	f.StringVar(&e.kind, "kind", "", "any kind, with --params")
	f.StringVar(&e.params, "params", "", "parameters of --kind, as JSON")
	f.StringVar(&e.from, "correction", "", "file with a whole correction as JSON, - for stdin")
	f.StringVar(&e.reason, "reason", "", "why (required)")
	f.StringVar(&e.public, "public-reason", "", "why, for callers")
	f.StringVar(&e.incident, "incident", "", "incident it belongs to")
	f.StringVar(&e.fallback, "fallback", "", "model to serve instead, or none")
	f.StringVar(&e.lasts, "for", "", "how long the correction stands (default: until lifted)")
	return cmd
}

func (c *command) emergencySign(e *emergencyFlags) error {
	if e.key == "" {
		return usagef("--key emergency.key", "it does not say which key signs")
	}
	one, err := c.emergencyCorrection(e)
	if err != nil {
		return err
	}
	window, err := correction.ParseDuration(e.valid)
	if err != nil {
		return usagef("--valid 1h", "--valid: %v", err)
	}
	if _, err := os.Stat(e.key); err != nil { // LoadOrCreate would make one, which no gateway trusts
		return fmt.Errorf("read key file: %w", err)
	}
	signer, err := order.LoadOrCreate(e.key)
	if err != nil {
		return err
	}
	by := e.by
	if by == "" {
		by = "key " + signer.Public().ID()
	}
	em, err := order.NewEmergency(by, c.Now(), time.Duration(window), one)
	if err != nil {
		return &usageError{detail: err.Error()}
	}
	signed, err := order.Sign(em, signer)
	if err != nil {
		return err
	}
	if e.file == "" || e.file == "-" {
		_, err = fmt.Fprintf(c.Stdout, "%s\n", signed)
		return err
	}
	if err := os.WriteFile(e.file, append(signed, '\n'), 0o644); err != nil {
		return fmt.Errorf("write order: %w", err)
	}
	if c.output == "json" {
		return c.json(map[string]any{"id": em.ID, "file": e.file, "key": signer.Public().ID(), "not_after": em.NotAfter})
	}
	c.printf("%s  %s %s: %s\n", em.ID, one.Kind, one.Params.Level, one.Scope.String())
	c.printf("signed by %s, accepted until %s\n", signer.Public().ID(), em.NotAfter.Format(time.RFC3339))
	c.printf("next: andon emergency send %s --to http://GATEWAY_ADMIN\n", e.file)
	return nil
}

// emergencyCorrection builds the one correction that the flags describe.
func (c *command) emergencyCorrection(e *emergencyFlags) (correction.Correction, error) {
	var one correction.Correction
	if e.from != "" {
		data, err := readInput(e.from, c.Stdin)
		if err != nil {
			return one, err
		}
		return parseCorrection(data)
	}
	p := params{}
	kind := correction.Kind(e.kind)
	if e.params != "" {
		if err := json.Unmarshal([]byte(e.params), &p); err != nil {
			return one, usagef(`--params '{"level":"L3"}'`, "--params is not a JSON object: %v", err)
		}
	}
	ways := 0
	if e.kind != "" {
		ways++
	}
	if e.stop != "" {
		ways, kind = ways+1, correction.Stop
		p["level"] = stopLevel(e.stop)
		if e.drain != "" {
			p["drain"] = e.drain
		}
	}
	if e.block {
		ways, kind = ways+1, correction.Access
		p["mode"] = "block"
	}
	if len(e.disable) > 0 {
		ways, kind = ways+1, correction.Capability
		p["disable"] = e.disable
	}
	if ways != 1 {
		return one, usagef("--stop L3, --block, --disable tools, --kind K --params JSON or --correction FILE", "exactly one of these says what the order does; %d are given", ways)
	}
	scope, except, err := e.scope.scopes()
	if err != nil {
		return one, err
	}
	if strings.TrimSpace(e.reason) == "" {
		return one, usagef(`--reason "what happened"`, "a reason is required")
	}
	d := draft{Kind: kind, Params: p, Scope: scope, Except: except, Reason: e.reason, PublicReason: e.public, Incident: e.incident, Fallback: e.fallback}
	if e.lasts != "" {
		if d.ExpiresAt, err = after("--for", e.lasts, c.Now()); err != nil {
			return one, err
		}
	}
	data, err := json.Marshal(d)
	if err != nil {
		return one, fmt.Errorf("write correction: %w", err)
	}
	return parseCorrection(data)
}

// parseCorrection is strict, so that a mistake is found before the order is
// needed and not when a gateway refuses it.
func parseCorrection(data []byte) (correction.Correction, error) {
	one, err := correction.Parse(data)
	if err != nil {
		return one, fieldProblem(err)
	}
	return one, nil
}

// fieldProblem gives an error of the correction room the shape that report knows.
func fieldProblem(err error) error {
	var f *correction.FieldError
	if !errors.As(err, &f) {
		return &usageError{detail: err.Error()}
	}
	return &problem{Status: http.StatusBadRequest, Detail: f.Detail, Field: f.Field, Allowed: f.Allowed}
}
