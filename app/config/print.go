package config

import (
	"fmt"
	"io"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
)

// Value is one value of a configuration, as it is shown.
type Value struct {
	Path   string `json:"path"`
	Value  any    `json:"value"` // text, or a list of texts
	Source string `json:"source"`
}

const hidden = "[redacted]"

// Redact returns what may be shown of the value at a path.
func Redact(path, value string) string {
	if value == "" {
		return ""
	}
	if path == "control.token" || path == "control.oidc.client_secret" || path == "gateway.join" || path == "gateway.pseudonym_key" || alertSecret(path) || (strings.HasPrefix(path, "gateway.upstreams") || strings.HasPrefix(path, "gateway.detectors")) && strings.HasSuffix(path, ".key") {
		return hidden
	}
	if strings.Contains(value, "://") {
		parts := strings.Split(value, ",")
		for i, p := range parts {
			if u, err := url.Parse(p); err == nil && u.User != nil {
				u.User = nil
				parts[i] = strings.Replace(u.String(), "://", "://"+hidden+"@", 1)
			} else if err != nil {
				parts[i] = hidden
			}
		}
		return strings.Join(parts, ",")
	}
	return value
}

// line is one line of the printed file; path is empty for headings.
type line struct {
	indent int
	dash   bool
	key    string
	value  string
	path   string
}

// Print writes the configuration as YAML, with the source of each value as a
// comment beside it. Secrets are redacted.
func (c *Config) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, l := range c.lines(reflect.ValueOf(c).Elem(), "", 0, nil) {
		pad := strings.Repeat("  ", l.indent)
		if l.dash {
			pad = pad[:len(pad)-2] + "- "
		}
		text := pad + l.key + ":"
		if l.value != "" {
			text += " " + l.value
		}
		if l.path != "" {
			text += "\t# " + c.Source(l.path)
		}
		fmt.Fprintln(tw, text)
	}
	return tw.Flush()
}

func (c *Config) lines(v reflect.Value, prefix string, indent int, out []line) []line {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		if tag == "" {
			continue
		}
		f, path := v.Field(i), join(prefix, tag)
		switch {
		case f.Kind() == reflect.Struct:
			out = append(out, line{indent: indent, key: tag})
			out = c.lines(f, path, indent+1, out)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			if f.Len() == 0 {
				out = append(out, line{indent: indent, key: tag, value: "[]", path: path})
				continue
			}
			out = append(out, line{indent: indent, key: tag})
			for j := range f.Len() {
				at := len(out)
				out = c.lines(f.Index(j), fmt.Sprintf("%s[%d]", path, j), indent+2, out)
				out[at].dash = true
			}
		default:
			out = append(out, line{indent: indent, key: tag, value: flow(shown(path, f)), path: path})
		}
	}
	return out
}

// Values lists every value with its source, secrets redacted.
func (c *Config) Values() []Value {
	var out []Value
	c.values(reflect.ValueOf(c).Elem(), "", &out)
	return out
}

func (c *Config) values(v reflect.Value, prefix string, out *[]Value) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		if tag == "" {
			continue
		}
		f, path := v.Field(i), join(prefix, tag)
		switch {
		case f.Kind() == reflect.Struct:
			c.values(f, path, out)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			for j := range f.Len() {
				c.values(f.Index(j), fmt.Sprintf("%s[%d]", path, j), out)
			}
		default:
			*out = append(*out, Value{Path: path, Value: shown(path, f), Source: c.Source(path)})
		}
	}
}

// shown returns a string or a []string.
func shown(path string, f reflect.Value) any {
	switch x := f.Interface().(type) {
	case string:
		return Redact(path, x)
	case []string:
		if x == nil {
			return []string{}
		}
		return x
	case RoleMap:
		return x
	case fmt.Stringer:
		return x.String()
	}
	return fmt.Sprint(f.Interface())
}

var plain = regexp.MustCompile(`^[A-Za-z_./]([A-Za-z0-9_./@:+-]*[A-Za-z0-9_/+])?$|^[0-9]+[A-Za-z][A-Za-z0-9]*$|^[0-9][0-9.]*:[0-9]+$`)

// flow writes a value so that YAML reads the same text back.
func flow(v any) string {
	switch v := v.(type) {
	case []string:
		parts := make([]string, len(v))
		for i, s := range v {
			parts[i] = quoted(s)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case RoleMap:
		return v.String()
	case string:
		if plain.MatchString(v) && !strings.Contains(v, ": ") && !reserved[strings.ToLower(v)] {
			return v
		}
		return quoted(v)
	}
	return fmt.Sprint(v)
}

var reserved = map[string]bool{"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true}

// quoted writes a JSON string, which is a YAML one; ${ is kept from being
// taken for a variable when the output is read again.
func quoted(s string) string {
	b, err := json.Marshal(variable.ReplaceAllStringFunc(s, func(m string) string { return "$" + m }))
	if err != nil {
		return `""`
	}
	return string(b)
}
