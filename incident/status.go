package incident

import (
	"fmt"
	"slices"
	"time"
)

// Status is where an incident is.
//
//	open → investigating → contained → recovering → resolved → closed
//	                  ↑_________________________|              ↓
//	                  |______________ reopened ←_______________|
//
// Going back from contained is allowed; going past it takes something that
// contains: a correction that stands, or a decision.
type Status string

// The statuses.
const (
	StatusOpen          Status = "open"
	StatusInvestigating Status = "investigating"
	StatusContained     Status = "contained"
	StatusRecovering    Status = "recovering"
	StatusResolved      Status = "resolved"
	StatusClosed        Status = "closed"
	StatusReopened      Status = "reopened"
)

// Statuses are all, in their order.
var Statuses = []Status{StatusOpen, StatusInvestigating, StatusContained, StatusRecovering, StatusResolved, StatusClosed, StatusReopened}

// Next says which statuses follow on one, by a change of status.
var Next = map[Status][]Status{
	StatusOpen:          {StatusInvestigating, StatusContained},
	StatusInvestigating: {StatusContained},
	StatusContained:     {StatusInvestigating, StatusRecovering, StatusResolved},
	StatusRecovering:    {StatusInvestigating, StatusContained, StatusResolved},
	StatusResolved:      {StatusInvestigating, StatusRecovering},
	StatusClosed:        {},
	StatusReopened:      {StatusInvestigating, StatusContained},
}

// rank orders statuses along the way.
var rank = map[Status]int{StatusOpen: 0, StatusReopened: 0, StatusInvestigating: 1, StatusContained: 2, StatusRecovering: 3, StatusResolved: 4, StatusClosed: 5}

// StatusChange moves an incident on, or back.
type StatusChange struct {
	To     Status `json:"to"`
	Reason string `json:"reason,omitempty"` // needed to go back
}

func (StatusChange) kind() string { return "incident.status" }

func (x StatusChange) step(b *Book, in *Incident, m Meta) (func(), error) {
	if err := oneOf("to", x.To, Statuses); err != nil {
		return nil, err
	}
	if x.To == StatusClosed || x.To == StatusReopened {
		return nil, &Error{Code: CodeState, Field: "to", Detail: fmt.Sprintf("%s is no change of status: closing takes a typed reason, reopening a reason", x.To), Hint: "close it, or reopen it"}
	}
	if !slices.Contains(Next[in.Status], x.To) {
		return nil, &Error{Code: CodeState, Field: "to", Detail: fmt.Sprintf("%s is %s; %s does not follow on that", in.ID, in.Status, x.To), Allowed: names(Next[in.Status])}
	}
	if rank[x.To] < rank[in.Status] || x.Reason != "" {
		if err := text("reason", x.Reason, MaxReason); err != nil {
			return nil, err
		}
	}
	if x.To == StatusContained && rank[in.Status] < rank[StatusContained] && in.Kind == Real && !b.contains(in) {
		return nil, &Error{Code: CodeState, Field: "to", Detail: "nothing contains " + in.ID + ": no correction of it is in force, and no decision is recorded",
			Hint: "put a correction in force with --incident " + in.ID + ", or record the decision not to act"}
	}
	return func() {
		in.Status = x.To
		switch x.To {
		case StatusContained:
			in.auto("contained_at", m.At, "known", "when the status said so", m)
		case StatusResolved:
			in.auto("resolved_at", m.At, "known", "when the status said so", m)
		}
	}, nil
}

// family is an incident with all that were merged into it.
func (b *Book) family(in *Incident) []*Incident {
	out := []*Incident{in}
	for i := 0; i < len(out); i++ {
		for _, id := range out[i].Merged {
			out = append(out, b.incidents[id])
		}
	}
	return out
}

// Family is an incident with all that were merged into it, itself first.
func (b *Book) Family(id string) []*Incident {
	if in := b.incidents[id]; in != nil {
		return b.family(in)
	}
	return nil
}

func (b *Book) contains(in *Incident) bool {
	return slices.ContainsFunc(b.family(in), func(x *Incident) bool {
		return x.Decisions > 0 || slices.ContainsFunc(x.Corrections, func(c LinkedCorrection) bool { return c.Stands })
	})
}

// The typed reasons for closing an incident.
const (
	CloseResolved      = "resolved"
	CloseFalsePositive = "false_positive"
	CloseBenign        = "benign"
	CloseDuplicate     = "duplicate"
	CloseNearMiss      = "near_miss"
	CloseNoAction      = "no_action"
	CloseTest          = "test"
	CloseExercise      = "exercise_ended"
	closeMerged        = "merged" // by a merge alone
)

// Closings are the typed reasons that somebody can give.
var Closings = []string{CloseResolved, CloseFalsePositive, CloseBenign, CloseDuplicate, CloseNearMiss, CloseNoAction, CloseTest, CloseExercise}

// Closed closes an incident.
type Closed struct {
	Reason string `json:"reason"` // typed: see Closings
	Text   string `json:"text"`   // in words
	Of     string `json:"of,omitempty"`
	// Owners answer for the corrections that stay in force: correction → operator.
	Owners map[string]string `json:"owners,omitempty"`
}

func (Closed) kind() string { return "incident.closed" }

