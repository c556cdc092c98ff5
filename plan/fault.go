package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Position is where something stands in the plan's files. The zero value means
// that it is not known: the plan did not come from files.
type Position struct {
	File string `json:"file,omitempty"` // below the plan's folder, with slashes
	Line int    `json:"line,omitzero"`  // from 1
	Col  int    `json:"col,omitzero"`   // from 1, in characters
}

// IsZero says whether nothing is known.
func (p Position) IsZero() bool { return p == Position{} }

// String is "file:line:column", or as much of it as is known.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Pos is where the value of a path was written, "threats[2].playbooks[0]"; of a
// value that is not there, the place of what it would stand in. A list is counted
// over all files, as in the Plan. A field that holds a list or a map is where its
// name stands. Zero for a plan that did not come from files.
func (p *Plan) Pos(path string) Position {
	for {
		if at, ok := p.places[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// Fault is one thing that is wrong with a plan.
type Fault struct {
	Position
	Path    string   `json:"path,omitempty"`    // "threats[2].playbooks[0]"; "" for what has none
	Detail  string   `json:"detail"`            // what is wrong, and what to do
	Allowed []string `json:"allowed,omitempty"` // what may stand there, if that is a closed set
	Near    string   `json:"near,omitempty"`    // the one of Allowed that was probably meant

	meant string // what was written, for Near: looked for only where the fault is kept
}

// Error is "file:line:column: path: detail; did you mean …? allowed: …".
func (f *Fault) Error() string {
	var b strings.Builder
	for _, s := range []string{f.Position.String(), f.Path} {
		if s != "" {
			b.WriteString(s + ": ")
		}
	}
	b.WriteString(f.Detail)
	sep := "; allowed: "
	if f.Near != "" {
		b.WriteString("; did you mean " + strconv.Quote(f.Near) + "?")
		sep = " Allowed: "
	}
	if len(f.Allowed) > 0 {
		b.WriteString(sep)
		b.WriteString(strings.Join(f.Allowed[:min(len(f.Allowed), maxAllowed)], ", "))
		if more := len(f.Allowed) - maxAllowed; more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	return b.String()
}

const (
	maxFaults  = 100 // that a load reports
	maxAllowed = 20  // names that a message lists
)

// Faults is everything that is wrong with a plan, as the files stand; at most
// 100. It is never empty as an error.
type Faults []Fault

// Error is one line for each fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i := range fs {
		lines[i] = fs[i].Error()
	}
	return strings.Join(lines, "\n")
}

// faults collects what is wrong.
type faults struct {
	list Faults
	more int // that were not kept
}

// full says whether no more are kept.
func (fs *faults) full() bool { return len(fs.list) == maxFaults }

func (fs *faults) add(f Fault) {
	if fs.full() {
		fs.more++
		return
	}
	if f.Near == "" && f.meant != "" {
		f.Near = near(f.meant, f.Allowed)
	}
	fs.list = append(fs.list, f)
}

// err is nil if nothing is wrong.
func (fs *faults) err() error {
	if len(fs.list) == 0 {
		return nil
	}
	slices.SortStableFunc(fs.list, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if fs.more > 0 {
		last := &fs.list[len(fs.list)-1]
		last.Detail += fmt.Sprintf(" (and %d more faults, which are not listed)", fs.more)
		fs.more = 0
	}
	return fs.list
}

// near is the name that was probably meant: at most a third of it is written
// otherwise. "" if nothing is like it.
func near(name string, names []string) string {
	best, least := "", 1<<30
	for _, n := range names {
		if len(n) > 128 || len(name) > 128 {
			continue
		}
		d := distance(strings.ToLower(name), strings.ToLower(n))
		if d < least && d <= max(1, min(len(n), len(name))/3) {
			best, least = n, d
		}
	}
	return best
}

// distance is how many characters have to be written otherwise, a swap of two
// neighbours counting once.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before, last []int
	this := make([]int, len(y)+1)
	for j := range this {
		this[j] = j
	}
	for i := range x {
		before, last, this = last, this, make([]int, len(y)+1)
		this[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			this[j+1] = min(last[j+1]+1, this[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				this[j+1] = min(this[j+1], before[j-1]+1)
			}
		}
	}
	return this[len(y)]
}

// quote shows a piece of the input, escaped and bounded.
func quote(s string) string {
	if len(s) > 64 {
		return strconv.Quote(s[:64]) + "…"
	}
	return strconv.Quote(s)
}
