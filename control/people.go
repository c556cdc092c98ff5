package control

import (
	"time"

	"andon/authority"
)

// This room holds people and machines: accounts, tokens, sessions.

type peopleState struct{}

var peopleTable = []route{}

var peoplePermits = map[string]authority.Set{}

var peopleCodes = map[string]code{}

var peopleFolds = map[string]foldFunc{}

func peopleClock(c *Control, s *state, early time.Time) []draft { return nil }

// stepUp is asked for before what cannot be undone: who does it has proved anew,
// a moment ago, who they are.
func (cl *call) stepUp(what string) error { return nil }
