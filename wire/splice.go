package wire

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"

	"andon/correction"
)

var errOtherBody = errors.New("rewrite body: the envelope was not read from this body")

// rewriting is one run of Rewrite. What is to change is gathered first, then
// sorted, then spliced in.
type rewriting struct {
	body []byte
	e    *Envelope
	c    *Change

	list []splicing

	lacks  [4]bool // members to add: bound, temperature, store, parallel calls
	gone   []bool  // of e.parts
	topOut int     // members that go from the outermost object
}

// splicing is one place that changes.
type splicing struct {
	at   Region
	kind splicingKind
	n    int64
	f    float64
	text string
}

type splicingKind uint8

const (
	putText     splicingKind = iota // text as it is
	putString                       // text as a JSON string
	putInt                          // n
	putFloat                        // f
	putMissing                      // the members that the body lacks
	cutFirst                        // what goes has nothing before it that stays: the comma after it goes, too
	cutFollower                     // the comma before it goes, too
)

func (w *rewriting) add(s splicing) { w.list = append(w.list, s) }

// values gathers the values that change: the model and the numbers.
func (w *rewriting) values() {
	e, c := w.e, w.c
	if c.Model != "" {
		if e.ModelAt.End > 0 && e.Form {
			w.add(splicing{at: e.ModelAt, text: c.Model})
		} else if e.ModelAt.End > 0 {
			w.add(splicing{at: e.ModelAt, kind: putString, text: c.Model})
		}
		for _, at := range e.ModelToo {
			w.add(splicing{at: at, kind: putString, text: resource(c.Model)})
		}
	}
	if c.OutputTokens > 0 {
		for _, at := range e.MaxAt {
			if v := w.number(at); v > c.OutputTokens || v == 0 && e.Boundless {
				w.add(splicing{at: at, kind: putInt, n: c.OutputTokens})
			}
		}
		if e.MaxNull.End > 0 {
			w.add(splicing{at: e.MaxNull, kind: putInt, n: c.OutputTokens})
		}
	}
	if c.Choices > 0 {
		for _, at := range e.ChoicesAt {
			if w.number(at) > c.Choices {
				w.add(splicing{at: at, kind: putInt, n: c.Choices})
			}
		}
	}
	if at := e.TempAt; c.Temperature >= 0 && at.End > 0 && (e.Temperature > c.Temperature || e.Temperature < 0 && c.Temperature < 1) {
		w.add(splicing{at: at, kind: putFloat, f: c.Temperature})
	}
}

// number reads a number that Read has read.
func (w *rewriting) number(at Region) int64 {
	if at.Start < 0 || at.End > len(w.body) || at.Start > at.End {
		return math.MinInt64
	}
	v, err := strconv.ParseInt(string(w.body[at.Start:at.End]), 10, 64)
	if err != nil {
		return math.MinInt64
	}
	return v
}

// stored gathers what forbids the provider to keep the answer.
func (w *rewriting) stored() {
	if f := &w.e.Store; f.Set() && f.Key == "" && w.strips(correction.StoredConversations) {
		w.add(splicing{at: f.At, text: f.Text})
	}
}

func (w *rewriting) strips(f correction.Features) bool { return w.c.Strip&w.e.Features&f != 0 }

// cuts gathers what is taken out.
func (w *rewriting) cuts() error {
	e, c := w.e, w.c
	if c.Strip&e.Features&^e.Optional != 0 {
		return ErrKept
	}
	for _, name := range c.StripTools {
		if slices.Contains(e.Tools, name) && !slices.Contains(e.OptionalTools, name) {
			return ErrKept
		}
	}
	parts := e.parts
	if len(parts) > 0 && (c.Strip != 0 || len(c.StripTools) > 0 || c.ReasoningTokens != 0) {
		w.gone = make([]bool, len(parts))
	}
	if err := w.dropTools(); err != nil {
		return err
	}
	w.lowerBudgets()
	if f := &e.Parallel; f.Set() && f.Key == "" && w.strips(correction.ParallelToolCalls) {
		w.add(splicing{at: f.At, text: f.Text}) // goes unheard where the member around it goes
	}
	var out []int32 // of the parts, how many of their own parts go; made when one goes
	for i, gone := range w.gone {
		if !gone {
			continue
		}
		if out == nil {
			out = make([]int32, len(parts))
		}
		p := &parts[i]
		before := int32(0)
		switch {
		case p.up >= 0:
			before = out[p.up]
			out[p.up]++
		case p.kind != aBudget || p.tags != 0:
			before = int32(w.topOut)
			w.topOut++
		}
		s := splicing{at: p.at, kind: cutFirst}
		if p.index > before {
			s.kind = cutFollower
		}
		w.add(s)
	}
	return nil
}

// dropTools marks the tools that go, and what means nothing without them.
func (w *rewriting) dropTools() error {
	parts, out, in := w.e.parts, 0, 0
	for i := range w.gone {
		if p := &parts[i]; p.kind == aTool {
			if w.drops(p) {
				w.gone[i] = true
				out++
			} else {
				in++
			}
		}
	}
	if out == 0 {
		return nil
	}
	if in == 0 && w.e.needed {
		return ErrKept
	}
	// What holds others comes before them: from the last to the first, all in a
	// list is known when the list is reached.
	stay := make([]bool, len(parts))
	had := make([]bool, len(parts))
	var left, lost uint8 // marks of the lists that stay, and that go
	entries, entriesOut := 0, 0
	for i := len(parts) - 1; i >= 0; i-- {
		p := &parts[i]
		switch p.kind {
		case aList:
			w.gone[i] = had[i] && !stay[i]
			if w.gone[i] {
				lost |= p.tags
			} else {
				left |= p.tags
			}
		case anEntry:
			entries++
			if w.dropsEntry(p) {
				w.gone[i] = true
				entriesOut++
			}
			continue
		case aPointer, aBudget:
			continue
		}
		if p.up >= 0 {
			had[p.up] = true
			stay[p.up] = stay[p.up] || !w.gone[i]
		}
	}
	if entriesOut > 0 && entriesOut == entries {
		return ErrKept
	}
	for i := range parts {
		if p := &parts[i]; p.kind == aPointer {
			w.gone[i] = p.tags&lost != 0 && p.tags&left == 0
		}
	}
	return nil
}

