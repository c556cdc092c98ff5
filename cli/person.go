package cli

import (
	"context"
	"net/http"
	"regexp"
	"time"
)

// person is the name of whoever did something, as people know them: an operator's
// name, or what the record has. Names are asked for once; without an answer ids do.
func (c *command) person(id string) string {
	if c.names == nil && c.asked != nil && id != "" {
		c.names = map[string]string{}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var list struct {
			Operators []operator `json:"operators"`
		}
		if err := c.asked.do(ctx, http.MethodGet, "/operators", nil, nil, &list); err == nil {
			for _, op := range list.Operators {
				c.names[op.ID] = op.Name
			}
		}
	}
	if name := c.names[id]; name != "" {
		return name
	}
	return id
}

// byWhom is where a text of the control plane names whoever did something.
var byWhom = regexp.MustCompile(`\bby op-[0-9]+\b`)

// named puts names for the ids in a text of the control plane.
func (c *command) named(text string) string {
	return byWhom.ReplaceAllStringFunc(text, func(by string) string { return "by " + c.person(by[len("by "):]) })
}

// people are the names of several.
func (c *command) people(ids []string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, c.person(id))
	}
	return out
}
