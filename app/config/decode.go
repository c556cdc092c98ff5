package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// place is where a value stands in the file.
type place struct {
	file      string
	line, col int
}

func (p place) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col) }

// Error is one thing wrong with the configuration.
type Error struct {
	Where   string // file:line:col, or the variable or flag; may be empty
	Path    string // "gateway.models[1].fallback"; empty for bad syntax
	Detail  string
	Allowed []string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Where != "" {
		b.WriteString(e.Where + ": ")
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Detail)
	if len(e.Allowed) > 0 {
		b.WriteString("; allowed: " + strings.Join(e.Allowed, ", "))
	}
	return b.String()
}

// decoder fills a Config from the syntax tree of a file, so that every value
// keeps its place and ${NAME} is replaced inside values alone: neither a key
// nor the structure can come from the environment.
type decoder struct {
	file   string
	lookup func(string) (string, bool)
	c      *Config
}

func (c *Config) decode(file string, data []byte, lookup func(string) (string, bool)) error {
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			p := ye.GetToken().Position
			return &Error{Where: place{file, p.Line, p.Column}.String(), Detail: ye.GetMessage()}
		}
		return &Error{Where: file, Detail: err.Error()}
	}
	d := &decoder{file: file, lookup: lookup, c: c}
	seen := 0
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if seen++; seen > 1 {
			return d.errorf(doc.Body.GetToken(), "", "a second document; the file holds one")
		}
		if err := d.section(doc.Body, reflect.ValueOf(c).Elem(), ""); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) errorf(t *token.Token, path, format string, args ...any) *Error {
	return &Error{Where: d.at(t).String(), Path: path, Detail: fmt.Sprintf(format, args...)}
}

func (d *decoder) at(t *token.Token) place {
	return place{d.file, t.Position.Line, t.Position.Column}
}

func (d *decoder) mark(t *token.Token, path string) {
	p := d.at(t)
	d.c.places[path] = p
	d.c.sources[path] = fmt.Sprintf("%s:%d", p.file, p.line)
}

func (d *decoder) section(n ast.Node, v reflect.Value, path string) error {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode: // `control:` with nothing below it
		return nil
	default:
		e := d.errorf(n.GetToken(), path, "a section with fields is expected here")
		e.Allowed = names(v)
		return e
	}
	for _, kv := range pairs {
		key := kv.Key.GetToken()
		f, ok := field(v, key.Value)
		if !ok {
			e := d.errorf(key, join(path, key.Value), "unknown field")
			e.Allowed = names(v)
			return e
		}
		if err := d.value(kv.Value, f, join(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) value(n ast.Node, v reflect.Value, path string) error {
	t := n.GetToken()
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return d.errorf(t, path, "anchors, aliases and tags are not taken here: write the value out")
	}
	d.mark(t, path)
	switch {
	case v.Kind() == reflect.Struct:
		return d.section(n, v, path)
	case v.Kind() == reflect.Slice:
		return d.list(n, v, path)
	case v.Kind() == reflect.Map:
		return d.lists(n, v, path)
	}
	text, err := d.text(n, path)
	if err != nil {
		return err
	}
	if err := set(v, text); err != nil {
		return d.errorf(t, path, "%v", err)
	}
	return nil
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) error {
	v.SetZero()
	switch n := n.(type) {
	case *ast.NullNode:
		return nil
	case *ast.SequenceNode:
		v.Set(reflect.MakeSlice(v.Type(), len(n.Values), len(n.Values)))
		for i, item := range n.Values {
			if err := d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	return d.errorf(n.GetToken(), path, "a list is expected here: start each item with \"- \"")
}

// lists fills a map of lists. Its keys are the file's own.
func (d *decoder) lists(n ast.Node, v reflect.Value, path string) error {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return nil
	default:
		return d.errorf(n.GetToken(), path, "a section is expected here: each line a name, a colon and a list")
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, kv := range pairs {
		key := kv.Key.GetToken()
		at := path + "[" + key.Value + "]"
		if v.MapIndex(reflect.ValueOf(key.Value)).IsValid() {
			return d.errorf(key, at, "is there twice")
		}
		list := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(kv.Value, list, at); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key.Value), list)
	}
	return nil
}

// text returns a scalar as it was written, so that `name: 007` or `version:
// 2026-10-01` means what it says, with ${NAME} replaced.
func (d *decoder) text(n ast.Node, path string) (string, error) {
	var raw string
	switch n := n.(type) {
	case *ast.StringNode:
		raw = n.Value
	case *ast.LiteralNode:
		raw = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		raw = n.GetToken().Value
	case *ast.NullNode:
		return "", nil
	default:
		return "", d.errorf(n.GetToken(), path, "a single value is expected here")
	}
	out, missing := expand(raw, d.lookup)
	if missing != "" {
		return "", d.errorf(n.GetToken(), path, "the variable %s is not set; set it, or write $${%s} for the text itself", missing, missing)
	}
	return out, nil
}

var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME}. What comes in is not looked at again. missing names
// the first variable that is not set.
func expand(s string, lookup func(string) (string, bool)) (out, missing string) {
	out = variable.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := m[2 : len(m)-1]
		v, ok := lookup(name)
		if !ok && missing == "" {
			missing = name
		}
		return v
	})
	return out, missing
}

// readFile bounds the file: a configuration is written by people.
func readFile(name string) ([]byte, error) {
	const most = 4 << 20
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("read configuration: %s has %d bytes; at most %d are taken", name, len(data), most)
	}
	return data, nil
}
