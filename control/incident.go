package control

import (
	"time"

	"andon/authority"
)

// This room holds signals, cases and incidents.

type incidentState struct{}

var incidentTable = []route{}

var incidentPermits = map[string]authority.Set{}

var incidentCodes = map[string]code{}

var incidentFolds = map[string]foldFunc{}

func incidentClock(c *Control, s *state, early time.Time) []draft { return nil }
