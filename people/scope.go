package people

import (
	"fmt"
	"slices"
	"strings"
)

// Scopes are the actions that a token may be used for: "correction.create", or all
// below a word: "correction.*". None allow nothing.
type Scopes []string

// The bounds of scopes.
const (
	MaxScopes   = 32
	maxScopeLen = 64
)

// ParseScopes reads scopes. Each has to reach one of the actions that there are.
func ParseScopes(names []string, actions []string) (Scopes, error) {
	if len(names) == 0 || len(names) > MaxScopes {
		return nil, fmt.Errorf("%d scopes; give 1 to %d, such as correction.create or correction.*", len(names), MaxScopes)
	}
	for _, n := range names {
		if len(n) > maxScopeLen || !slices.ContainsFunc(actions, Scopes{n}.Allow) {
			if len(n) > maxScopeLen {
				n = n[:maxScopeLen]
			}
			return nil, fmt.Errorf("%q reaches no action; name one, or all below a word: correction.*", n)
		}
	}
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Allow says whether an action is within the scopes.
func (s Scopes) Allow(action string) bool {
	for _, one := range s {
		if head, below := strings.CutSuffix(one, ".*"); one == action || below && head != "" && strings.HasPrefix(action, head+".") {
			return true
		}
	}
	return false
}
