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
