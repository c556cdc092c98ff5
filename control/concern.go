package control

import (
	"andon/authority"
)

// This room holds the concern channel.

type concernState struct{}

var concernTable = []route{}

var concernPermits = map[string]authority.Set{}

var concernCodes = map[string]code{}

var concernFolds = map[string]foldFunc{}
