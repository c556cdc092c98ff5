package control

import (
	"time"

	"andon/authority"
)

// This room holds decisions and their record.

type decisionState struct{}

var decisionTable = []route{}

var decisionPermits = map[string]authority.Set{}

var decisionCodes = map[string]code{}

var decisionFolds = map[string]foldFunc{}

func decisionClock(c *Control, s *state, early time.Time) []draft { return nil }
