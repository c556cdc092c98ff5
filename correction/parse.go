package correction

import (
	"errors"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Parse reads one correction from strict JSON: names are case-sensitive, an
// unknown or repeated name, broken UTF-8 and anything after the value are
// refused. It checks the shape alone; Validate checks the meaning. ID and
// AppliedAt are read if they are there, since orders carry them. The error is a
// *FieldError.
func Parse(data []byte) (Correction, error) {
	var c Correction
	if err := json.Unmarshal(data, &c, json.RejectUnknownMembers(true)); err != nil {
		return Correction{}, shapeError(data, err)
	}
	// Some zeros mean a default once they are in the struct, and the default is
	// not what somebody who writes the zero has in mind.
	var given struct {
		Share  *float64 `json:"share"`
		Params struct {
			Drain     *Duration `json:"drain"`
			Threshold *float64  `json:"threshold"`
			Filter    struct {
				Threshold *float64 `json:"threshold"`
			} `json:"filter"`
		} `json:"params"`
	}
	if err := json.Unmarshal(data, &given); err != nil {
		return Correction{}, shapeError(data, err)
	}
	if given.Share != nil && *given.Share == 0 {
		return Correction{}, wrong("share", "0 would reach nobody; give 0 < share <= 1, or leave it out to reach everybody in scope")
	}
	if given.Params.Drain != nil && *given.Params.Drain == 0 {
		return Correction{}, wrong("params.drain", "0s leaves no time to drain; use level L3, or leave it out for 2m")
	}
	for _, f := range []struct {
		name  string
		given *float64
	}{{"params.threshold", given.Params.Threshold}, {"params.filter.threshold", given.Params.Filter.Threshold}} {
		if f.given != nil && *f.given == 0 {
			return Correction{}, wrong(f.name, "0 would be found in everything; give 0 < threshold <= 1, or leave it out for 0.5")
		}
	}
	return c, nil
}

// shapeError turns an error of the JSON decoder into a *FieldError.
func shapeError(data []byte, err error) *FieldError {
	var sem *json.SemanticError
	if !errors.As(err, &sem) {
		var syn *jsontext.SyntacticError
		if errors.As(err, &syn) {
			return wrong(fieldPath(syn.JSONPointer), "not valid JSON: "+oneLine(syn.Err.Error()))
		}
		return wrong("", "not valid JSON: "+oneLine(err.Error()))
	}
	field := fieldPath(sem.JSONPointer)
	if errors.Is(sem.Err, json.ErrUnknownName) {
		name := sem.JSONPointer.LastToken()
		return wrong(field, "unknown field "+quote(name), namesAt(data, sem.JSONPointer.Parent())...)
	}
	numeral := sem.GoType == reflect.TypeFor[Duration]() && sem.JSONKind != '"'
	if sem.Err != nil && !numeral {
		return wrong(field, oneLine(sem.Err.Error()))
	}
	return wrong(field, "wrong type: "+kindName(sem.JSONKind)+" cannot stand here; "+wanted(sem.GoType))
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '[':
		return "a JSON array"
	case '{':
		return "a JSON object"
	case 't', 'f':
		return "a JSON boolean"
	}
	return "a JSON " + k.String()
}

// wanted says in words of JSON what a Go type takes.
func wanted(t reflect.Type) string {
	if t == nil {
		return "see the list of kinds"
	}
	if t == reflect.TypeFor[Duration]() {
		return `give a text such as "15m"`
	}
	switch t.Kind() {
	case reflect.String:
		return "give a text"
	case reflect.Bool:
		return "give true or false"
	case reflect.Int64:
		return "give a whole number"
	case reflect.Float64:
		return "give a number"
	case reflect.Slice:
		return "give a list of texts"
	case reflect.Struct:
		if t.PkgPath() == "time" {
			return `give a time such as "2026-11-23T15:04:05Z"`
		}
		return "give an object"
	case reflect.Map:
		return "give an object of numbers"
	}
	return "give another type"
}

// fieldPath turns "/scope/ips/3" into "scope.ips[3]".
func fieldPath(p jsontext.Pointer) string {
	var b strings.Builder
	for tok := range p.Tokens() {
		if tok != "" && strings.Trim(tok, "0123456789") == "" {
			b.WriteString("[" + tok + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		if len(tok) > 64 {
			tok = strings.ToValidUTF8(tok[:64], "") + "…"
		}
		b.WriteString(tok)
	}
	return b.String()
}

// namesAt lists the names that an object of a correction may hold. For params
// these are the ones of the correction's kind, if that much can be read.
func namesAt(data []byte, at jsontext.Pointer) []string {
	switch at {
	case "":
		return jsonNames(reflect.TypeFor[Correction]())
	case "/scope", "/except":
		return jsonNames(reflect.TypeFor[Scope]())
	case "/params/filter":
		return jsonNames(reflect.TypeFor[Filter]())
	case "/params":
		var k struct {
			Kind Kind `json:"kind"`
		}
		if json.Unmarshal(data, &k) == nil {
			if names := paramNames[k.Kind]; names != nil {
				return names
			}
		}
		return jsonNames(reflect.TypeFor[Params]())
	}
	return nil
}

func jsonNames(t reflect.Type) []string {
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
