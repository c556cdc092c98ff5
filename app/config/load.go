package config

import (
	"errors"
	"io/fs"
	"reflect"
	"sort"
	"strings"
)

// Options are the layers that Load puts on top of each other.
type Options struct {
	File   string                      // "" means andon.yaml in the working directory, if it is there
	Lookup func(string) (string, bool) // the environment; nil: empty
	Flags  map[string]string           // path → value, as given by flags
	Names  map[string]string           // path → flag, for sources and errors: "data" → "--data"
}

// Load reads the file, then the environment, then the flags. It does not check
// what only a half needs: see CheckServe, CheckControl and CheckGateway.
func Load(o Options) (*Config, error) {
	if o.Lookup == nil {
		o.Lookup = func(string) (string, bool) { return "", false }
	}
	c := Default()
	name := o.File
	if name == "" {
		if v, ok := o.Lookup("ANDON_CONFIG"); ok {
			name = v
		}
	}
	optional := name == ""
	if optional {
		name = "andon.yaml"
	}
	data, err := readFile(name)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := c.decode(name, data, o.Lookup); err != nil {
			return nil, err
		}
	}
	if err := c.overlay(o); err != nil {
		return nil, err
	}
	return c, nil
}

// Variable is the environment variable that sets the value at a path.
func Variable(path string) string {
	return "ANDON_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

func (c *Config) overlay(o Options) error {
	var first error
	known := map[string]reflect.Value{}
	fail := func(where, path string, err error) {
		if first == nil {
			first = &Error{Where: where, Path: path, Detail: err.Error()}
		}
	}
	each(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		known[path] = v
		if text, ok := o.Lookup(Variable(path)); ok && text != "" {
			if err := set(v, text); err != nil {
				fail(Variable(path), path, err)
			}
			c.sources[path] = "environment " + Variable(path)
			delete(c.places, path)
		}
	})
	paths := make([]string, 0, len(o.Flags))
	for path := range o.Flags {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		flag := o.Names[path]
		if flag == "" {
			flag = "--set " + path
		}
		v, ok := known[path]
		if !ok {
			allowed := make([]string, 0, len(known))
			for p := range known {
				allowed = append(allowed, p)
			}
			sort.Strings(allowed)
			return &Error{Where: flag, Path: path, Detail: "no such value", Allowed: allowed}
		}
		if err := set(v, o.Flags[path]); err != nil {
			fail(flag, path, err)
		}
		c.sources[path] = "flag " + flag
		delete(c.places, path)
	}
	return first
}
