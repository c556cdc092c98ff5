package sim

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// schema is the part of JSON Schema that arguments are made from. Gemini writes
// its types in capitals.
type schema struct {
	Type       jsontext.Value    `json:"type"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	Enum       []jsontext.Value  `json:"enum"`
	Const      jsontext.Value    `json:"const"`
	AnyOf      []schema          `json:"anyOf"`
}

// arguments makes the JSON object that a tool is called with: every property of
// its schema, in the order of their names, with a value of the right type. A
// tool that was not offered, or whose schema cannot be read, gets an input.
func arguments(tools []tool, name string, seed uint64) string {
	for _, t := range tools {
		if t.name != name || len(t.schema) == 0 {
			continue
		}
		var s schema
		if json.Unmarshal(t.schema, &s, reading) == nil {
			m := maker{seed: seed}
			return string(m.object(nil, &s, 0))
		}
	}
	m := maker{seed: seed}
	return string(append(m.word([]byte(`{"input":`)), '}'))
}

// maker fills schemas with values that follow from the seed.
type maker struct{ seed uint64 }

// deepest bounds how far nested schemas are followed.
const deepest = 6

func (m *maker) object(b []byte, s *schema, depth int) []byte {
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quote(b, name), ':')
		p := s.Properties[name]
		b = m.value(b, &p, depth+1)
	}
	return append(b, '}')
}

func (m *maker) value(b []byte, s *schema, depth int) []byte {
	switch {
	case depth > deepest:
		return append(b, "null"...)
	case len(s.Const) > 0:
		return append(b, s.Const...)
	case len(s.Enum) > 0:
		return append(b, s.Enum[m.next()%uint64(len(s.Enum))]...)
	case len(s.AnyOf) > 0:
		return m.value(b, &s.AnyOf[0], depth+1)
	}
	switch s.kind() {
	case "object":
		return m.object(b, s, depth)
	case "array":
		item := s.Items
		if item == nil {
			item = &schema{}
		}
		return append(m.value(append(b, '['), item, depth+1), ']')
	case "integer", "number":
		return strconv.AppendUint(b, 1+m.next()%100, 10)
	case "boolean":
		return strconv.AppendBool(b, m.next()&1 == 0)
	case "null":
		return append(b, "null"...)
	}
	return m.word(b)
}

// kind is the first type named, in lower case.
func (s *schema) kind() string {
	var one string
	if json.Unmarshal(s.Type, &one) != nil {
		var many []string
		if json.Unmarshal(s.Type, &many) == nil && len(many) > 0 {
			one = many[0]
		}
	}
	if one == "" && s.Properties != nil {
		return "object"
	}
	return strings.ToLower(one)
}

func (m *maker) word(b []byte) []byte {
	return quote(b, vocabulary[m.next()&uint64(len(vocabulary)-1)])
}

func (m *maker) next() uint64 {
	m.seed = mix(m.seed)
	return m.seed
}
