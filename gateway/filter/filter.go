// Package filter keeps what corrections forbid out of prompts and answers:
// texts by patterns and classifiers, and calls of tools by feature and name. It
// knows each place of each wire in which a text or a call can stand.
//
// The promise: no byte of a forbidden text in an answer reaches the client,
// however its events and its reads are split, in text, reasoning, refusals, tool
// arguments and whatever else a model says, on every wire; nothing of the event
// that begins it, and nothing after it. All that comes before reaches the client
// in order and byte for byte, and is held back only as long as the end of its
// texts may still become forbidden. Data that cannot be read is forbidden, too.
//
// A Guard is a set of rules, compiled once, immutable, and shared by calls. For
// an answer that is a stream:
//
//	s := guard.Stream(w, rt)              // guard may be nil: all passes
//	out, hit := s.Write(event)            // one whole event; also what is left at the end of the body
//	…send out; if hit != nil, end the stream and close the provider's connection
//	if s.Waiting() {                      // classifiers have to be asked
//		out, hit = s.Await(ctx)       // as long as ctx lasts
//	}
//	out, hit = s.Update(other)            // the rules changed in mid-stream
//	out, hit = s.End()                    // the provider's stream is over; then Waiting again
//
// What is returned as out is good until the next call. Guard.Plain does the same
// for a whole answer, and Guard.Input for a request.
//
// Two things cannot be held back for good. Where a choice goes on with another
// of its texts (from reasoning to content, from content to a tool call), the
// beginning of a forbidden text that may stand at the end of the first goes out,
// since the first may be over; should it go on, the rest of the forbidden text
// does not. And a name of a tool that comes in parts is known by its last.
package filter

import (
	"context"
	"fmt"
	"regexp"

	"andon/correction"
	"andon/detect"
	"andon/wire"
)

// Action is what happens where a rule finds something.
type Action uint8

// The actions. All but Redact end the answer, or refuse the request, with a Hit;
// what follows from it is the caller's to do.
const (
	Block   Action = iota // refuse
	Redact                // put Marker in the place of what patterns found
	Cut                   // end the stream
	Reroute               // let another model answer
	Hold                  // wait for a person
)

// Marker stands where text was redacted. Text is redacted only where it can be:
// tool arguments, names, and tokens that are listed with their probabilities
// give a Hit instead, since a marker would break them, or they would tell it.
const Marker = "[removed]"

// Scorer judges a text; detect.Classifier is one.
type Scorer interface {
	Score(ctx context.Context, text string) (float64, error)
}

// Rule says what is forbidden, and what happens. Any of its detectors suffices.
type Rule struct {
	ID         string
	Set        *detect.Set         // patterns
	Classifier Scorer              // finds what scores Threshold or more
	Threshold  float64             // default 0.5
	FailOpen   bool                // a classifier that fails finds nothing; else it is a hit
	Action     Action              // Redact concerns Set alone; the others' finds are hits
	Tools      correction.Features // tools whose calls are forbidden
	ToolNames  []string            // names and types of tools whose calls are forbidden
}

// Cause says why there is a Hit.
type Cause string

// The causes.
const (
	Pattern    Cause = "pattern"    // a pattern was found
	Score      Cause = "classifier" // a classifier found it
	Tool       Cause = "tool"       // a denied tool is called
	Failed     Cause = "failed"     // a classifier failed, and may not
	Unreadable Cause = "unreadable" // the data is not what the wire can read
	TooMuch    Cause = "too_much"   // more has to be held back than there is room for
)

// Hit is a find. It carries no text.
type Hit struct {
	Rule    int    // in the Guard's rules; for Unreadable and TooMuch, the first
	ID      string // of that rule
	Action  Action // of that rule
	Cause   Cause
	Kind    wire.PieceKind // what it was found in; 0 if that is not known
	Pattern int            // in the rule's Set
	Score   float64
	Err     error // Failed: why
}

// Guard is a compiled set of rules. It is immutable and safe for concurrent
// use; a nil Guard forbids nothing.
type Guard struct {
	rules   []Rule
	sets    []int // rules with a Set
	judges  []int // rules with a Classifier
	tools   []int // rules about tools
	longest int   // of all sets
}

// dated is the type of a provider's own tool, whose calls have its bare name.
var dated = regexp.MustCompile(`^((?:web_search|web_fetch|code_execution|bash|computer|memory)(?:_use)?)(?:_preview)?(?:_\d{4}_?\d{2}_?\d{2})?$`)

// New compiles rules. A rule must look for something.
func New(rules []Rule) (*Guard, error) {
	g := &Guard{rules: append([]Rule(nil), rules...)}
	for i := range g.rules {
		r := &g.rules[i]
		if r.Set == nil && r.Classifier == nil && r.Tools == 0 && len(r.ToolNames) == 0 {
			return nil, fmt.Errorf("compile filter %q: it has neither patterns, a classifier, nor tools to look for", r.ID)
		}
		if r.Threshold == 0 {
			r.Threshold = 0.5
		}
		if !(r.Threshold > 0 && r.Threshold <= 1) {
			return nil, fmt.Errorf("compile filter %q: threshold %v; above 0 and at most 1 is allowed", r.ID, r.Threshold)
		}
		if r.Set != nil {
			g.sets = append(g.sets, i)
			g.longest = max(g.longest, r.Set.Longest())
		}
		if r.Classifier != nil {
			g.judges = append(g.judges, i)
		}
		if r.Tools != 0 || len(r.ToolNames) > 0 {
			g.tools = append(g.tools, i)
		}
		names := append([]string(nil), r.ToolNames...)
		for _, name := range r.ToolNames {
			if m := dated.FindStringSubmatch(name); m != nil && m[1] != name {
				names = append(names, m[1])
			}
		}
		r.ToolNames = names
	}
	if len(g.rules) == 0 {
		return nil, nil
	}
	return g, nil
}

// Longest is the bound on how many bytes of a text patterns hold back.
func (g *Guard) Longest() int {
	if g == nil {
		return 0
	}
	return g.longest
}

// Rules returns how many rules there are.
func (g *Guard) Rules() int {
	if g == nil {
		return 0
	}
	return len(g.rules)
}

func (g *Guard) hit(rule int, cause Cause, kind wire.PieceKind) *Hit {
	return &Hit{Rule: rule, ID: g.rules[rule].ID, Action: g.rules[rule].Action, Cause: cause, Kind: kind}
}

// denied returns the rule that forbids a call of this tool, or -1. partly says
// that name may be the beginning of a forbidden one.
func (g *Guard) denied(p *wire.Piece, name []byte) (rule int, partly bool) {
	for _, i := range g.tools {
		r := &g.rules[i]
		if r.Tools&p.Tool != 0 {
			return i, false
		}
		for _, n := range r.ToolNames {
			if n == string(p.Text) || n == string(name) {
				return i, false
			}
			partly = partly || len(name) > 0 && len(name) < len(n) && n[:len(name)] == string(name)
		}
	}
	return -1, partly
}
