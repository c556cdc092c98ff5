package control

import (
	"context"
	"fmt"
	"time"

	"andon/ledger"
	"andon/order"
)

// Whoever holds the control plane's data folder holds the installation: where those
// who would have to agree have lost what they come in with, it lets them in anew.
// What they had ends; they enrol again before their word counts; it alarms, and for
// a week it is said of all that they answer.

const typeReadmitted = "operator.readmitted"

// readmittedBody is a token for enrolling again.
type readmittedBody struct {
	ID    string `json:"id"`
	Token string `json:"token_sha256"` // hex
}

func foldReadmitted(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[readmittedBody](e.Body)
	if err != nil {
		return nil, err
	}
	return s.anew(b.ID, b.Token, e, func(op *operator) { op.first, op.readmitted = true, e.At.UTC() })
}

// Readmit gives an operator, by name or id, a new secret to enrol with, and ends
// the token, the password, the sessions and the API tokens there were.
func (c *Control) Readmit(name string) (id, token string, err error) {
	token, hash := secret(tokenPrefix)
	_, err = c.execute(context.Background(), system, func(s *state, _ time.Time) ([]draft, error) {
		op := s.operatorNamed(name)
		if op == nil {
			op = s.operators[name]
		}
		switch {
		case !op.active():
			return nil, fmt.Errorf("there is no operator of that name")
		case !op.own():
			return nil, fmt.Errorf("the account is the issuer's, which is where it is recovered")
		}
		id = op.id
		return []draft{{typeReadmitted, readmittedBody{id, hash}}}, nil
	})
	if err != nil {
		return "", "", fmt.Errorf("let operator %q in anew: %w", short(name), err)
	}
	return id, token, nil
}
