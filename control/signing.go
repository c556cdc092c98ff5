package control

import (
	"andon/authority"
)

// This room holds the keys that sign orders, and their rotation.

type signingState struct{}

var signingTable = []route{}

var signingPermits = map[string]authority.Set{}

var signingCodes = map[string]code{}

var signingFolds = map[string]foldFunc{}
