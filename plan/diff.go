package plan

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// How something changed.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is one difference between two plans, by what it means: in which file
// something stands, and in which order names are listed, is none.
type Change struct {
	Section string `json:"section"`         // "threats"; "plan" for what stands at the top, "acts" for what authority comes to
	Name    string `json:"name,omitempty"`  // of the entry; of an act
	Field   string `json:"field,omitempty"` // "steps[stop].correction.params.level"; "" for the whole entry
	What    string `json:"what"`            // added, removed or changed
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`

	// Loosens says why less is asked, watched or answered than before; "" if not
	// so. A change without it may still matter.
	Loosens string `json:"loosens,omitempty"`
}

// Diff says what changes from one plan to another, by section and name, and what
// of it loosens. A nil old plan is none: everything is added.
func Diff(old, new *Plan) []Change {
	d := &differ{}
	a, b := tree(old), tree(new)
	for _, section := range fieldNames(reflect.TypeFor[Plan]()) {
		x, isList := a[section].([]any)
		y, isList2 := b[section].([]any)
		if isList || isList2 {
			d.section(section, x, y)
			continue
		}
		d.value("plan", "", section, a[section], b[section])
	}
	return append(d.out, acts(old, new)...)
}

// tree is a plan as JSON has it.
func tree(p *Plan) map[string]any {
	out := map[string]any{}
	if p == nil {
		return out
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic("plan: encode: " + err.Error()) // plain data: a programming error
	}
	return out
}

type differ struct{ out []Change }

// nameIn is what tells an entry of a list from others; "" if nothing does.
func nameIn(v any) string {
	m, _ := v.(map[string]any)
	for _, key := range []string{"name", "class"} {
		if s, ok := m[key].(string); ok {
			return s
		}
	}
	return ""
}

// byName orders a list by the names of its entries; false if they have none.
func byName(list []any) (map[string]any, []string, bool) {
	out := map[string]any{}
	var names []string
	for _, v := range list {
		n := nameIn(v)
		if n == "" || out[n] != nil {
			return nil, nil, false
		}
		out[n] = v
		names = append(names, n)
	}
	return out, names, true
}

func (d *differ) section(section string, old, new []any) {
	a, before, _ := byName(old)
	b, after, _ := byName(new)
	for _, name := range before {
		if b[name] == nil {
			d.out = append(d.out, Change{Section: section, Name: name, What: Removed, Loosens: missed[section]})
		} else {
			d.fields(section, name, "", a[name].(map[string]any), b[name].(map[string]any))
		}
	}
	for _, name := range after {
		if a[name] == nil {
			d.out = append(d.out, Change{Section: section, Name: name, What: Added})
		}
	}
}

func (d *differ) fields(section, name, path string, a, b map[string]any) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for _, k := range sorted(keys) {
		d.value(section, name, join(path, k), a[k], b[k])
	}
}

func sorted(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// value compares two values of a field.
func (d *differ) value(section, name, path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	x, isMap := a.(map[string]any)
	y, isMap2 := b.(map[string]any)
	if isMap && isMap2 {
		d.fields(section, name, path, x, y)
		return
	}
	l, isList := a.([]any)
	m, isList2 := b.([]any)
	if isList && isList2 && d.lists(section, name, path, l, m) {
		return
	}
	c := Change{Section: section, Name: name, Field: path, What: Changed, Old: text(a), New: text(b)}
	switch {
	case a == nil:
		c.What = Added
	case b == nil:
		c.What = Removed
	}
	if addressPath(section + "[" + name + "]." + path) {
		c.Old, c.New = "", "" // people's, and not for a screen that others see
	}
	c.Loosens = weaker(section, path, a, b)
	d.out = append(d.out, c)
}

// lists compares lists of entries; false for lists of single values, which are
// one change each unless only their order is another.
func (d *differ) lists(section, name, path string, a, b []any) (done bool) {
	x, before, named := byName(a)
	y, after, named2 := byName(b)
	if named && named2 && len(a)+len(b) > 0 {
		if !slices.Equal(before, after) {
			old, new := names(before), names(after)
			same := sameSet(old, new)
			if !same || strings.HasSuffix(path, "steps") { // whose order says what comes first
				d.out = append(d.out, Change{Section: section, Name: name, Field: path, What: Changed, Old: text(old), New: text(new), Loosens: weaker(section, path, old, new)})
			}
		}
		for _, n := range before {
			if y[n] != nil {
				d.fields(section, name, path+"["+n+"]", x[n].(map[string]any), y[n].(map[string]any))
			}
		}
		return true
	}
	if isSingle(a) && isSingle(b) {
		return sameSet(a, b)
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a { // shifts, channels, clauses, corrections: by their place
		d.value(section, name, fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
	}
	return true
}

func names(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func isSingle(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool {
		switch v.(type) {
		case map[string]any, []any:
			return true
		}
		return false
	})
}

// less is what of one list is not in another.
func less(a, b []any) (lost []string) {
	for _, v := range a {
		if !slices.ContainsFunc(b, func(w any) bool { return reflect.DeepEqual(v, w) }) {
			lost = append(lost, text(v))
		}
	}
	return lost
}

func sameSet(a, b []any) bool { return len(less(a, b))+len(less(b, a)) == 0 }

// maxShown bounds a value in a change, in bytes.
const maxShown = 300

// text shows a value on one line.
func text(v any) string {
	s := ""
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		s = v
	case []any:
		if isSingle(v) {
			parts := make([]string, len(v))
			for i := range v {
				parts[i] = text(v[i])
			}
			s = strings.Join(parts, ", ")
			break
		}
		return jsonText(v)
	default:
		return jsonText(v)
	}
	return bounded(strings.Join(strings.Fields(s), " "))
}

func jsonText(v any) string {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("plan: encode: " + err.Error())
	}
	return bounded(string(data))
}

func bounded(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// Sort puts changes that loosen first, and keeps the order otherwise.
func Sort(changes []Change) {
	slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(rank(a), rank(b)) })
}

func rank(c Change) int {
	if c.Loosens != "" {
		return 0
	}
	return 1
}
