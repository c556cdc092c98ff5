package control

import (
	"time"

	"andon/authority"
)

// This room holds the readiness gate: what was observed, findings and waivers.

type readinessState struct{}

var readinessTable = []route{}

var readinessPermits = map[string]authority.Set{}

var readinessCodes = map[string]code{}

var readinessFolds = map[string]foldFunc{}

func readinessClock(c *Control, s *state, early time.Time) []draft { return nil }
