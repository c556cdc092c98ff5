package plan

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"andon/correction"
)

// maxValues bounds the values of a plan, with each alias counted as what it
// stands for.
const maxValues = 200_000

// decoder fills a Plan from the syntax trees of its files, so that each value
// keeps its place. Names are those of the json tags. It goes on after a fault.
type decoder struct {
	*faults
	src     *source
	plan    *Plan
	values  int                 // so far, in all files
	full    bool                // maxValues was reached; said once
	lost    bool                // more than single values could not be read: what refers to it would seem wrong, too
	anchors map[string]ast.Node // of this file
	inside  []string            // aliases that are being followed
}

// file reads one file into the plan: lists are appended, everything else may
// stand in one file only.
func (d *decoder) file(body ast.Node) {
	d.anchors, d.inside = map[string]ast.Node{}, nil
	d.collect(body)
	d.fields(body, reflect.ValueOf(d.plan).Elem(), "", 0)
}

// collect finds the anchors of a file.
func (d *decoder) collect(n ast.Node) {
	ast.Walk(visitor(func(n ast.Node) {
		a, ok := n.(*ast.AnchorNode)
		if !ok {
			return
		}
		name := a.Name.GetToken().Value
		if _, twice := d.anchors[name]; twice {
			d.wrong(a.GetToken(), "", "the anchor &"+name+" is there twice")
		}
		d.anchors[name] = a.Value
	}), n)
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor { v(n); return v }

func (d *decoder) wrong(t *token.Token, path, detail string, allowed ...string) {
	d.lost = true
	d.add(Fault{Position: d.src.at(t), Path: path, Detail: detail, Allowed: allowed})
}

// resolve follows anchors and aliases. done must be called after the value was
// read; nil says that it cannot be read.
func (d *decoder) resolve(n ast.Node, path string) (value ast.Node, done func()) {
	depth := len(d.inside)
	for {
		switch a := n.(type) {
		case *ast.AnchorNode:
			d.inside = append(d.inside, a.Name.GetToken().Value)
			n = a.Value
		case *ast.AliasNode:
			name := a.Value.GetToken().Value
			to, known := d.anchors[name]
			switch {
			case !known || first(to).Position.Offset > a.GetToken().Position.Offset:
				d.wrong(a.GetToken(), path, "the alias *"+name+" stands for nothing; an anchor &"+name+" has to come before it, in the same file")
				return nil, nil
			case slices.Contains(d.inside, name):
				d.wrong(a.GetToken(), path, "the alias *"+name+" holds itself")
				return nil, nil
			}
			d.inside = append(d.inside, name)
			n = to
		default:
			return n, func() { d.inside = d.inside[:depth] }
		}
	}
}

// pairs are the members of a map, without what is not taken: a name twice, a
// name that is not a text.
func (d *decoder) pairs(n ast.Node, path string) (pairs []*ast.MappingValueNode, ok bool) {
	var all []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	seen := map[string]*token.Token{}
	for _, kv := range all {
		t := kv.Key.GetToken()
		if _, merge := kv.Key.(*ast.MergeKeyNode); merge {
			d.wrong(t, path, "a merge (<<) is not taken; write the fields out")
			continue
		}
		key, isText := kv.Key.(*ast.StringNode)
		switch {
		case !isText:
			d.wrong(t, path, "a name is a plain text; "+quote(t.Value)+" is none")
			continue
		case seen[key.Value] != nil:
			d.wrong(t, join(path, key.Value), fmt.Sprintf("stands here twice; first in line %d", seen[key.Value].Position.Line))
			continue
		}
		seen[key.Value] = t
		pairs = append(pairs, kv)
	}
	return pairs, true
}

func keyOf(kv *ast.MappingValueNode) string { return kv.Key.(*ast.StringNode).Value }

// fields reads a map into a struct.
func (d *decoder) fields(n ast.Node, v reflect.Value, path string, depth int) {
	pairs, ok := d.pairs(n, path)
	if !ok {
		d.wrong(first(n), path, "wrong type: "+what(n)+" where fields are expected", fieldNames(v.Type())...)
		return
	}
	for _, kv := range pairs {
		key, at := keyOf(kv), join(path, keyOf(kv))
		f, ok := fieldOf(v, key)
		if !ok {
			names := fieldNames(v.Type())
			d.lost = true
			d.add(Fault{Position: d.src.at(kv.Key.GetToken()), Path: at, Detail: "unknown field " + quote(key), Allowed: names, meant: key})
			continue
		}
		if old, twice := d.plan.places[at]; twice && f.Kind() != reflect.Slice { // at the top, in another file
			d.wrong(kv.Key.GetToken(), at, "stands in two files; it is at "+old.String()+" already")
			continue
		}
		d.value(kv.Value, f, at, d.src.at(kv.Key.GetToken()), depth+1)
	}
	if c, ok := v.Addr().Interface().(*correction.Correction); ok {
		d.zeros(c, path)
	}
}

var typeText = reflect.TypeFor[encoding.TextUnmarshaler]()

// value reads one value. key is where its name stands, if it has one.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, key Position, depth int) {
	if d.values++; d.values > maxValues {
		if !d.full {
			d.full = true
			d.wrong(first(n), path, fmt.Sprintf("the plan holds more than %d values, with aliases written out", maxValues))
		}
		return
	}
	n, done := d.resolve(n, path)
	if n == nil {
		return // it was said
	}
	defer done()
	if depth > maxDepth {
		d.wrong(first(n), path, fmt.Sprintf("more than %d levels of lists and maps within each other", maxDepth))
		return
	}
	if key.IsZero() {
		key = d.src.at(first(n))
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch text := v.Addr().Type().Implements(typeText); {
	case !text && v.Kind() == reflect.Struct:
		d.plan.places[path] = key
		d.fields(n, v, path, depth)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path, key, depth)
	case v.Kind() == reflect.Map:
		d.plan.places[path] = key
		d.entries(n, v, path, depth)
	default:
		d.plan.places[path] = d.src.at(first(n))
		if why := scalar(n, v); why != "" {
			d.lost = d.lost || strings.HasSuffix(path, ".name")
			d.add(Fault{Position: d.src.at(first(n)), Path: path, Detail: why})
		}
	}
}

