package control

import (
	"time"

	"andon/authority"
)

// This room holds playbooks and their runs.

type playbookState struct{}

var playbookTable = []route{}

var playbookPermits = map[string]authority.Set{}

var playbookCodes = map[string]code{}

var playbookFolds = map[string]foldFunc{}

func playbookClock(c *Control, s *state, early time.Time) []draft { return nil }