func (x Closed) step(b *Book, in *Incident, m Meta) (func(), error) {
	if err := oneOf("reason", x.Reason, Closings); err != nil {
		return nil, err
	}
	if err := text("text", x.Text, MaxText); err != nil {
		return nil, err
	}
	if err := x.fits(b, in); err != nil {
		return nil, err
	}
	standing := map[string]*LinkedCorrection{}
	for _, f := range b.family(in) {
		for i := range f.Corrections {
			if c := &f.Corrections[i]; c.Stands {
				standing[c.ID] = c
			}
		}
	}
	for c, owner := range x.Owners {
		if standing[c] == nil {
			return nil, wrong("owners", quote(c)+" is no correction of "+in.ID+" that is in force")
		}
		if err := line("owners."+c, owner, MaxName); err != nil {
			return nil, err
		}
	}
	if missing := b.Open(in, x.Owners); len(missing) > 0 {
		return nil, &Error{Code: CodeState, Detail: in.ID + " cannot be closed yet", Allowed: missing, Hint: "finish or drop the tasks; lift the corrections, or name an owner for each that stays (owners)"}
	}
	return func() {
		for id, c := range standing {
			c.Owner = x.Owners[id]
		}
		in.end(x.Reason, m)
		in.DuplicateOf = x.Of
	}, nil
}

// fits says whether the typed reason can be true.
func (x *Closed) fits(b *Book, in *Incident) error {
	if (x.Reason == CloseExercise) != (in.Kind == Exercise) {
		if in.Kind == Exercise {
			return wrong("reason", in.ID+" is an exercise", CloseExercise)
		}
		return wrong("reason", in.ID+" is real", Closings[:len(Closings)-1]...)
	}
	if (x.Reason == CloseDuplicate) != (x.Of != "") {
		return wrong("of", "the reason duplicate names the other incident in of, and no other reason does")
	}
	floor := FloorOf(in.Harm)
	switch x.Reason {
	case CloseResolved:
		if in.Status != StatusResolved {
			return &Error{Code: CodeState, Field: "reason", Detail: fmt.Sprintf("%s is %s, not resolved", in.ID, in.Status), Allowed: []string{"status resolved first"}}
		}
	case CloseNoAction:
		if in.Decisions == 0 {
			return &Error{Code: CodeState, Field: "reason", Detail: "not to act is a decision, and none is recorded", Hint: "record the decision first"}
		}
	case CloseNearMiss:
		if in.NearMiss == nil {
			return &Error{Code: CodeState, Field: "reason", Detail: "what stopped it is not recorded", Hint: "record the near miss first: its barrier and its pattern"}
		}
	case CloseDuplicate:
		o := b.incidents[x.Of]
		if o == nil {
			return &Error{Code: CodeNotFound, Field: "of", Detail: "there is no incident " + quote(x.Of)}
		}
		if o.Kind != in.Kind {
			return wrong("of", "an exercise and what is real never meet")
		}
		for o = b.root(o); o != nil; o = b.incidents[o.DuplicateOf] {
			if o == in {
				return wrong("of", quote(x.Of)+" leads back to "+in.ID)
			}
		}
		return nil
	}
	if x.Reason != CloseResolved && x.Reason != CloseNoAction && x.Reason != CloseExercise && floor.Worse(Sev4) {
		return &Error{Code: CodeState, Field: "reason", Detail: fmt.Sprintf("%s holds facts of harm of %s, so it was not %s", in.ID, floor, x.Reason), Hint: "rule the facts out first, with a reason"}
	}
	return nil
}

// Open is what stands against closing: tasks not done, and corrections in force
// without an owner.
func (b *Book) Open(in *Incident, owners map[string]string) []string {
	var out []string
	for _, f := range b.family(in) {
		for _, t := range f.Tasks {
			if t.Status == TaskOpen {
				out = append(out, "task "+t.ID+" of "+f.ID+" done")
			}
		}
		for _, c := range f.Corrections {
			if c.Stands && owners[c.ID] == "" {
				out = append(out, c.ID+" lifted, or an owner for it")
			}
		}
	}
	return out
}

// end closes an incident.
func (in *Incident) end(reason string, m Meta) {
	in.Status, in.Closing, in.ClosedAt = StatusClosed, reason, m.At
	for i := range in.Roles {
		if in.Roles[i].Until.IsZero() {
			in.Roles[i].Until, in.Roles[i].EndedBy = m.At, m.Actor
		}
	}
}

// Reopened takes a closed incident up again. One that was merged is taken out of
// the other.
type Reopened struct {
	Reason    string `json:"reason"`
	Commander string `json:"commander,omitempty"` // default: who reopens it
}

func (Reopened) kind() string { return "incident.reopened" }

func (x Reopened) step(b *Book, in *Incident, m Meta) (func(), error) {
	if in.Status != StatusClosed {
		return nil, &Error{Code: CodeState, Detail: fmt.Sprintf("%s is %s, not closed", in.ID, in.Status), Allowed: names(Next[in.Status])}
	}
	if err := text("reason", x.Reason, MaxReason); err != nil {
		return nil, err
	}
	if err := optional("commander", x.Commander, MaxName); err != nil {
		return nil, err
	}
	who := x.Commander
	if who == "" {
		who = m.Actor
	}
	return func() {
		if into := b.incidents[in.MergedInto]; into != nil {
			into.Merged = slices.DeleteFunc(into.Merged, func(id string) bool { return id == in.ID })
			into.entry(m)
			in.MergedInto = ""
		}
		in.Status, in.Closing, in.ClosedAt, in.DuplicateOf = StatusReopened, "", time.Time{}, ""
		in.Roles = append(in.Roles, RoleHeld{Role: Commander, Operator: who, From: m.At, By: m.Actor})
	}, nil
}