// drops says whether a tool is to go.
func (w *rewriting) drops(p *part) bool {
	if p.bits&w.c.Strip != 0 {
		return true
	}
	for _, name := range w.c.StripTools {
		if name != "" && (name == p.typ || name == p.name) {
			return true
		}
	}
	return false
}

// dropsEntry says whether all tools that an entry means go.
func (w *rewriting) dropsEntry(p *part) bool {
	met := false
	for i := range w.e.parts {
		if t := &w.e.parts[i]; t.kind == aTool && p.means(t) {
			if !w.gone[i] {
				return false
			}
			met = true
		}
	}
	return met
}

// lowerBudgets lowers the budgets of reasoning tokens.
func (w *rewriting) lowerBudgets() {
	limit := w.c.ReasoningTokens
	if limit == 0 {
		return
	}
	limit = max(limit, 0)
	for _, b := range w.e.budgets {
		v := w.number(b.at)
		if v >= 0 && v <= limit {
			continue
		}
		if b.part >= 0 && limit < MinThinking { // then there is a part, and gone is made
			w.gone[b.part] = true
		} else {
			w.add(splicing{at: b.at, kind: putInt, n: limit})
		}
	}
}

// insertion gathers the members that the body lacks.
func (w *rewriting) insertion() {
	e, c := w.e, w.c
	w.lacks = [...]bool{
		c.OutputTokens > 0 && e.InsertKey != "",
		c.Temperature >= 0 && c.Temperature < 1 && e.TempKey != "",
		e.Store.Key != "" && w.strips(correction.StoredConversations),
		e.Parallel.Key != "" && w.strips(correction.ParallelToolCalls) && e.several(w.gone),
	}
	if w.lacks != [4]bool{} {
		w.add(splicing{at: e.Into.At, kind: putMissing})
	}
}

// appendMembers appends the members that the body lacks.
func (w *rewriting) appendMembers(dst []byte) []byte {
	e, begin := w.e, len(dst)
	for i, lacks := range w.lacks {
		if !lacks {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		switch i {
		case 0:
			dst = strconv.AppendInt(append(dst, e.InsertKey...), w.c.OutputTokens, 10)
		case 1:
			dst = appendFloat(append(dst, e.TempKey...), w.c.Temperature)
		case 2:
			dst = append(append(dst, e.Store.Key...), e.Store.Text...)
		case 3:
			dst = append(append(dst, e.Parallel.Key...), e.Parallel.Text...)
		}
	}
	return dst
}

// appendMissing appends what putMissing stands for.
func (w *rewriting) appendMissing(dst []byte) []byte {
	to := &w.e.Into
	object := to.Key != "" || to.At.End > to.At.Start
	dst = append(dst, to.Key...)
	if object {
		dst = append(dst, '{')
	}
	dst = w.appendMembers(dst)
	if object {
		dst = append(dst, '}')
	}
	count := to.Count
	if to.Top {
		count -= w.topOut
	}
	if count > 0 && to.At.End == to.At.Start {
		dst = append(dst, ',')
	}
	return dst
}

func appendFloat(dst []byte, f float64) []byte { return strconv.AppendFloat(dst, f, 'f', -1, 64) }

// splice appends the body with everything that was gathered.
func (w *rewriting) splice(dst []byte) ([]byte, error) {
	slices.SortFunc(w.list, func(a, b splicing) int {
		return cmp.Or(a.at.Start-b.at.Start, a.at.End-b.at.End) // what is put in before what goes there
	})
	begin, at := len(dst), 0
	for _, s := range w.list {
		if s.at.Start < 0 || s.at.End < s.at.Start || s.at.End > len(w.body) {
			return dst[:begin], errOtherBody
		}
		if s.at.Start < at {
			continue // inside of what has gone
		}
		from, to := s.at.Start, s.at.End
		switch s.kind {
		case cutFirst:
			to = after(w.body, to)
		case cutFollower:
			from = before(w.body, from)
		}
		dst = append(dst, w.body[at:max(at, from)]...)
		at = to
		switch s.kind {
		case putText:
			dst = append(dst, s.text...)
		case putString:
			dst = AppendString(dst, s.text)
		case putInt:
			dst = strconv.AppendInt(dst, s.n, 10)
		case putFloat:
			dst = appendFloat(dst, s.f)
		case putMissing:
			dst = w.appendMissing(dst)
		}
	}
	return append(dst, w.body[at:]...), nil
}

// after is the offset just after the comma that follows, or at if none does.
func after(body []byte, at int) int {
	for i := at; i < len(body); i++ {
		switch body[i] {
		case ' ', '\t', '\n', '\r':
			continue
		case ',':
			return i + 1
		}
		break
	}
	return at
}

// before is the offset of the comma that stands before, or at if none does.
func before(body []byte, at int) int {
	for i := at - 1; i >= 0; i-- {
		switch body[i] {
		case ' ', '\t', '\n', '\r':
			continue
		case ',':
			return i
		}
		break
	}
	return at
}
