package control

import (
	"time"

	"andon/authority"
)

// This room holds how a gateway joins, and its credentials.

type joinState struct{}

var joinTable = []route{}

var joinPermits = map[string]authority.Set{}

var joinCodes = map[string]code{}

var joinFolds = map[string]foldFunc{}

func joinClock(c *Control, s *state, early time.Time) []draft { return nil }
