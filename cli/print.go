package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// clean wraps a writer so that nothing printed through it can steer a terminal
// or reorder what is read: reasons, names and model output come from elsewhere.
func clean(w io.Writer) io.Writer { return cleaner{w} }

type cleaner struct{ w io.Writer }

// Write replaces control characters and bidirectional overrides. It is given
// whole texts by fmt, so a character is never split over two calls.
func (c cleaner) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for b := p; len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		if r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f) {
			r = utf8.RuneError
		}
		out = utf8.AppendRune(out, r)
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// printf prints one piece of text for people.
func (c *command) printf(format string, args ...any) {
	fmt.Fprintf(clean(c.Stdout), format, args...)
}

// json prints a value for machines.
func (c *command) json(v any) error {
	opts := []json.Options{json.Deterministic(true)}
	if c.Terminal {
		opts = append(opts, jsontext.WithIndent("  "))
	}
	b, err := json.Marshal(v, opts...)
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	_, err = fmt.Fprintf(c.Stdout, "%s\n", b)
	return err
}

// table prints rows in columns. The first row is the heading.
func table(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(clean(w), 0, 4, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			r[i] = strings.NewReplacer("\t", " ", "\n", " ").Replace(cell)
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(r, "\t"), "\t "))
	}
	_ = tw.Flush()
}

// shorten cuts a text to n characters.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// cut shortens a text for a table that somebody looks at. What goes elsewhere is
// never cut: nobody can make the window wider there.
func (c *command) cut(s string, n int) string {
	if !c.Terminal {
		return s
	}
	return shorten(s, n)
}

// plural writes "1 stream", "2 streams".
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// span writes a time span the way people say it: 3.2 ms, 41 s, 2 h 5 min, 3 d.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// until says how far an instant is away.
func until(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if d := t.Sub(now); d > -time.Second && d < time.Second {
		return "now"
	}
	if t.Before(now) {
		return span(now.Sub(t)) + " ago"
	}
	return "in " + span(t.Sub(now))
}

// confirm asks a question whose safe answer is no.
func (c *command) confirm(question string) bool {
	fmt.Fprintf(clean(c.Stderr), "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(c.Stdin, &answer)
	a := strings.ToLower(strings.TrimSpace(answer))
	return a == "y" || a == "yes"
}
