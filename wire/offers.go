package wire

import (
	"slices"
	"strings"
	"unsafe"

	"andon/correction"
)

// ToolKinds are the features that a tool can be of, as far as an offered tool
// alone tells it.
const ToolKinds = correction.FunctionTools | correction.WebSearch | correction.CodeExecution | correction.ComputerUse |
	correction.FileSearch | correction.MCP

// UnknownTool is what a tool of a type that is not known may be: anything.
const UnknownTool = ToolKinds | correction.ImageOutput

// Media are the features of inputs; a part of a type that is not known may be
// any of them.
const Media = correction.ImageInput | correction.AudioInput | correction.FileInput

// StoredPrompt is what a prompt or a prefix that the provider keeps may bring,
// and nobody here can look.
const StoredPrompt = correction.Tools | UnknownTool | correction.ParallelToolCalls | Media | correction.SystemPrompt |
	correction.ReasoningEffort | correction.StructuredOutput | correction.AudioOutput

// edits are the places of a body that Rewrite may change, as Read found them.
// Offsets are into the body.
type edits struct {
	Into    Into   // where members go that the body lacks
	TempAt  Region // the temperature's value, null included; zero if the body has none
	TempKey string // JSON text for a temperature that is not there; "" if the body cannot have one

	ChoicesAt []Region // every count of answers, the values only
	Parallel  Fix      // what forbids parallel tool calls
	Store     Fix      // what forbids that the provider keeps the answer

	parts   []part
	budgets []budget
	fixed   correction.Features // used in ways that cannot be taken out
	kept    bool                // every tool has to stay: one is forced, or the conversation so far needs them
	named   bool                // no tool can be taken out by its name alone
	needed  bool                // a tool has to stay
	text    []byte              // holds Session's strings
	changes []splicing          // room for Rewrite
}

func (d *edits) reset() {
	d.Into, d.TempAt, d.TempKey = Into{}, Region{}, ""
	d.ChoicesAt, d.parts, d.budgets, d.text, d.changes = d.ChoicesAt[:0], d.parts[:0], d.budgets[:0], d.text[:0], d.changes[:0]
	d.Parallel, d.Store = Fix{}, Fix{}
	d.fixed, d.kept, d.named, d.needed = 0, false, false, false
}

// Into is the object that missing members are put into.
type Into struct {
	At    Region // just after the object's '{'; or a null that becomes an object
	Count int    // members that the object has
	Key   string // JSON text for the name of a new object at At that they go into; "" if the object is there
	Top   bool   // At is in the body's outermost object, of whose members some may be taken out
}

// Fix is a change that needs no number: Text takes the place of At, or goes
// into the outermost object as the member that Key names.
type Fix struct {
	At        Region
	Key, Text string
}

// Set says whether there is such a change.
func (f *Fix) Set() bool { return f.Text != "" }

type kind uint8

const (
	aTool    kind = iota // an offer
	aList                // a member or element that goes when all tools in it have gone
	aPointer             // a member that goes when all lists it depends on have gone
	anEntry              // of a list of allowed tools; goes when the tools that it means have gone
	aBudget              // a member that goes when reasoning is clamped below the least budget
)

// The lists of a body that hold tools, as marks for what depends on them.
const (
	ListTools uint8 = 1 << iota
	ListFunctions
	ListServers
	ListDeclarations
)

// part is a part of a body that Rewrite can take out. Parts are in the order of
// the body, what holds another before it.
type part struct {
	at    Region
	up    int32 // the part that holds it; -1 is the body's outermost object, or another that loses nothing else
	index int32 // of the members or elements that stand beside it, how many stand before it
	kind  kind
	tags  uint8 // of a list, its mark; of a pointer, those of the lists it depends on; of a budget, not 0 in the outermost object
	typ   string
	name  string
	bits  correction.Features
}

// budget is a number of reasoning tokens.
type budget struct {
	at   Region
	part int32 // the member that goes if the number would fall below the least; -1: none
}

// AddList begins a part that goes when everything in it has gone: a member, or
// an element. Close ends it. up is the part that holds it, or -1; index counts
// the members or elements before it there.
func (e *Envelope) AddList(start, up, index int, tag uint8) int {
	return e.add(part{at: Region{Start: start}, up: int32(up), index: int32(index), kind: aList, tags: tag})
}

// AddPointer begins a member that means nothing without the lists of these tags.
func (e *Envelope) AddPointer(start, up, index int, tags uint8) int {
	return e.add(part{at: Region{Start: start}, up: int32(up), index: int32(index), kind: aPointer, tags: tags})
}

// AddThinking begins the member of an object that asks for reasoning; top says
// whether that is the body's outermost object.
func (e *Envelope) AddThinking(start, index int, top bool) int {
	p := part{at: Region{Start: start}, up: -1, index: int32(index), kind: aBudget}
	if top {
		p.tags = ListTools
	}
	return e.add(p)
}

// AddTool notes one tool of a list, which can be taken out. A negative list
// means that it stands where it cannot be.
func (e *Envelope) AddTool(at Region, list, index int, typ, name string, bits correction.Features) {
	e.HasTools = true
	e.Features |= correction.Tools | bits
	switch {
	case list < 0:
		e.fixed |= bits
		e.named = true
	case bits == UnknownTool:
		e.fixed |= bits
		fallthrough
	default:
		e.add(part{at: at, up: int32(list), index: int32(index), kind: aTool, typ: typ, name: name, bits: bits})
	}
}

