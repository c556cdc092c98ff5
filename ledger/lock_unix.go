//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// lock takes the lock file at path, which the kernel releases when the process
// ends in whatever way. The file stays: removing it would let two processes
// hold locks on two files of the same name.
func lock(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock ledger: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		owner, _ := io.ReadAll(io.LimitReader(f, 64))
		f.Close()
		return nil, fmt.Errorf("lock ledger: %s is held by process %s: %w", path, strings.TrimSpace(string(owner)), ErrInUse)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock ledger: %s: %w", path, err)
	}
	// The process id is for the message above alone; failing to write it (a full
	// disk) is no reason not to start.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return func() error {
		// Unlocked by hand: a child that is just being forked holds a copy of the
		// descriptor until it execs, and closing ours alone would leave it locked.
		return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
	}, nil
}
