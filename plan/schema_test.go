package plan

import (
	"bytes"
	"encoding"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
)

var update = flag.Bool("update", false, "write plan.schema.json anew")

// TestTheSchemaIsCurrent makes the schema from the types and their comments, and
// holds it against the one that is served. After a change: go test ./plan -run
// TestTheSchemaIsCurrent -update
func TestTheSchemaIsCurrent(t *testing.T) {
	want := makeSchema(t)
	if *update {
		if err := os.WriteFile(SchemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, Schema()) {
		t.Fatal("plan.schema.json is not what the types say; run: go test ./plan -run TestTheSchemaIsCurrent -update")
	}
}

type object = map[string]any

// words are the closed sets, by type and field.
var words = map[string][]string{
	"Surface.route": routes, "Derivative.kind": derivativeKinds, "Partner.controls": Kinds, "Threat.class": nil, // filled in below
	"Trigger.per": pers, "Trigger.ceiling": ceilings, "Shift.days": append(slices.Clone(Days), Daily), "Dependant.criticality": Criticalities,
	"Terms.default": termWords, "TermClause.word": termWords, "Channel.kind": channelKinds, "Retention.class": RetentionClasses,
	"Rule.then": {authority.Lapse, authority.Stay}, "StopGap.then": {playbook.Stay, playbook.Lapse}, "Correction.kind": Kinds,
	"Correction.mode": {string(correction.Enforce), string(correction.Shadow)}, "Params.level": ceilings,
}

// maker writes JSON Schema for Go types.
type maker struct {
	docs map[string]string // by package.Type, and package.Type.Field
	defs object
}

func makeSchema(t *testing.T) []byte {
	t.Helper()
	words["Threat.class"] = Classes()
	m := &maker{docs: map[string]string{}, defs: object{}}
	for _, dir := range []string{".", "../playbook", "../authority", "../correction"} {
		m.read(t, dir)
	}
	top := m.fields(reflect.TypeFor[Plan]())
	delete(top, "required") // a plan is cut into as many files as its authors like
	top["$schema"], top["title"] = "https://json-schema.org/draft/2020-12/schema", "A file of an Andon plan"
	top["description"] = "One file of the plan: any of these sections. Lists of several files are put together; what is not a list stands in one file."
	top["$defs"] = m.defs
	data, err := json.Marshal(top, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// read collects the comments of a package's types.
func (m *maker) read(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err)
	}
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			d, ok := n.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				return true
			}
			for _, s := range d.Specs {
				spec := s.(*ast.TypeSpec)
				doc := spec.Doc
				if doc == nil {
					doc = d.Doc
				}
				at := f.Name.Name + "." + spec.Name.Name
				m.docs[at] = prose(doc.Text())
				if st, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range st.Fields.List {
						for _, id := range field.Names {
							m.docs[at+"."+id.Name] = prose(field.Doc.Text() + " " + field.Comment.Text())
						}
					}
				}
			}
			return true
		})
	}
}

func prose(s string) string { return strings.Join(strings.Fields(s), " ") }

func (m *maker) fields(t reflect.Type) object {
	props, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := fieldName(f)
		if name == "" {
			continue
		}
		s := m.typed(f.Type)
		if set := words[t.Name()+"."+name]; set != nil {
			if items, ok := s["items"].(object); ok {
				items["enum"] = set
			} else {
				s["enum"] = set
			}
		}
		if doc := m.docs[filepath.Base(t.PkgPath())+"."+t.Name()+"."+f.Name]; doc != "" {
			s["description"] = doc
		}
		if t.Name() == "Threat" && name == "severity" {
			s["minimum"], s["maximum"] = 1, 4
		}
		props[name] = s
		_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !strings.Contains(options, "omit") && f.Type.Kind() != reflect.Bool {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "additionalProperties": false, "properties": props}
	switch t.Name() { // what may be left out although it is always written
	case "Rule":
		required = slices.DeleteFunc(required, func(s string) bool { return s == "approvals" })
	case "Threat":
		required = slices.DeleteFunc(required, func(s string) bool { return s == "playbooks" })
	case "Trigger":
		required = slices.DeleteFunc(required, func(s string) bool { return s == "owner" })
	case "Playbook":
		required = []string{"name"}
	}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (m *maker) typed(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[Date]():
		return object{"type": "string", "format": "date", "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$"}
	case reflect.TypeFor[correction.Duration]():
		return object{"type": "string", "pattern": "^([0-9]+d)?(([0-9]+|[0-9]*\\.[0-9]+)(h|m|s|ms))*$", "minLength": 2}
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[authority.Role]():
		return object{"type": "string", "enum": authority.All.Names()}
	case reflect.TypeFor[authority.Act]():
		return object{"type": "string", "enum": authority.ActNames()}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.typed(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": m.typed(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": m.typed(t.Elem())}
	case reflect.Struct:
		if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			panic("the schema does not know " + t.String())
		}
		if m.defs[t.Name()] == nil {
			m.defs[t.Name()] = object{} // it may hold itself
			def := m.fields(t)
			if doc := m.docs[filepath.Base(t.PkgPath())+"."+t.Name()]; doc != "" {
				def["description"] = doc
			}
			m.defs[t.Name()] = def
		}
		return object{"$ref": "#/$defs/" + t.Name()}
	}
	panic("the schema does not know " + t.String())
}

// compiled is the schema as an editor uses it.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("plan.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestTheExamplesFitTheSchema(t *testing.T) {
	s := compiled(t)
	for _, name := range Examples {
		n := 0
		for file, f := range files(t, name) {
			if filepath.Ext(file) != ".yaml" {
				continue
			}
			n++
			if !bytes.HasPrefix(f.Data, []byte("# yaml-language-server: $schema="+SchemaFile+"\n")) {
				t.Errorf("%s/%s does not lead editors to its schema", name, file)
			}
			if err := valid(t, s, f.Data); err != nil {
				t.Errorf("%s/%s: %v", name, file, err)
			}
		}
		if n < 3 {
			t.Errorf("%s has %d files", name, n)
		}
	}
}

// TestTheSchemaRefuses what an editor should show while people write.
func TestTheSchemaRefuses(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		"modles: []", "andon: one", "review_by: soon", "models: [{name: x}]", "surfaces: [{name: x, route: tunnel, owner: y}]",
		"threats: [{name: x, severity: 5, indicators: [], owner: y, review_by: 2027-01-01}]", "teams: [{name: x, members: [a], roles: [king]}]",
		"authority: [{name: x, acts: [sing], roles: [viewer]}]", "triggers: [{name: x, signal: s, count: 1, window: soon}]",
		"playbooks: [{name: x, steps: [{name: a, correction: {kind: halt, params: {}, scope: {all: true}, reason: r}}], exit: [b]}]",
	} {
		if err := valid(t, s, []byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
