package control

import (
	"time"

	"andon/authority"
)

// This room holds the way back to the exact prior state.

type restoreState struct{}

var restoreTable = []route{}

var restorePermits = map[string]authority.Set{}

var restoreCodes = map[string]code{}

var restoreFolds = map[string]foldFunc{}

func restoreClock(c *Control, s *state, early time.Time) []draft { return nil }
