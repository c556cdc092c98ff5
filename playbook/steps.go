package playbook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
)

// Bounds of times.
const (
	minGap, maxGap           = 5 * time.Minute, 72 * time.Hour
	minWait, maxWait         = time.Second, 30 * 24 * time.Hour
	minDecision, maxDecision = time.Minute, 7 * 24 * time.Hour
	minFor, maxFor           = time.Minute, 90 * 24 * time.Hour
)

func (c *checker) stopGap(p, filled *Playbook) {
	g := p.StopGap
	if g == nil {
		return
	}
	if len(g.Corrections) == 0 || len(g.Corrections) > MaxCorrections {
		c.add("stop_gap.corrections", fmt.Sprintf("has %d; give 1 to %d", len(g.Corrections), MaxCorrections))
		return
	}
	c.within("stop_gap.for", g.For, minGap, maxGap)
	if g.Then != "" && g.Then != Stay && g.Then != Lapse {
		c.add("stop_gap.then", strconv.Quote(short(g.Then))+" is not known", Stay, Lapse)
	}
	for i := range g.Corrections {
		c.correction(fmt.Sprintf("stop_gap.corrections[%d]", i), "the stop-gap", &g.Corrections[i], &filled.StopGap.Corrections[i])
	}
}

func (c *checker) steps(p, filled *Playbook) {
	index := map[string]int{}
	for i := range p.Steps {
		s, at := &p.Steps[i], fmt.Sprintf("steps[%d]", i)
		c.line(at+".name", s.Name, true)
		if s.Name == Start {
			c.add(at+".name", `"start" is what "after" calls the beginning; give it another name`)
		}
		if j, twice := index[s.Name]; twice {
			c.add(at+".name", fmt.Sprintf("%s is the name of steps[%d] already", strconv.Quote(short(s.Name)), j))
		}
		index[s.Name] = i
	}
	for i := range p.Steps {
		c.step(p, filled, i, index)
	}
	if loop := p.cycle(index); loop != nil {
		c.add(fmt.Sprintf("steps[%d].after", index[loop[0]]), "the steps wait for each other in a circle: "+strings.Join(append(loop, loop[0]), " ← "))
	}
}

func (c *checker) step(p, filled *Playbook, i int, index map[string]int) {
	s, at := &p.Steps[i], fmt.Sprintf("steps[%d]", i)
	switch k := s.kinds(); len(k) {
	case 0:
		c.add(at, "step "+strconv.Quote(short(s.Name))+" does nothing; give exactly one", Kinds...)
	case 1:
	default:
		c.add(at, "step "+strconv.Quote(short(s.Name))+" is "+strings.Join(k, " and ")+" at once; give exactly one", Kinds...)
		return
	}
	for j, a := range s.After {
		field := fmt.Sprintf("%s.after[%d]", at, j)
		_, ok := index[a]
		switch {
		case a == Start && len(s.After) == 1:
		case a == Start:
			c.add(field, `"start" says that nothing comes before; it stands alone`)
		case a == s.Name:
			c.add(field, "the step waits for itself")
		case !ok:
			c.add(field, "there is no step "+strconv.Quote(short(a)), slices.Collect(keysOf(p))...)
		case slices.Contains(s.After[:j], a):
			c.add(field, strconv.Quote(short(a))+" is there twice")
		}
	}
	if s.If != nil {
		c.condition(p, s, at)
	}
	if s.For != 0 {
		if s.Correction == nil {
			c.add(at+".for", "is how long a correction stands, and this step has none")
		}
		c.within(at+".for", s.For, minFor, maxFor)
	}
	if s.Confirm && s.Correction == nil {
		c.add(at+".confirm", "is asked before a correction alone: people do the other steps anyway, and time the waits")
	}
	switch {
	case s.Correction != nil:
		c.correction(at+".correction", "step "+strconv.Quote(short(s.Name)), s.Correction, filled.Steps[i].Correction)
	case s.Task != nil:
		c.text(at+".task.do", s.Task.Do, true)
		c.line(at+".task.who", s.Task.Who, false)
		if w := s.Task.Who; w != "" && c.known.Teams != nil && !slices.Contains(c.known.Teams, w) {
			c.add(at+".task.who", strconv.Quote(short(w))+" is not a team or a role", c.known.Teams...)
		}
		if s.Task.Within != 0 {
			c.within(at+".task.within", s.Task.Within, minDecision, maxWait)
		}
	case s.Notice != nil:
		if len(s.Notice.To) == 0 {
			c.add(at+".notice.to", "missing: say who is told")
		}
		c.names(at+".notice.to", s.Notice.To, c.known.Contacts, "contact or dependant")
		c.text(at+".notice.text", s.Notice.Text, true)
	case s.Evidence != nil:
		c.names(at+".evidence.models", s.Evidence.Models, c.known.Models, "model")
		c.names(at+".evidence.what", s.Evidence.What, nil, "")
	case s.Decision != nil:
		c.choice(at+".decision", s.Decision)
	case s.Wait != 0:
		c.within(at+".wait", s.Wait, minWait, maxWait)
	}
}

