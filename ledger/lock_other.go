//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package ledger

import (
	"errors"
	"fmt"
)

// lock refuses: without a lock that dies with its process, two writers could
// sign two histories.
func lock(path string) (func() error, error) {
	return nil, fmt.Errorf("lock ledger: %s: no advisory file locks on this system: %w", path, errors.ErrUnsupported)
}
