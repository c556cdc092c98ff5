package control

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
)

// newOperator is an operator to be made.
type newOperator struct {
	Name  string   `json:"name"`
	Role  string   `json:"role,omitempty"`  // one; or
	Roles []string `json:"roles,omitempty"` // several
}

// newRoles are an operator's roles from now on.
type newRoles struct {
	Roles  []string `json:"roles"`
	Reason string   `json:"reason"`
}

// tenureView is an interval in which an operator had roles.
type tenureView struct {
	Roles []string  `json:"roles"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

// operatorView is an operator as the API shows it: never its token's hash.
type operatorView struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Role      string       `json:"role"`  // all of them, as text
	Roles     []string     `json:"roles"` // those of now
	Held      []tenureView `json:"held"`  // those of each time
	Source    string       `json:"source"`
	Enrolled  bool         `json:"enrolled"`        // nobody else has seen what it comes in with
	Factors   []string     `json:"factors"`         // by which it can prove who it is, beside a token
	Token     string       `json:"token,omitempty"` // once, in the answer that makes it
	CreatedAt time.Time    `json:"created_at"`
	CreatedBy string       `json:"created_by"`
	RemovedAt time.Time    `json:"removed_at,omitzero"`
}

type operatorList struct {
	Operators []operatorView `json:"operators"`
}

func (op *operator) view() operatorView {
	v := operatorView{ID: op.id, Name: op.name, Role: op.roles.String(), Roles: roleNames(op), Held: []tenureView{}, Source: "local", Enrolled: !op.first, Factors: op.factors(),
		CreatedAt: op.created, CreatedBy: op.by, RemovedAt: op.removed}
	if !op.own() {
		v.Source = "issuer"
	}
	for _, t := range op.tenures {
		v.Held = append(v.Held, tenureView{t.Roles.Names(), t.Since, t.Until})
	}
	return v
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
	if err := cl.notByToken("make operators"); err != nil {
		return err
	}
	if b.Role != "" && len(b.Roles) > 0 {
		return badField("role", "role is for one and roles for several; give one of the two")
	}
	if b.Role == "" && len(b.Roles) == 0 {
		return badField("role", "missing: say what they may do: role for one, roles for several", authority.All.Names()...)
	}
	made := operatorBody{Name: b.Name, Role: b.Role, Roles: b.Roles, Enrol: true}
	roles, err := authority.ParseRoles(made.names()...)
	if err != nil {
		return badField("roles", err.Error(), authority.All.Names()...)
	}
	if len(b.Roles) > 0 {
		made.Roles = roles.Names() // each once
	}
	token, hash := secret(tokenPrefix)
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		if op := s.operatorNamed(b.Name); op != nil {
			return nil, problem("operator_exists", op.id+" has this name; the record tells people apart by it")
		}
		if err := s.staffs(cl.op, 0, roles); err != nil {
			return nil, err
		}
		id = "op-" + strconv.Itoa(s.nOperators+1)
		made.ID, made.Token = id, hash
		return []draft{{typeOperator, made}}, nil
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
		if err := s.administratorRemains(op); err != nil {
			return nil, err
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

// administratorRemains says whether there is still an administrator without op. Who
// comes from an issuer does not count: the issuer can fail, or be taken.
func (s *state) administratorRemains(op *operator) error {
	if !op.own() || !op.roles.Has(authority.Administrator) {
		return nil
	}
	for _, o := range s.operators {
		if o.active() && o.id != op.id && o.own() && o.roles.Has(authority.Administrator) {
			return nil
		}
	}
	return problem("last_operator", op.name+" is the last administrator with an account of its own here: nobody could let people in any more")
}

// postRoles changes what somebody may do, from now on. What they did before was
// done with the roles that they had.
func (c *Control) postRoles(cl *call) error {
	if err := cl.op.may("operator.roles"); err != nil {
		return err
	}
	if err := cl.notByToken("change roles"); err != nil {
		return err
	}
	b, err := decode[newRoles](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	roles, err := authority.ParseRoles(b.Roles...)
	if err != nil {
		return badField("roles", err.Error(), authority.All.Names()...)
	}
	id := cl.r.PathValue("id")
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		w := wanted{question: authority.Question{Act: authority.Staff}, do: "roles", subject: id, says: "give " + short(id) + " the roles " + roles.String(),
			what: rolesBody{id, roles.Names(), b.Reason}, reason: b.Reason}
		if op := s.operators[id]; op.active() {
			w.says = "give " + op.name + " the roles " + roles.String() + ", not " + op.roles.String()
			w.tightens = roles&^op.roles&^authority.SetOf(authority.Viewer) == 0 // whoever may do less waits for nobody
		}
		return w, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.operators[id].view()
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// doRoles changes what somebody may do. None is drafted if nothing changes.
func doRoles(_ *Control, s *state, _ *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[rolesBody](what)
	if err != nil {
		return nil, err
	}
	roles, err := authority.ParseRoles(b.Roles...)
	if err != nil {
		return nil, err
	}
	op := s.operators[b.ID]
	if !op.active() {
		return nil, problem("not_found", "there is no operator "+strconv.Quote(short(b.ID)))
	}
	if !op.own() {
		return nil, badField("roles", op.name+" has the roles that the issuer says; change them there, or the mapping in control.oidc.roles")
	}
	if op.roles == roles {
		return nil, nil
	}
	if !roles.Has(authority.Administrator) {
		if err := s.administratorRemains(op); err != nil {
			return nil, err
		}
	}
	return []draft{{typeRoles, b}}, nil
}

// staffs says whether somebody may let another one in with roles: where rules ask
// for others, they are let in to look, and are given roles afterwards.
func (s *state) staffs(op *operator, had, roles authority.Set) error {
	if (roles &^ had &^ authority.SetOf(authority.Viewer)) == 0 {
		return nil
	}
	a, err := s.require(op, authority.Question{Act: authority.Staff})
	if err != nil || a.Approvals == 0 {
		return err
	}
	p := problem("approval_needed", fmt.Sprintf("to give somebody a role beyond viewer takes %d more (rule %s)", a.Approvals, strings.Join(a.Rules, ", ")))
	p.Hint = "make them a viewer, then andon operators roles ID --role …, which asks the others"
	return p
}
