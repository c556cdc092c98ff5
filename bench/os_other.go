//go:build !linux

package main

import (
	"syscall"
	"time"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

func raiseFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	l.Cur = l.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return uint64(l.Cur)
}

// groupTime is not known here.
func groupTime(int) time.Duration { return 0 }

// groupResident is not known here.
func groupResident(int) uint64 { return 0 }

func stampReads(syscall.RawConn) {}

// readStamped reads what is there; when it arrived is not known here.
func readStamped(fd int, b []byte) (n int, stamp int64, err error) {
	n, err = syscall.Read(fd, b)
	return n, 0, err
}

// ownTime is the processor time that this process has used, user and system.
func ownTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
