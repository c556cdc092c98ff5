package incident

import (
	"fmt"
	"slices"
	"time"
)

// Role is what somebody does in an incident. It gives no permission: that is
// authority's to say. It lets its holder see the incident.
type Role string

// Commander leads. Until an incident is closed exactly one person does.
const Commander Role = "commander"

// Roles are all.
var Roles = []Role{Commander, "deputy", "scribe", "liaison", "investigator", "communications", "legal"}

// RoleHeld is a role that somebody has, from one time until another.
type RoleHeld struct {
	Role     Role      `json:"role"`
	Operator string    `json:"operator"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until,omitzero"` // zero: still
	By       string    `json:"by"`
	EndedBy  string    `json:"ended_by,omitempty"`
}

// RoleChange gives a role to somebody, or ends it. The commander hands over: the
// one's time ends as the other's begins.
type RoleChange struct {
	Role     Role   `json:"role"`
	Operator string `json:"operator"`
	End      bool   `json:"end,omitzero"`
	Text     string `json:"text,omitempty"` // what is handed over
}

func (RoleChange) kind() string { return "incident.role" }

const maxRoles = 1000 // intervals of one incident

func (x RoleChange) step(_ *Book, in *Incident, m Meta) (func(), error) {
	if err := oneOf("role", x.Role, Roles); err != nil {
		return nil, err
	}
	if err := line("operator", x.Operator, MaxName); err != nil {
		return nil, err
	}
	if x.Text != "" {
		if err := text("text", x.Text, MaxReason); err != nil {
			return nil, err
		}
	}
	held := slices.IndexFunc(in.Roles, func(r RoleHeld) bool {
		return r.Role == x.Role && r.Until.IsZero() && (r.Operator == x.Operator)
	})
	if x.End {
		switch {
		case held < 0:
			return nil, &Error{Code: CodeState, Field: "operator", Detail: fmt.Sprintf("%s is not %s of %s now", quote(x.Operator), x.Role, in.ID), Allowed: in.holders(x.Role)}
		case x.Role == Commander:
			return nil, &Error{Code: CodeState, Field: "role", Detail: in.ID + " would be led by nobody", Hint: "hand over: name the next commander"}
		}
		return func() { in.Roles[held].Until, in.Roles[held].EndedBy = m.At, m.Actor }, nil
	}
	if held >= 0 {
		return nil, &Error{Code: CodeState, Field: "operator", Detail: fmt.Sprintf("%s is %s of %s already", x.Operator, x.Role, in.ID)}
	}
	if len(in.Roles) >= maxRoles {
		return nil, &Error{Code: CodeFull, Detail: fmt.Sprintf("%s has had %d roles; that is the most", in.ID, maxRoles)}
	}
	return func() {
		if x.Role == Commander {
			for i := range in.Roles {
				if r := &in.Roles[i]; r.Role == Commander && r.Until.IsZero() {
					r.Until, r.EndedBy = m.At, m.Actor
				}
			}
		}
		in.Roles = append(in.Roles, RoleHeld{Role: x.Role, Operator: x.Operator, From: m.At, By: m.Actor})
	}, nil
}

func (in *Incident) holders(role Role) []string {
	var out []string
	for _, r := range in.Roles {
		if r.Role == role && r.Until.IsZero() {
			out = append(out, r.Operator)
		}
	}
	return out
}

// Lead is the commander now; "" once it is closed.
func (in *Incident) Lead() string {
	for _, r := range in.Roles {
		if r.Role == Commander && r.Until.IsZero() {
			return r.Operator
		}
	}
	return ""
}
