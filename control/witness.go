package control

import (
	"andon/authority"
)

// This room holds who has seen which checkpoint of the ledger.

type witnessState struct{}

var witnessTable = []route{}

var witnessPermits = map[string]authority.Set{}

var witnessCodes = map[string]code{}

var witnessFolds = map[string]foldFunc{}
