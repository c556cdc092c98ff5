package control

import (
	"time"

	"andon/authority"
)

// This room holds who may decide what: motions, approvals, ratification, break-glass.

type authorityState struct{}

var authorityTable = []route{}

var authorityPermits = map[string]authority.Set{}

var authorityCodes = map[string]code{}

var authorityFolds = map[string]foldFunc{}

func authorityClock(c *Control, s *state, early time.Time) []draft { return nil }
