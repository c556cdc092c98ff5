package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"andon/correction"
)

// dimension is one way of saying what a correction reaches: a flag --org, its
// counterpart --except-org, and the short form org=acme as an argument.
type dimension struct {
	flag  string
	help  string
	field func(*correction.Scope) *[]string
}

var dimensions = []dimension{
	{"model", "models", func(s *correction.Scope) *[]string { return &s.Models }},
	{"version", "versions of models", func(s *correction.Scope) *[]string { return &s.Versions }},
	{"surface", "surfaces", func(s *correction.Scope) *[]string { return &s.Surfaces }},
	{"org", "organisations", func(s *correction.Scope) *[]string { return &s.Orgs }},
	{"user", "end users", func(s *correction.Scope) *[]string { return &s.Users }},
	{"key", "ids of caller keys", func(s *correction.Scope) *[]string { return &s.Keys }},
	{"tier", "tiers", func(s *correction.Scope) *[]string { return &s.Tiers }},
	{"ip", "addresses or networks", func(s *correction.Scope) *[]string { return &s.IPs }},
	{"country", "countries, in two letters", func(s *correction.Scope) *[]string { return &s.Countries }},
	{"attribute", "verified attributes, each name=value", func(s *correction.Scope) *[]string { return &s.Attributes }},
	{"tool", "tools by name or type", func(s *correction.Scope) *[]string { return &s.Tools }},
	{"use-case", "declared use cases", func(s *correction.Scope) *[]string { return &s.UseCases }},
	{"list", "named lists", func(s *correction.Scope) *[]string { return &s.Lists }},
}

// scopeFlags are the flags of one command that say what it reaches.
type scopeFlags struct {
	reach, spare correction.Scope
	except       []string // --except org=acme
}

// add makes the flags; keyFlag is the name of the one for ids of caller keys.
func (f *scopeFlags) add(cmd *cobra.Command, keyFlag string) {
	fs := cmd.Flags()
	for _, d := range dimensions {
		name := d.flag
		if name == "key" {
			name = keyFlag
		}
		fs.StringSliceVar(d.field(&f.reach), name, nil, "reaches these "+d.help)
		fs.StringSliceVar(d.field(&f.spare), "except-"+name, nil, "")
		_ = fs.MarkHidden("except-" + name)
	}
	fs.StringVar(&f.reach.When, "when", "", "CEL expression over the request")
	fs.StringVar(&f.spare.When, "except-when", "", "")
	_ = fs.MarkHidden("except-when")
	fs.BoolVar(&f.reach.All, "all", false, "reaches everything")
	fs.StringVar(&f.reach.Unknown, "unknown", "", "what of requests whose value it asks for is unknown: exclude (default) or include")
	fs.StringSliceVar(&f.except, "except", nil, "who is spared, such as org=acme; --except-org and the others do the same")
}

// isDimension tells whether a name, in any of its spellings, is a dimension.
func isDimension(name string) bool {
	name = strings.TrimSuffix(strings.ReplaceAll(name, "_", "-"), "s")
	for _, d := range dimensions {
		if d.flag == name {
			return true
		}
	}
	return false
}

// pair reads the short form dimension=value into a scope. ok is false if s is
// not of that form; a name that is no dimension is an error.
func pair(s string, scope *correction.Scope) (ok bool, err error) {
	name, value, found := strings.Cut(s, "=")
	if !found {
		return false, nil
	}
	name = strings.TrimSuffix(strings.ReplaceAll(name, "_", "-"), "s")
	for _, d := range dimensions {
		if d.flag != name {
			continue
		}
		list := d.field(scope)
		if d.flag == "attribute" { // attribute=plan=free: the rest is one name=value
			*list = append(*list, value)
			return true, nil
		}
		for _, v := range strings.Split(value, ",") {
			if v = strings.TrimSpace(v); v != "" {
				*list = append(*list, v)
			}
		}
		if len(*list) == 0 {
			return false, usagef(name+"=VALUE", "%q names no value", s)
		}
		return true, nil
	}
	return false, usagef("one of "+flagNames("=…"), "%q: %q is nothing that a correction can reach", s, name)
}

func flagNames(suffix string) string {
	var out []string
	for _, d := range dimensions {
		out = append(out, d.flag+suffix)
	}
	return strings.Join(out, ", ")
}

// scopes returns what is reached and what is spared (nil: nobody).
func (f *scopeFlags) scopes() (correction.Scope, *correction.Scope, error) {
	for _, e := range f.except {
		ok, err := pair(e, &f.spare)
		if err != nil {
			return f.reach, nil, err
		}
		if !ok {
			return f.reach, nil, usagef("--except org=acme", "--except %q does not say what it names", e)
		}
	}
	if !given(&f.reach) && !f.reach.All {
		return f.reach, nil, usagef("model=NAME, org=NAME, user=NAME, key=ID, --when … or --all", "it does not say what it reaches")
	}
	if given(&f.reach) && f.reach.All {
		return f.reach, nil, usagef("--all alone, or the conditions alone", "--all contradicts the other conditions")
	}
	if !given(&f.spare) {
		return f.reach, nil, nil
	}
	return f.reach, &f.spare, nil
}

// given tells whether any condition stands in a scope.
func given(s *correction.Scope) bool {
	if s.When != "" {
		return true
	}
	for _, d := range dimensions {
		if len(*d.field(s)) > 0 {
			return true
		}
	}
	return false
}
