package route

import (
	"fmt"
	"strings"

	"andon/wire"
)

// MaxID is the longest id that a path may hold, in bytes.
const MaxID = 256

// Group is rows of a table that say the same of their routes.
type Group struct {
	route wire.Route
	rows  string
}

// On makes a group of what its routes are, and its rows. Each line of rows is
// one path: its methods, with commas between them, then the path below the
// surface's root. A method that has a body says which:
//
//	GET,POST:json,DELETE  /conversations/{conversation}
//	POST:form             /files
//	POST:none             /batches/{batch}/cancel
//
// none, json, form, either and any are wire's kinds of bodies. {name} is an id
// and names what it is the id of; {model} is a model.
func On(rt wire.Route, rows string) Group { return Group{rt, rows} }

// Table knows the routes of one surface of an API. It is made once and then
// safe for concurrent use; Find allocates only for a model that is escaped.
type Table struct {
	root *node
	rows []string
}

// node is a place in the tree of segments. A literal segment wins over an id,
// and there is no way back: what a provider could take for either is not known.
type node struct {
	next   map[string]*node
	id     *node            // {name}
	object string           // of the node that id leads to
	verbs  map[string]*node // {name}:verb, of an id
	routes [methods]*wire.Route
}

const methods = 5

func method(m string) int {
	switch m {
	case "GET":
		return 0
	case "POST":
		return 1
	case "DELETE":
		return 2
	case "PATCH":
		return 3
	case "PUT":
		return 4
	}
	return -1
}

// NewTable makes a table. A mistake in it is a mistake in the program: it panics.
func NewTable(groups ...Group) *Table {
	t := &Table{root: &node{}}
	for _, g := range groups {
		for line := range strings.Lines(g.rows) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			if len(fields) != 2 {
				panic("route table: " + line)
			}
			for m := range strings.SplitSeq(fields[0], ",") {
				t.add(g.route, m, fields[1])
			}
		}
	}
	return t
}

func (t *Table) add(rt wire.Route, m, path string) {
	m, body, _ := strings.Cut(m, ":")
	switch body {
	case "", "none":
		rt.Body = wire.BodyNone
	case "json":
		rt.Body = wire.BodyJSON
	case "form":
		rt.Body = wire.BodyForm
	case "either":
		rt.Body = wire.BodyEither
	case "any":
		rt.Body = wire.BodyAny
	default:
		panic("route table: no such body: " + m + ":" + body + " " + path)
	}
	if rt.Body == wire.BodyNone && rt.ModelIn == wire.ModelInBody {
		rt.ModelIn, rt.Named = wire.ModelNowhere, false
	}
	if m == "DELETE" {
		rt.Features, rt.Answers, rt.SSE = 0, false, false
	}
	n := t.root
	for seg := range strings.SplitSeq(path[1:], "/") {
		n = n.child(seg, &rt)
	}
	k := method(m)
	if k < 0 || path[0] != '/' || n.routes[k] != nil {
		panic("route table: " + m + " " + path + " is given twice, or is none")
	}
	n.routes[k] = &rt
	t.rows = append(t.rows, m+" "+path)
}

// child finds or makes the node of a segment of a template.
func (n *node) child(seg string, rt *wire.Route) *node {
	if seg[0] != '{' {
		if n.next == nil {
			n.next = map[string]*node{}
		}
		if n.next[seg] == nil {
			n.next[seg] = &node{}
		}
		return n.next[seg]
	}
	name, verb, _ := strings.Cut(seg[1:], "}")
	if n.id == nil {
		n.id, n.object = &node{}, name
	}
	if n.object != name {
		panic(fmt.Sprintf("route table: {%s} and {%s} stand at one place", n.object, name))
	}
	if name == "model" {
		rt.ModelIn = wire.ModelInPath
	} else {
		rt.Object = name
	}
	if verb == "" {
		return n.id
	}
	if n.id.verbs == nil {
		n.id.verbs = map[string]*node{}
	}
	verb = verb[1:]
	if n.id.verbs[verb] == nil {
		n.id.verbs[verb] = &node{}
	}
	return n.id.verbs[verb]
}

// Rows lists the methods and templates of the table.
func (t *Table) Rows() []string { return t.rows }

// Find knows a route by its method and escaped path, from the slash at from on.
// Literals are compared as bytes; an id is 1 to MaxID unreserved characters and
// colons (where the API puts a verb after a colon, none), but no dot segment; a
// model may be escaped, as Decode has it.
func (t *Table) Find(m, path string, from int) (rt wire.Route, ok bool) {
	k := method(m)
	if k < 0 || from >= len(path) || path[from] != '/' {
		return rt, false
	}
	n := t.root
	var id, model string
	var at wire.Region
	for start := from + 1; ; {
		end := len(path)
		if i := strings.IndexByte(path[start:], '/'); i >= 0 {
			end = start + i
		}
		seg := path[start:end]
		if next := n.next[seg]; next != nil {
			n = next
		} else if n.id == nil {
			return rt, false
		} else {
			isModel := n.object == "model"
			n = n.id
			if n.verbs != nil {
				name, verb, has := strings.Cut(seg, ":")
				if has {
					if n = n.verbs[verb]; n == nil {
						return rt, false
					}
				}
				seg = name
			}
			if !isModel {
				if id = seg; !IsID(id) {
					return rt, false
				}
			} else if model, ok = Decode(seg); !ok {
				return rt, false
			} else {
				at = wire.Region{Start: start, End: start + len(seg)}
			}
		}
		if end == len(path) {
			break
		}
		start = end + 1
	}
	r := n.routes[k]
	if r == nil {
		return rt, false
	}
	rt = *r
	rt.ID = id
	if at.End > 0 {
		rt.Model, rt.ModelPath = model, at
	}
	return rt, true
}

// IsID says whether s can be an id in a path.
func IsID(s string) bool {
	if s == "" || len(s) > MaxID || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c|0x20-'a' <= 25, c-'0' <= 9, c == '-', c == '.', c == '_', c == '~', c == ':':
		default:
			return false
		}
	}
	return true
}

// Query is what a query says of the parameters that something is decided on.
type Query struct {
	Model      string // of a realtime session
	Deployment string // the same, at Azure
	Version    string // api-version, at Azure: what it means is the provider's
	Stream     string
	Alt        string // at Google
}

// ReadQuery reads a query. It refuses one that gives a parameter of Query, or
// key, twice or under a name that differs in case, and one that readers may
// split differently.
func ReadQuery(raw string) (q Query, ok bool) {
	if raw == "" {
		return q, true
	}
	var key string
	known := [...]struct {
		name string
		at   *string
	}{{"model", &q.Model}, {"deployment", &q.Deployment}, {"api-version", &q.Version}, {"stream", &q.Stream}, {"alt", &q.Alt}, {"key", &key}}
	var seen [len(known)]bool
	ok = Params(raw, func(name, value string) bool {
		for i, k := range known {
			if strings.EqualFold(name, k.name) {
				if seen[i] || name != k.name {
					return false
				}
				seen[i], *k.at = true, value
			}
		}
		return true
	})
	return q, ok
}
