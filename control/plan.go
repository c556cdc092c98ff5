package control

import (
	"time"

	"andon/authority"
)

// This room holds the plan in force and its versions.

type planState struct{}

var planTable = []route{}

var planPermits = map[string]authority.Set{}

var planCodes = map[string]code{}

var planFolds = map[string]foldFunc{}

func planClock(c *Control, s *state, early time.Time) []draft { return nil }
