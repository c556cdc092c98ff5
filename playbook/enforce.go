package playbook

import (
	"fmt"
	"slices"
	"strings"

	"andon/correction"
)

// Point is an enforcement point as it describes itself.
type Point struct {
	Name      string
	Models    []string // that it serves; none: it does not say
	Features  []string // what it can enforce: "rate", "capability.filter", see Needs; none: it does not say
	Detectors []string // classifiers that it has
	Versions  map[string][]string
}

// Needs is what a point has to be able to do for a correction, in the words in
// which points describe themselves: "stop", "rate", "access", "access.linked",
// "capability.disable", ".clamp", ".filter" and ".pin", "use.declared",
// "use.inferred", "use.acknowledge".
func Needs(c *correction.Correction) []string {
	kind := string(c.Kind)
	switch c.Kind {
	case correction.Access:
		if len(c.Params.Linked) > 0 {
			return []string{kind, kind + ".linked"}
		}
	case correction.Capability:
		switch p := &c.Params; {
		case len(p.Disable) > 0:
			return []string{kind + ".disable"}
		case len(p.Clamp) > 0:
			return []string{kind + ".clamp"}
		case p.Filter != nil:
			return []string{kind + ".filter"}
		case p.Pin != "":
			return []string{kind + ".pin"}
		}
	case correction.Use:
		out := []string{kind + ".declared"}
		if c.Params.Basis == "inferred" {
			out[0] = kind + ".inferred"
		}
		if c.Params.Action == "acknowledge" {
			out = append(out, kind+".acknowledge")
		}
		return out
	}
	return []string{kind}
}

// Lacks says what stands between a correction and its enforcement: for each
// point that serves a model of its scope, what is missing there. A point that
// says nothing of itself is not judged here: its first beat does.
func Lacks(c *correction.Correction, points []Point) []string {
	var out []string
	reached := false
	models := slices.DeleteFunc(slices.Clone(c.Scope.Models), func(m string) bool { return len(uses(m)) > 0 })
	for _, p := range points {
		if len(models) > 0 && len(p.Models) > 0 && !slices.ContainsFunc(models, func(m string) bool { return slices.Contains(p.Models, m) }) {
			continue
		}
		reached = true
		var lacks []string
		if len(p.Features) > 0 {
			for _, need := range Needs(c) {
				if !slices.Contains(p.Features, need) {
					lacks = append(lacks, need)
				}
			}
		}
		if d := detector(c); d != "" && len(p.Features) > 0 && !slices.Contains(p.Detectors, d) {
			lacks = append(lacks, "detector "+d)
		}
		if v := c.Params.Pin; v != "" && len(uses(v)) == 0 {
			for _, m := range models {
				if have := p.Versions[m]; len(have) > 0 && !slices.Contains(have, v) {
					lacks = append(lacks, "version "+short(v)+" of "+short(m))
				}
			}
		}
		if len(lacks) > 0 {
			out = append(out, p.Name+" lacks "+strings.Join(lacks, ", "))
		}
	}
	if len(points) > 0 && !reached {
		out = append(out, "no enforcement point serves "+strings.Join(models, ", "))
	}
	return out
}

// detector is the classifier that a correction asks for; "" if none.
func detector(c *correction.Correction) string {
	d := c.Params.Detector
	if f := c.Params.Filter; f != nil {
		d = f.Detector
	}
	if d == correction.DetectorPatterns {
		return ""
	}
	return d
}

// enforceable refuses a correction that a known point cannot carry out.
func (c *checker) enforceable(at, what string, cor *correction.Correction) {
	for _, lack := range Lacks(cor, c.known.Points) {
		detail := fmt.Sprintf("%s names a correction (%s) that cannot be enforced: %s", what, strings.Join(Needs(cor), ", "), lack)
		if c.known.MayBeStale {
			c.warn(at, detail)
		} else {
			c.add(at, detail)
		}
	}
}