// AddAllowed notes one entry of a list of allowed tools.
func (e *Envelope) AddAllowed(at Region, pointer, index int, typ, name string) {
	e.add(part{at: at, up: int32(pointer), index: int32(index), kind: anEntry, typ: typ, name: name})
}

func (e *Envelope) add(p part) int {
	e.parts = append(e.parts, p)
	return len(e.parts) - 1
}

// Close ends the part that an Add began.
func (e *Envelope) Close(n, end int) { e.parts[n].at.End = end }

// AddBudget notes a number of reasoning tokens; thinking is the member that goes
// if it may not have the least, or -1.
func (e *Envelope) AddBudget(n int64, at Region, thinking int) {
	e.Reasoning = max(e.Reasoning, n)
	e.budgets = append(e.budgets, budget{at, int32(thinking)})
}

// Use notes features that are used in a way that cannot be taken out.
func (e *Envelope) Use(f correction.Features) {
	e.Features |= f
	e.fixed |= f
	if f&correction.Tools != 0 {
		e.HasTools = true
	}
}

// Need says that the conversation so far needs tools of these kinds, whichever
// they are, and one in any case.
func (e *Envelope) Need(f correction.Features) {
	e.fixed |= f
	e.named, e.needed = true, true
}

// Keep says that every tool has to stay: a choice forces one, or the
// conversation so far needs them.
func (e *Envelope) Keep() { e.kept = true }

// Unnamed says that a tool was named that cannot be taken out by its name alone,
// and so that none can.
func (e *Envelope) Unnamed() { e.named = true }

// GoesOn notes what the call goes on with: kind is "response", "conversation",
// "container" or "metadata".
func (e *Envelope) GoesOn(kind, id string) {
	from := len(e.text)
	e.text = append(append(append(e.text, kind...), ':'), id...)
	b := e.text[from:]
	e.Session = append(e.Session, unsafe.String(unsafe.SliceData(b), len(b)))
}

// maxAllowed is the longest list of allowed tools that is shortened.
const maxAllowed = 128

// Settle works out what is optional, when everything has been read.
func (e *Envelope) Settle() {
	if e.Stream {
		e.Features |= correction.Streaming
	}
	if e.HasTools {
		e.Features |= correction.Tools
	}
	if strings.HasPrefix(e.Model, "ft:") || strings.HasPrefix(e.Model, "tunedModels/") {
		e.Features |= correction.FineTuneServe
	}
	if e.Store.Set() {
		e.Optional |= correction.StoredConversations
	}
	if e.Parallel.Set() && e.several(nil) {
		e.Optional |= correction.ParallelToolCalls
	}
	if !e.kept && len(e.parts) > 0 {
		e.settleTools()
	}
	e.Optional &= e.Features &^ e.fixed
}

// several says whether there is a tool, beside those that have gone, of which
// several could be called at once.
func (e *Envelope) several(gone []bool) bool {
	for i := range e.parts {
		if p := &e.parts[i]; p.kind == aTool && e.parts[p.up].tags&(ListTools|ListServers) != 0 && (gone == nil || !gone[i]) {
			return true
		}
	}
	return false
}

func (e *Envelope) settleTools() {
	last, entries := "", 0
	for i := range e.parts {
		p := &e.parts[i]
		switch p.kind {
		case anEntry:
			entries++
		case aTool:
			e.Optional |= p.bits
			if e.named {
				continue
			}
			if p.typ != "" && p.typ != last {
				last = p.typ
				e.OptionalTools = append(e.OptionalTools, p.typ)
			}
			if p.name != "" {
				e.OptionalTools = append(e.OptionalTools, p.name)
			}
		}
	}
	if entries > 0 {
		e.settleAllowed(entries)
	}
}

// settleAllowed takes back what would leave nothing of a list of allowed tools.
// A list that is long, or that names what is not offered, is left alone.
func (e *Envelope) settleAllowed(entries int) {
	tools := e.Optional & UnknownTool
	alone := tools
	var one [2]string
	n := 0
	for i := range e.parts {
		p := &e.parts[i]
		if p.kind != anEntry {
			continue
		}
		means := tools
		met := false
		for k := range e.parts {
			if t := &e.parts[k]; t.kind == aTool && p.means(t) {
				means &= t.bits
				met = true
			}
		}
		if !met || entries > maxAllowed {
			e.Optional &^= tools
			e.OptionalTools = e.OptionalTools[:0]
			return
		}
		alone &= means
		if n == 0 {
			one = [2]string{p.typ, p.name}
		}
		for k, s := range one {
			if s != p.typ && s != p.name {
				one[k] = ""
			}
		}
		n++
	}
	e.Optional &^= alone
	e.OptionalTools = slices.DeleteFunc(e.OptionalTools, func(s string) bool { return s == one[0] || s == one[1] })
}

// means says whether an entry of a list of allowed tools is about a tool.
func (p *part) means(t *part) bool {
	return (p.typ == "" || p.typ == t.typ) && (p.name == "" || p.name == t.name)
}
