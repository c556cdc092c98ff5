package control

import (
	"time"

	"andon/authority"
)

// This room holds dependants, terms and the published correction policy.

type termsState struct{}

var termsTable = []route{}

var termsPermits = map[string]authority.Set{}

var termsCodes = map[string]code{}

var termsFolds = map[string]foldFunc{}

func termsClock(c *Control, s *state, early time.Time) []draft { return nil }
