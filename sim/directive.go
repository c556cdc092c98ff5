package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of directives: far beyond any use, so that a slip of the keyboard is
// an error and not an outage.
const (
	maxTokens    = 1_000_000
	maxInterval  = time.Hour
	plainTokens  = 16 // without a directive
	directiveTag = "sim:"
)

// Directive is what a caller asks of the simulation. It stands in the last user
// message as a line that holds
//
//	sim: tokens=500 interval=20ms
//
// with any of these, separated by blanks, up to the end of the line or the
// first word that is no pair:
//
//	tokens=N      how many tokens to say; 16 if left out
//	interval=D    pause between tokens; a plain call takes tokens×interval
//	first=D       delay before the first token
//	text="…"      exactly this text; \" \\ \n \t as in Go; its length decides the tokens
//	tool=NAME     call this tool, with arguments made from its schema if it was offered
//	error=STATUS  an error of the wire with this status, 400 to 599
//	after=N       the error comes after N tokens, inside the stream
//	cut=N         close the connection abruptly after N tokens
//	stall=N       go silent after N tokens until the client goes away
//
// Several lines add up. A line whose first word is none of these is prose; an
// unknown name or a bad value after a good one is refused with 400, so that a
// typing error does not pass for a quiet provider.
type Directive struct {
	Tokens   int
	Interval time.Duration
	First    time.Duration
	Text     string
	HasText  bool
	Tool     string
	Status   int // 0: no error
	After    int // -1: before anything is said
	Cut      int // -1: never
	Stall    int // -1: never
}

// ParseDirective reads the directives in a message. The error names the word at fault.
func ParseDirective(message string) (Directive, error) {
	d := Directive{Tokens: plainTokens, After: -1, Cut: -1, Stall: -1}
	for rest := message; ; {
		i := strings.Index(rest, directiveTag)
		if i < 0 {
			return d, nil
		}
		before, after := rest[:i], rest[i+len(directiveTag):]
		rest = after
		if !wordEnds(before) {
			continue // "maxsim: …" is somebody's prose
		}
		var err error
		if rest, err = d.line(after); err != nil {
			return d, err
		}
	}
}

// wordEnds reports whether a tag right after s would stand on its own.
func wordEnds(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s) // of "" it is not a letter either
	return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// line reads pairs until the line ends or a word is no pair, and returns what
// is left to search.
func (d *Directive) line(s string) (rest string, err error) {
	for first := true; ; first = false {
		s = strings.TrimLeft(s, " \t")
		name, after, ok := cutName(s)
		if !ok {
			return s, nil
		}
		value, rest, err := cutValue(after)
		if err != nil {
			if first && !known(name) {
				return after, nil
			}
			return "", fmt.Errorf("%s: %w", name, err)
		}
		switch ok, err := d.set(name, value); {
		case err != nil:
			return "", fmt.Errorf("%s=%s: %w", name, shorten(value), err)
		case !ok && first:
			return after, nil
		case !ok:
			return "", fmt.Errorf("%s: unknown directive; known are tokens, interval, first, text, tool, error, after, cut, stall", shorten(name))
		}
		s = rest
	}
}

// cutName splits "name=…"; ok is false if s does not begin with letters and '='.
func cutName(s string) (name, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '=' && i > 0 {
			return s[:i], s[i+1:], true
		}
		if (c < 'a' || c > 'z') && c != '_' {
			break
		}
	}
	return "", s, false
}

// cutValue takes a quoted or bare value off s.
func cutValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
			return s[:i], s[i:], nil
		}
		return s, "", nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			i++
			if i == len(s) {
				return "", "", fmt.Errorf(`text ends inside an escape`)
			}
			switch e := s[i]; e {
			case '"', '\\':
				b.WriteByte(e)
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			default:
				return "", "", fmt.Errorf(`\%c is no escape; known are \" \\ \n \t`, e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("the closing quote is missing")
}

func known(name string) bool {
	switch name {
	case "tokens", "interval", "first", "text", "tool", "error", "after", "cut", "stall":
		return true
	}
	return false
}

// set takes one pair; ok is false if the name is unknown.
func (d *Directive) set(name, value string) (ok bool, err error) {
	switch name {
	case "tokens":
		d.Tokens, err = count(value)
	case "interval":
		d.Interval, err = pause(value)
	case "first":
		d.First, err = pause(value)
	case "text":
		d.Text, d.HasText = value, true
	case "tool":
		if d.Tool = value; value == "" || len(value) > 256 {
			err = fmt.Errorf("want the name of a tool")
		}
	case "error":
		n, e := strconv.Atoi(value)
		if d.Status = n; e != nil || n < 400 || n > 599 {
			err = fmt.Errorf("want a status from 400 to 599")
		}
	case "after":
		d.After, err = count(value)
	case "cut":
		d.Cut, err = count(value)
	case "stall":
		d.Stall, err = count(value)
	default:
		return false, nil
	}
	return true, err
}

func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxTokens {
		return 0, fmt.Errorf("want a number from 0 to %d", maxTokens)
	}
	return n, nil
}

func pause(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxInterval {
		return 0, fmt.Errorf("want a duration from 0s to %s, such as 20ms", maxInterval)
	}
	return d, nil
}

// shorten keeps error messages readable.
func shorten(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	i := most
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return s[:i] + "…"
}
