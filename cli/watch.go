package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// event is one server-sent event of /api/v1/events.
type event struct {
	id, name string
	data     []byte
}

// maxEvent bounds one event; a longer one is an error, not a growing buffer.
const maxEvent = 4 << 20

// readEvents calls fn for each event until the stream ends.
func readEvents(r io.Reader, fn func(event) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxEvent)
	var e event
	for in.Scan() {
		line := in.Bytes()
		if len(line) == 0 {
			if e.data != nil {
				if err := fn(e); err != nil {
					return err
				}
			}
			e = event{id: e.id}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			if e.data != nil {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
			if e.data == nil {
				e.data = []byte{}
			}
		}
	}
	return in.Err()
}

func (c *command) watchCmd() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "watch", Short: "What happens, as it happens; Ctrl-C ends it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return c.watch(cmd.Context(), cl, from)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "id of the last event already seen")
	return cmd
}

// watch follows the events, and takes the thread up again where it was if the
// connection ends. An answer that is a refusal ends it.
func (c *command) watch(ctx context.Context, cl *client, last string) error {
	v := &watchView{c: c, cl: cl, states: map[string]string{}}
	if c.Terminal && c.output != "json" {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go v.refresh(ctx)
	}
	pause := 200 * time.Millisecond
	for {
		err := c.follow(ctx, cl, &last, func(e event) error {
			pause = 200 * time.Millisecond
			return v.show(ctx, e)
		})
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		var p *problem
		if errors.As(err, &p) && p.Status/100 == 4 {
			return err
		}
		fmt.Fprintf(clean(c.Stderr), "andon: connection lost, trying again: %v\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func (c *command) follow(ctx context.Context, cl *client, last *string, fn func(event) error) error {
	h := http.Header{"Accept": {"text/event-stream"}}
	if *last != "" {
		h.Set("Last-Event-ID", *last)
	}
	resp, err := cl.send(ctx, http.MethodGet, "/events", h, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	err = readEvents(resp.Body, func(e event) error {
		*last = e.id
		return fn(e)
	})
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// watchView shows events: a line each, or below a table that is kept fresh.
type watchView struct {
	c  *command
	cl *client

	states map[string]string // of each point, as last told; only show uses it

	mu    sync.Mutex // events and the passing of time both draw
	lines []string
}

const keptLines = 12

func (v *watchView) show(ctx context.Context, e event) error {
	if v.c.output == "json" {
		_, err := fmt.Fprintf(v.c.Stdout, "%s\n", bytes.ReplaceAll(e.data, []byte("\n"), []byte(" ")))
		return err
	}
	line := v.line(e)
	if line == "" {
		return nil
	}
	if !v.c.Terminal {
		v.c.printf("%s\n", line)
		return nil
	}
	v.mu.Lock()
	if v.lines = append(v.lines, line); len(v.lines) > keptLines {
		v.lines = v.lines[1:]
	}
	v.mu.Unlock()
	v.draw(ctx)
	return nil
}

// refresh draws now and then, since leases run and gateways fall silent without
// an event.
func (v *watchView) refresh(ctx context.Context) {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		v.draw(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// draw repaints the terminal with the state of things and the last events.
func (v *watchView) draw(ctx context.Context) {
	if !v.c.Terminal || v.c.output == "json" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var b bytes.Buffer
	if o, err := v.c.overview(ctx, v.cl); err == nil {
		v.c.printOverview(&b, o)
	} else {
		fmt.Fprintf(clean(&b), "%v\n", err)
	}
	b.WriteString("\n")
	for _, l := range v.lines {
		fmt.Fprintln(clean(&b), l)
	}
	fmt.Fprintf(v.c.Stdout, "\x1b[H\x1b[2J%s", b.Bytes())
}
