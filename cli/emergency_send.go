package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"andon/order"
)

func (c *command) emergencySendCmd() *cobra.Command {
	var to []string
	cmd := &cobra.Command{
		Use: "send ORDER --to http://GATEWAY_ADMIN[,…]", Short: "Give a signed order to gateways, directly",
		Example: "  andon emergency send order.json --to http://10.0.0.5:8081,http://10.0.0.6:8081",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readInput(args[0], c.Stdin)
			if err != nil {
				return err
			}
			if err := isEmergency(args[0], data); err != nil {
				return err
			}
			if len(to) == 0 {
				d, _, err := c.readDev()
				if err != nil {
					return err
				}
				if d.Admin == "" {
					return usagef("--to http://127.0.0.1:8081", "no gateway is named")
				}
				to = []string{d.Admin}
			}
			return c.emergencySend(cmd.Context(), data, to)
		},
	}
	cmd.Flags().StringSliceVar(&to, "to", nil, "admin listeners of gateways")
	return cmd
}

// isEmergency finds out before anybody is asked whether this is an order at all.
// Whether its signature is good is for the gateways to say.
func isEmergency(name string, data []byte) error {
	var envelope struct {
		Type string `json:"payloadType"`
	}
	if err := json.Unmarshal(data, &envelope); err != nil || envelope.Type != order.TypeEmergency {
		return usagef("andon emergency sign … -f order.json, then andon emergency send order.json", "%s is not a signed emergency order", name)
	}
	return nil
}

// sendResult is what one gateway said.
type sendResult struct {
	Gateway     string   `json:"gateway"`
	ID          string   `json:"id,omitempty"`
	Corrections []string `json:"corrections,omitempty"`
	Cut         int64    `json:"cut"`
	TookMS      float64  `json:"took_ms"`
	Kept        bool     `json:"kept"`                     // it survives a restart of that gateway
	Unknown     []string `json:"unknown_models,omitempty"` // named in the order, and no model of that gateway
	Error       string   `json:"error,omitempty"`
	Code        string   `json:"code,omitempty"` // of the error: bad_signature, malformed, expired, adopted, id_in_use
	status      int
}

// emergencySend posts to all gateways at once: one that hangs must not keep the
// order from the next.
func (c *command) emergencySend(ctx context.Context, data []byte, to []string) error {
	pool, err := c.authorities()
	if err != nil {
		return err
	}
	h := securedGateway(httpClient(), pool)
	results := make([]sendResult, len(to))
	done := make(chan int)
	for i, addr := range to {
		go func() {
			results[i] = post(ctx, h, data, addr)
			done <- i
		}()
	}
	failed, untrusted, adopted := 0, 0, 0
	for range to {
		r := results[<-done]
		if r.Error != "" {
			failed++
		}
		if r.status == http.StatusForbidden {
			untrusted++
		}
		if r.Code == "adopted" {
			adopted++
		}
		if c.output == "json" {
			continue
		}
		switch {
		case r.Error != "" && r.status == 0:
			c.printf("%s  NOT REACHED  %s\n", r.Gateway, r.Error)
		case r.Error != "":
			c.printf("%s  refused  %s\n", r.Gateway, r.Error)
		default:
			c.printf("%s  enforcing  %s  cut %d  after %s\n", r.Gateway, r.ID, r.Cut, span(time.Duration(r.TookMS*float64(time.Millisecond))))
			if len(r.Unknown) > 0 {
				c.printf("  NOTHING is reached there by the name %s: it serves no such model (an alias does not count)\n", strings.Join(r.Unknown, ", "))
			}
			if !r.Kept {
				c.printf("  NOT kept on its disk: a restart forgets it; send it again\n")
			}
		}
	}
	if c.output == "json" {
		if err := c.json(results); err != nil {
			return err
		}
	}
	if i := slices.IndexFunc(results, func(r sendResult) bool { return len(r.Corrections) > 0 }); i >= 0 && c.output != "json" {
		c.printf("undo, once the control plane has it (andon status): andon lift %s --reason \"…\"\n", strings.Join(results[i].Corrections, " "))
	}
	if failed > 0 {
		if c.output != "json" {
			next := "send it again, or copy it there as DATA/gateway/NAME/drop/stop.json"
			switch failed {
			case adopted:
				next = "it is in the ledger, and stands until it is lifted there: andon status. To stop again what was lifted, sign a new one"
			case untrusted:
				next = "sign it with a key that stands in their gateway.emergency_trust"
			}
			c.printf("%d of %d gateways did NOT take the order; %s\n", failed, len(to), next)
		}
		code := exitFailed
		if untrusted == failed {
			code = exitRefused // the key is not one that they trust
		}
		return &reported{code, fmt.Sprintf("%d of %d gateways did not take the order", failed, len(to))}
	}
	if !slices.ContainsFunc(results, func(r sendResult) bool { return len(r.Unknown) == 0 }) {
		return &reported{exitFailed, "no gateway serves a model of that name: nothing of it was stopped"}
	}
	return nil
}

func post(ctx context.Context, h *http.Client, data []byte, addr string) sendResult {
	r := sendResult{Gateway: addr}
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	begun := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(addr, "/")+"/emergency", bytes.NewReader(data))
	if err != nil {
		r.Error = err.Error()
		return r
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.Do(req)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer resp.Body.Close()
	r.TookMS = float64(time.Since(begun).Microseconds()) / 1000
	r.status = resp.StatusCode
	if resp.StatusCode/100 != 2 {
		err := readProblem(resp)
		r.Error = err.Error()
		if p, ok := err.(*problem); ok {
			r.Code = p.Code
		}
		return r
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		var ok struct {
			ID          string   `json:"id"`
			Corrections []string `json:"corrections"`
			Cut         int64    `json:"cut"`
			Kept        bool     `json:"kept"`
			Unknown     []string `json:"unknown_models"`
		}
		if err = json.Unmarshal(body, &ok); err == nil {
			r.ID, r.Corrections, r.Cut, r.Kept, r.Unknown = ok.ID, ok.Corrections, ok.Cut, ok.Kept, ok.Unknown
		}
	}
	if err != nil {
		r.Error = "the answer could not be read: " + err.Error()
	}
	return r
}

// readInput reads a file, or stdin for "-".
func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, 16<<20))
	}
	data, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	return data, nil
}
