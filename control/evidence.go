package control

import (
	"time"

	"andon/authority"
)

// This room holds evidence snapshots and attachments.

type evidenceState struct{}

var evidenceTable = []route{}

var evidencePermits = map[string]authority.Set{}

var evidenceCodes = map[string]code{}

var evidenceFolds = map[string]foldFunc{}

func evidenceClock(c *Control, s *state, early time.Time) []draft { return nil }
