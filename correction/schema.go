package correction

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// schema is the JSON Schema (draft 2020-12) of a kind's parameters, made of the
// tables that Validate reads. It says all of one object's shape; what a
// parameter asks of the scope, of the present time, or as text (bounds of a
// duration, the grammar of a regular expression) is for Validate alone.
func schema(k Kind) jsontext.Value {
	s := map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false}
	props := map[string]any{}
	var required []string
	for _, info := range catalogue {
		if info.Kind != k {
			continue
		}
		s["title"], s["description"] = string(k), info.Summary
		for _, p := range info.Params {
			prop := paramSchema(k, &p)
			prop["description"] = p.Summary
			props[p.Name] = prop
			if p.Required {
				required = append(required, p.Name)
			}
		}
	}
	s["properties"] = props
	if required != nil {
		s["required"] = required
	}
	if rules := schemaRules(k); rules != nil {
		s["allOf"] = rules
	}
	out, err := json.Marshal(s, json.Deterministic(true))
	if err != nil {
		panic("correction: write schema of " + string(k) + ": " + err.Error()) // it is made of texts and numbers
	}
	return out
}

type object = map[string]any

// textSchema is a text of 1 to so many bytes, which JSON Schema counts as characters.
func textSchema(most int) object {
	return object{"type": "string", "minLength": 1, "maxLength": most}
}

func listSchema(items object, most int) object {
	return object{"type": "array", "items": items, "minItems": 1, "maxItems": most}
}

func scoreSchema() object {
	return object{"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": DefaultThreshold}
}

func paramSchema(k Kind, p *ParamInfo) object {
	switch p.Name {
	case "linked":
		s := listSchema(object{"type": "string", "minLength": 1, "maxLength": MaxValueBytes, "pattern": "^[^=]+$"}, MaxLinked)
		s["uniqueItems"] = true
		return s
	case "disable":
		tool := object{"type": "string", "pattern": "^" + toolPrefix + `[\s\S]+$`, "maxLength": len(toolPrefix) + MaxToolName}
		return listSchema(object{"anyOf": []any{object{"enum": featureNames}, tool}}, MaxValues)
	case "clamp":
		props := object{}
		for i := range clamps {
			props[clamps[i].Name] = clamps[i].schema()
		}
		return object{"type": "object", "additionalProperties": false, "minProperties": 1, "properties": props}
	case "filter":
		return filterSchema()
	case "use_case":
		return object{"type": "string", "maxLength": MaxValueBytes, "pattern": "^[^/]+(/[^/]+){0,15}$"}
	case "threshold":
		return scoreSchema()
	case "pin", "detector":
		return textSchema(MaxValueBytes)
	}
	s := object{}
	switch p.Type {
	case "text":
		s["type"], s["enum"] = "string", p.Allowed
	case "integer":
		s["type"], s["minimum"] = "integer", 1
	case "duration":
		s["type"], s["pattern"] = "string", `^([0-9]+d)?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$`
		s["minLength"] = 2
	case "time":
		s["type"], s["format"] = "string", "date-time"
	}
	if p.Default != "" {
		s["default"] = p.Default
	}
	return s
}

func (c *clamp) schema() object {
	s := object{"type": "number", "maximum": c.max, "description": c.Summary}
	if c.whole {
		s["type"] = "integer"
	}
	if c.open {
		s["exclusiveMinimum"] = c.min
	} else {
		s["minimum"] = c.min
	}
	return s
}

func filterSchema() object {
	given := func(name string) object { return object{"required": []string{name}} }
	none := func(names ...string) object {
		var any []any
		for _, n := range names {
			any = append(any, given(n))
		}
		return object{"not": object{"anyOf": any}}
	}
	return object{
		"type": "object", "additionalProperties": false, "required": []string{"direction", "detector", "action"},
		"properties": object{
			"direction": object{"type": "string", "enum": directions},
			"detector":  textSchema(MaxValueBytes),
			"patterns":  listSchema(textSchema(MaxPatternBytes), MaxPatterns),
			"regexps":   listSchema(textSchema(MaxRegexpBytes), MaxRegexps),
			"exact":     object{"type": "boolean", "default": false},
			"threshold": scoreSchema(),
			"on_error":  object{"type": "string", "enum": onErrors, "default": onErrors[0]},
			"action":    object{"type": "string", "enum": filterActions},
		},
		"if":   object{"properties": object{"detector": object{"const": DetectorPatterns}}},
		"then": object{"allOf": []any{none("threshold", "on_error"), object{"anyOf": []any{given("patterns"), given("regexps")}}}},
		"else": object{"allOf": []any{
			none("patterns", "regexps"),
			object{"properties": object{"exact": object{"const": false}, "action": object{"enum": without(filterActions, redact)}}},
		}},
	}
}

// schemaRules are what one parameter of a kind asks of the others.
func schemaRules(k Kind) []any {
	is := func(name, value string) object {
		return object{"required": []string{name}, "properties": object{name: object{"const": value}}}
	}
	given := func(name string) object { return object{"required": []string{name}} }
	not := func(s object) object { return object{"not": s} }
	when := func(cond, then object) object { return object{"if": cond, "then": then} }
	switch k {
	case Stop:
		return []any{when(given("drain"), is("level", "L2"))}
	case Access:
		return []any{when(given("linked"), is("mode", "block"))}
	case Use:
		return []any{
			when(is("action", acknowledge), object{"allOf": []any{given("acknowledge_by"), not(is("basis", inferred))}}),
			when(given("acknowledge_by"), is("action", acknowledge)),
			when(is("basis", inferred), object{"required": []string{"detector"}, "properties": object{"detector": not(object{"const": DetectorPatterns})}}),
			when(given("detector"), is("basis", inferred)),
			when(given("threshold"), is("basis", inferred)),
		}
	case Capability:
		var one []any
		for _, name := range capabilities {
			one = append(one, given(name))
		}
		return []any{object{"oneOf": one}}
	case Rate:
		rules := []any{object{"if": is("metric", "concurrent"), "then": not(given("window")), "else": given("window")}}
		for _, metric := range metrics {
			if own := counted[metric]; own != "" {
				rules = append(rules, when(is("metric", metric), not(is("per", own))))
			}
		}
		return rules
	}
	return nil
}