// list appends to what is there: at the top of a plan, lists of several files
// become one.
func (d *decoder) list(n ast.Node, v reflect.Value, path string, key Position, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		why := "wrong type: " + what(n) + " where a list is expected; begin each item with \"- \""
		if _, null := n.(*ast.NullNode); null {
			why = "holds nothing; leave it out, or write []"
		}
		d.wrong(first(n), path, why)
		return
	}
	if _, before := d.plan.places[path]; !before {
		d.plan.places[path] = key
	}
	if v.IsNil() {
		v.Set(reflect.MakeSlice(v.Type(), 0, len(seq.Values)))
	}
	for _, item := range seq.Values {
		i := v.Len()
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), Position{}, depth+1)
	}
}

// entries reads a map of free names.
func (d *decoder) entries(n ast.Node, v reflect.Value, path string, depth int) {
	pairs, ok := d.pairs(n, path)
	if !ok {
		d.wrong(first(n), path, "wrong type: "+what(n)+" where names with values are expected")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, kv := range pairs {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(kv.Value, x, join(path, keyOf(kv)), d.src.at(kv.Key.GetToken()), depth+1)
		v.SetMapIndex(reflect.ValueOf(keyOf(kv)), x)
	}
}

// scalar reads a single value, and says why it cannot.
func scalar(n ast.Node, v reflect.Value) (why string) {
	var text string
	switch s := n.(type) {
	case *ast.StringNode:
		text = s.Value
	case *ast.LiteralNode:
		text = s.Value.Value
	case *ast.NullNode:
		return "holds nothing; leave it out, or give it a value"
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = s.GetToken().Value
		if isText := v.Kind() == reflect.String || v.Addr().Type().Implements(typeText); isText {
			return "wrong type: " + what(n) + " where a text is expected; write " + strconv.Quote(text) + " in quotes"
		}
	default:
		return "wrong type: " + what(n) + " where a single value is expected"
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err.Error()
		}
		return ""
	}
	_, isText := n.(*ast.StringNode)
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return ""
	case reflect.Bool:
		if _, ok := n.(*ast.BoolNode); ok {
			v.SetBool(text == "true" || text == "True" || text == "TRUE")
			return ""
		}
		return "wrong type: " + what(n) + "; write true or false"
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || isText || text != strconv.FormatInt(i, 10) {
			return "wrong type: " + what(n) + "; write a plain whole number"
		}
		v.SetInt(i)
		return ""
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || isText || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(text, "xX_") {
			return "wrong type: " + what(n) + "; write a plain number"
		}
		v.SetFloat(f)
		return ""
	}
	panic("plan: no reader for " + v.Type().String()) // a type that the tests have not seen
}

// zeros refuses zeros that would mean a default once they are in the struct. The
// words are those of the correction's own parser.
func (d *decoder) zeros(c *correction.Correction, path string) {
	type object = map[string]any
	var filter float64
	if c.Params.Filter != nil {
		filter = c.Params.Filter.Threshold
	}
	for field, z := range map[string]struct {
		zero bool
		body object
	}{
		"share":                   {c.Share == 0, object{"share": 0}},
		"params.drain":            {c.Params.Drain == 0, object{"params": object{"drain": "0s"}}},
		"params.threshold":        {c.Params.Threshold == 0, object{"params": object{"threshold": 0}}},
		"params.filter.threshold": {filter == 0, object{"params": object{"filter": object{"threshold": 0}}}},
	} {
		at, given := d.plan.places[path+"."+field]
		if !given || !z.zero {
			continue
		}
		body, err := json.Marshal(z.body)
		if err == nil {
			_, err = correction.Parse(body)
		}
		if f, ok := err.(*correction.FieldError); ok {
			d.add(Fault{Position: at, Path: path + "." + field, Detail: f.Detail, Allowed: f.Allowed})
		}
	}
}

// what names a kind of YAML for a message.
func what(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return "the text " + quote(n.Value)
	case *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + quote(n.GetToken().Value)
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "fields"
	}
	return "something else"
}

func join(path, name string) string {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// fieldOf is the field of a struct with that name.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if n := fieldName(v.Type().Field(i)); n != "" && n == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || name == "-" {
		return ""
	}
	return name
}

func fieldNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if n := fieldName(t.Field(i)); n != "" {
			names = append(names, n)
		}
	}
	return names
}