func keysOf(p *Playbook) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range p.Steps {
			if !yield(p.Steps[i].Name) {
				return
			}
		}
	}
}

func (c *checker) condition(p *Playbook, s *Step, at string) {
	d := p.Step(s.If.Step)
	if d == nil || d.Decision == nil || d == s {
		var decisions []string
		for i := range p.Steps {
			if p.Steps[i].Decision != nil && &p.Steps[i] != s {
				decisions = append(decisions, p.Steps[i].Name)
			}
		}
		c.add(at+".if.step", strconv.Quote(short(s.If.Step))+" is not another step that decides", decisions...)
		return
	}
	if len(s.If.Is) == 0 || len(s.If.Is) > MaxOptions {
		c.add(at+".if.is", fmt.Sprintf("has %d; give 1 to %d options of %s", len(s.If.Is), MaxOptions, s.If.Step), d.Decision.Options...)
		return
	}
	for i, o := range s.If.Is {
		if !slices.Contains(d.Decision.Options, o) {
			c.add(fmt.Sprintf("%s.if.is[%d]", at, i), strconv.Quote(short(o))+" is not an option of "+s.If.Step, d.Decision.Options...)
		}
	}
}

func (c *checker) choice(at string, d *Choice) {
	c.text(at+".question", d.Question, true)
	if len(d.Options) < 2 || len(d.Options) > MaxOptions {
		c.add(at+".options", fmt.Sprintf("has %d; give 2 to %d", len(d.Options), MaxOptions))
		return
	}
	for i, o := range d.Options {
		c.line(fmt.Sprintf("%s.options[%d]", at, i), o, true)
		if slices.Contains(d.Options[:i], o) {
			c.add(fmt.Sprintf("%s.options[%d]", at, i), strconv.Quote(short(o))+" is there twice")
		}
	}
	if !slices.Contains(d.Options, d.Default) {
		c.add(at+".default", strconv.Quote(short(d.Default))+" is not one of the options: say what holds if nobody answers", d.Options...)
	}
	c.within(at+".within", d.Within, minDecision, maxDecision)
}

// cycle is a circle of steps that wait for each other; nil if there is none.
func (p *Playbook) cycle(index map[string]int) []string {
	state := make([]int, len(p.Steps)) // 1 being looked at, 2 done
	var path []string
	var walk func(i int) []string
	walk = func(i int) []string {
		switch state[i] {
		case 1:
			at := slices.Index(path, p.Steps[i].Name)
			return slices.Clone(path[at:])
		case 2:
			return nil
		}
		state[i] = 1
		path = append(path, p.Steps[i].Name)
		for _, a := range p.After(i) {
			if j, ok := index[a]; ok && j != i {
				if loop := walk(j); loop != nil {
					return loop
				}
			}
		}
		path = path[:len(path)-1]
		state[i] = 2
		return nil
	}
	for i := range p.Steps {
		if loop := walk(i); loop != nil {
			return loop
		}
	}
	return nil
}

// Narrowness is how much a correction takes away, by the catalogue: 1 is least.
// It says nothing of the scope.
func Narrowness(c *correction.Correction) int {
	for _, k := range correction.Catalogue() {
		if k.Kind != c.Kind {
			continue
		}
		for _, l := range k.Levels {
			if l.Name == c.Params.Level {
				return l.Narrowness
			}
		}
		for _, p := range k.Params {
			given := map[string]bool{"disable": len(c.Params.Disable) > 0, "clamp": len(c.Params.Clamp) > 0, "filter": c.Params.Filter != nil, "pin": c.Params.Pin != ""}[p.Name]
			if given && p.Narrowness > 0 {
				return p.Narrowness
			}
		}
		return k.Narrowness
	}
	return 0
}

// ladder warns of a rung that takes less away than one that is applied before it.
func (c *checker) ladder(p *Playbook) {
	before := p.before()
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Correction == nil {
			continue
		}
		for j := range p.Steps {
			o := &p.Steps[j]
			if before[i][j] && o.Correction != nil && Narrowness(o.Correction) > Narrowness(s.Correction) {
				c.warn(fmt.Sprintf("steps[%d].correction", i), fmt.Sprintf("a ladder goes from narrow to broad: %s takes less away than %s, which is applied before it",
					strconv.Quote(short(s.Name)), strconv.Quote(short(o.Name))))
				break
			}
		}
	}
}

// before says, for each step, which come before it in any case. There is no
// circle.
func (p *Playbook) before() [][]bool {
	index := map[string]int{}
	for i := range p.Steps {
		index[p.Steps[i].Name] = i
	}
	out := make([][]bool, len(p.Steps))
	var fill func(i int) []bool
	fill = func(i int) []bool {
		if out[i] != nil {
			return out[i]
		}
		out[i] = make([]bool, len(p.Steps))
		for _, a := range p.After(i) {
			j, ok := index[a]
			if !ok || j == i {
				continue
			}
			out[i][j] = true
			for k, b := range fill(j) {
				out[i][k] = out[i][k] || b
			}
		}
		return out[i]
	}
	for i := range p.Steps {
		fill(i)
	}
	return out
}
