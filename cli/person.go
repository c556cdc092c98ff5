package cli

import (
	"context"
	"net/http"
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

// people are the names of several.
func (c *command) people(ids []string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, c.person(id))
	}
	return out
}
