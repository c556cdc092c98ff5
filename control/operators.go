package control

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"andon/authority"
)

// newOperator is an operator to be made.
type newOperator struct {
	Name string `json:"name"`
	Role string `json:"role,omitempty"` // default administrator
}

// operatorView is an operator as the API shows it: never its token's hash.
type operatorView struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Token     string    `json:"token,omitempty"` // once, in the answer that makes it
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

type operatorList struct {
	Operators []operatorView `json:"operators"`
}

func (op *operator) view() operatorView {
	return operatorView{ID: op.id, Name: op.name, Role: op.roles.String(), CreatedAt: op.created, CreatedBy: op.by, RemovedAt: op.removed}
}

func (c *Control) getOperators(cl *call) error {
	if err := cl.op.may("operator.read"); err != nil {
		return err
	}
	list := operatorList{Operators: []operatorView{}}
	c.mu.RLock()
	for _, id := range c.state.operatorList {
		list.Operators = append(list.Operators, c.state.operators[id].view())
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

// postOperator makes an operator. The token exists in this answer alone.
func (c *Control) postOperator(cl *call) error {
	if err := cl.op.may("operator.create"); err != nil {
		return err
	}
	b, err := decode[newOperator](cl)
	if err != nil {
		return err
	}
	if b.Name == "" {
		return badField("name", "missing: say who it is")
	}
	if err := checkLine("name", b.Name, 200); err != nil {
		return err
	}
	if b.Role == "" {
		b.Role = string(authority.Administrator)
	}
	if _, err := authority.ParseRoles(b.Role); err != nil {
		return badField("role", err.Error(), authority.All.Names()...)
	}
	token, hash := secret(tokenPrefix)
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		if op := s.operatorNamed(b.Name); op != nil {
			return nil, problem("operator_exists", op.id+" has this name; the record tells people apart by it")
		}
		id = "op-" + strconv.Itoa(s.nOperators+1)
		return []draft{{typeOperator, operatorBody{ID: id, Name: b.Name, Role: b.Role, Token: hash}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.operators[id].view()
	c.mu.RUnlock()
	v.Token = token
	cl.w.Header().Set("Location", "/api/v1/operators/"+id)
	return cl.reply(http.StatusCreated, v)
}

// deleteOperator ends an operator: the token at once, and approvals that were given
// and not used yet.
func (c *Control) deleteOperator(cl *call) error {
	if err := cl.op.may("operator.remove"); err != nil {
		return err
	}
	id, reason := cl.r.PathValue("id"), cl.r.URL.Query().Get("reason")
	if len(reason) > maxReason {
		return badField("reason", fmt.Sprintf("has %d bytes; at most %d", len(reason), maxReason))
	}
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		op := s.operators[id]
		if op == nil {
			return nil, problem("not_found", "there is no operator "+strconv.Quote(short(id)))
		}
		if !op.active() {
			return nil, nil // removed is removed
		}
		others := 0
		for _, o := range s.operators {
			if o.active() && o != op {
				others++
			}
		}
		if others == 0 {
			return nil, problem("last_operator", "it is the last operator: nobody could give a command any more")
		}
		return []draft{{typeOpRemoved, removedOperatorBody{id, reason}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.operators[id].view()
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}
