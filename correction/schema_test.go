package correction

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// schemas are the catalogue's, compiled, which checks them against the
// specification's own.
func schemas(t testing.TB) map[Kind]*jsonschema.Schema {
	t.Helper()
	out := map[Kind]*jsonschema.Schema{}
	for _, info := range Catalogue() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(info.Schema))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		url := "mem:///" + string(info.Kind)
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
		if out[info.Kind], err = c.Compile(url); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func fits(t testing.TB, s *jsonschema.Schema, params []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(params))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// beyondSchema is what Validate refuses of parameters and a schema does not see:
// what a duration or a regular expression says, the present time.
var beyondSchema = []string{
	"params.drain: 25h", "params.window: 1ms is", "params.window: 744h", "params.filter.regexps[1]: is not a regular", "params.acknowledge_by: is in the past",
}

func TestSchemaSaysWhatValidateSays(t *testing.T) {
	compiled := schemas(t)
	for name, c := range accepted() {
		params, err := json.Marshal(c.Params)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(t, compiled[c.Kind], params); err != nil {
			t.Errorf("%s: the schema refuses %.200s: %v", name, params, err)
		}
	}
	seen := 0
	for _, tc := range refusals() {
		if !strings.HasPrefix(tc.want, "params") {
			continue
		}
		c := valid(tc.kind)
		tc.change(&c)
		params, err := json.Marshal(c.Params)
		if err != nil {
			continue // not a number, broken UTF-8, a negative duration: no JSON says so
		}
		seen++
		err = fits(t, compiled[c.Kind], params)
		is := func(prefix string) bool { return strings.HasPrefix(tc.want, prefix) }
		switch {
		case is("params.linked: has 0"), is("params.filter.regexps: is an empty"), is("params.clamp: is not a parameter"):
			// an empty list, or object, is not written; see below
		case slices.ContainsFunc(beyondSchema, is):
			if err != nil {
				t.Errorf("%s: the schema sees it: %v", tc.want, err)
			}
		case err == nil:
			t.Errorf("%s: the schema takes %.200s", tc.want, params)
		}
	}
	if seen < 60 {
		t.Errorf("only %d refusals are of parameters", seen)
	}
}

// What is refused as JSON, and has no form as a struct.
func TestSchemaOfShapes(t *testing.T) {
	compiled := schemas(t)
	for _, tc := range []struct {
		kind   Kind
		params string
	}{
		{Stop, `{}`}, {Stop, `[]`}, {Stop, `{"level":3}`}, {Stop, `{"level":"L3","force":true}`}, {Stop, `{"level":"L2","drain":60}`}, {Stop, `{"level":"L2","drain":"60"}`},
		{Access, `{"mode":"block","linked":[]}`}, {Access, `{"mode":"block","linked":["a","a"]}`}, {Access, `{"mode":"block","linked":"a"}`},
		{Use, `{"use_case":"a","basis":"inferred","detector":"d","threshold":0}`}, {Use, `{"use_case":""}`}, {Use, `{"use_case":"a","action":"acknowledge","acknowledge_by":"soon"}`},
		{Capability, `{"disable":[]}`}, {Capability, `{"disable":"tools"}`}, {Capability, `{"clamp":{}}`}, {Capability, `{"clamp":{"messages":"3"}}`}, {Capability, `{"clamp":[1]}`},
		{Capability, `{"disable":["tools"],"clamp":{}}`}, {Capability, `{"filter":{"direction":"input","detector":"patterns","action":"cut","regexps":[]}}`},
		{Capability, `{"filter":{"direction":"input","detector":"patterns","action":"cut","patterns":["x"],"word":"x"}}`},
		{Capability, `{"filter":{"direction":"input","detector":"d","action":"cut","threshold":0}}`}, {Capability, `{"pin":""}`},
		{Rate, `{"metric":"requests","limit":1.5,"window":"1m"}`}, {Rate, `{"metric":"requests","limit":"1","window":"1m"}`}, {Rate, `{"metric":"concurrent","limit":1,"window":"1m"}`},
	} {
		if err := fits(t, compiled[tc.kind], []byte(tc.params)); err == nil {
			t.Errorf("%s: the schema takes %s", tc.kind, tc.params)
		}
		c, err := Parse([]byte(`{"kind":"` + string(tc.kind) + `","params":` + tc.params + `,"scope":{"models":["m"],"users":["u"]},"reason":"r"}`))
		if err == nil {
			err = c.Validate(at)
		}
		if err == nil {
			t.Errorf("%s: Validate takes %s", tc.kind, tc.params)
		}
	}
}

func TestSchemaTakesWhatIsValid(t *testing.T) {
	compiled := schemas(t)
	rapid.Check(t, func(rt *rapid.T) {
		c := genCorrection(rt, "c")
		params, err := json.Marshal(c.Params)
		if err != nil {
			rt.Fatal(err)
		}
		if err := fits(t, compiled[c.Kind], params); err != nil {
			rt.Fatalf("the schema refuses %s: %v", params, err)
		}
	})
}
