package sim

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseDirective(t *testing.T) {
	base := Directive{Tokens: plainTokens, After: -1, Cut: -1, Stall: -1}
	with := func(f func(*Directive)) Directive { d := base; f(&d); return d }
	for _, c := range []struct {
		in   string
		want Directive
	}{
		{"", base},
		{"hello", base},
		{"sim: tokens=500 interval=20ms", with(func(d *Directive) { d.Tokens, d.Interval = 500, 20*time.Millisecond })},
		{"Please.\nsim: tokens=5\nThank you", with(func(d *Directive) { d.Tokens = 5 })},
		{"Say it sim: tokens=5 and be quick", with(func(d *Directive) { d.Tokens = 5 })},
		{"sim: tokens=5\nsim: first=1s", with(func(d *Directive) { d.Tokens, d.First = 5, time.Second })},
		{"sim: tokens=5 sim: first=1s", with(func(d *Directive) { d.Tokens, d.First = 5, time.Second })},
		{`sim: text="a \"b\"\n\tc\\" tokens=2`, with(func(d *Directive) { d.Text, d.HasText, d.Tokens = "a \"b\"\n\tc\\", true, 2 })},
		{"sim: text=word", with(func(d *Directive) { d.Text, d.HasText = "word", true })},
		{`sim: text=""`, with(func(d *Directive) { d.HasText = true })},
		{"sim: error=503 after=2", with(func(d *Directive) { d.Status, d.After = 503, 2 })},
		{"sim: cut=1 stall=0 tool=look_up", with(func(d *Directive) { d.Cut, d.Stall, d.Tool = 1, 0, "look_up" })},
		{"。sim: tokens=1", with(func(d *Directive) { d.Tokens = 1 })},
		// Prose stays prose.
		{"maxsim: tokens=5", base},
		{"The sim: x=1 is bad", base},
		{"sim: what is tokens=5", base},
		{`sim: y="unclosed`, base},
		{"sim:", base},
	} {
		got, err := ParseDirective(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}

func TestParseDirectiveRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"sim: tokens=x":              "tokens=x: want a number from 0 to 1000000",
		"sim: tokens=1000001":        "tokens=1000001: want a number",
		"sim: interval=20":           "interval=20: want a duration",
		"sim: interval=-1s":          "interval=-1s: want a duration",
		"sim: first=61m":             "first=61m: want a duration",
		"sim: error=200":             "error=200: want a status from 400 to 599",
		"sim: tool= tokens=1":        "tool=: want the name",
		"sim: tokens=1 token=2":      "token: unknown directive; known are tokens,",
		`sim: text="a`:               "text: the closing quote is missing",
		`sim: text="\x"`:             `text: \x is no escape`,
		`sim: tokens=1 y="\`:         `y: text ends inside an escape`,
		"fine\nand sim: cut=-2 here": "cut=-2: want a number",
	} {
		if _, err := ParseDirective(in); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
	}
}

// render writes a directive so that parsing gives it back.
func render(d Directive) string {
	s := fmt.Sprintf("sim: tokens=%d interval=%s first=%s", d.Tokens, d.Interval, d.First)
	if d.HasText {
		s += ` text="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(d.Text) + `"`
	}
	if d.Tool != "" {
		s += ` tool="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(d.Tool) + `"`
	}
	for name, n := range map[string]int{"after": d.After, "cut": d.Cut, "stall": d.Stall} {
		if n >= 0 {
			s += fmt.Sprintf(" %s=%d", name, n)
		}
	}
	if d.Status != 0 {
		s += fmt.Sprintf(" error=%d", d.Status)
	}
	return s
}

func FuzzParseDirective(f *testing.F) {
	for _, s := range []string{"sim: tokens=500 interval=20ms", `sim: text="a\"b" tool=x`, "sim: error=429 after=3 cut=1 stall=2\nsim: first=1s", "simsim: sim: tokens=", "sim: text=\"é\xff\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDirective(s)
		if err != nil {
			return
		}
		if d.Tokens < 0 || d.Tokens > maxTokens || d.Interval < 0 || d.Interval > maxInterval || d.First < 0 || d.First > maxInterval ||
			d.Cut < -1 || d.Stall < -1 || d.After < -1 || (d.Status != 0 && (d.Status < 400 || d.Status > 599)) {
			t.Fatalf("%q gives %+v, beyond its bounds", s, d)
		}
		again, err := ParseDirective(render(d))
		if err != nil || again != d {
			t.Fatalf("%q gives %+v; rendered as %q it gives %+v, %v", s, d, render(d), again, err)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("One two three")
	f.Add("  a\n\nlongwordlongwordlongword é日本語日本語日本語日本語")
	f.Fuzz(func(t *testing.T, s string) {
		pieces := split(s)
		if strings.Join(pieces, "") != s {
			t.Fatalf("%q came apart as %q", s, pieces)
		}
		for _, p := range pieces {
			if p == "" {
				t.Fatalf("an empty piece of %q", s)
			}
		}
	})
}
