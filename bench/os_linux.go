package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// ownGroup puts a child into a process group of its own, and has it ended when
// this process dies without stopping it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

// ownTime is the processor time that this process has used, user and system.
func ownTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raiseFiles takes as many open files as the system allows, and returns how
// many that is.
func raiseFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	}
	return l.Cur
}

// group visits the processes of a group that are still there, with the fields
// of their stat file from the state on, and their folder in /proc.
func group(pgid int, visit func(stat []string, dir string)) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		i := bytes.LastIndexByte(data, ')') // the name before it may hold anything
		if f := strings.Fields(string(data[i+1:])); len(f) > 12 && f[2] == strconv.Itoa(pgid) {
			visit(f, filepath.Dir(name))
		}
	}
}

// groupTime is the processor time that a process group has used, user and system.
func groupTime(pgid int) time.Duration {
	const hertz = 100 // USER_HZ, the same on every Linux
	var ticks int64
	group(pgid, func(stat []string, _ string) {
		user, _ := strconv.ParseInt(stat[11], 10, 64)
		system, _ := strconv.ParseInt(stat[12], 10, 64)
		ticks += user + system
	})
	return time.Duration(ticks) * time.Second / hertz
}

// groupResident is the memory of a process group that is in RAM, in bytes.
func groupResident(pgid int) uint64 {
	var pages uint64
	group(pgid, func(_ []string, dir string) {
		data, err := os.ReadFile(filepath.Join(dir, "statm"))
		if f := strings.Fields(string(data)); err == nil && len(f) > 1 {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			pages += n
		}
	})
	return pages * uint64(os.Getpagesize())
}

// stampReads has the kernel note when bytes arrive. On loopback that is when
// the other side wrote them, however long the reader then waits for a core.
func stampReads(rc syscall.RawConn) {
	rc.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1) })
}

// readStamped reads what is there, and when the last of it arrived, in Unix ns.
func readStamped(fd int, b []byte) (n int, stamp int64, err error) {
	var oob [64]byte
	n, oobn, _, _, err := syscall.Recvmsg(fd, b, oob[:], syscall.MSG_DONTWAIT)
	if err != nil || oobn < syscall.CmsgLen(16) {
		return n, 0, err
	}
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&oob[0]))
	if h.Level == syscall.SOL_SOCKET && h.Type == syscall.SCM_TIMESTAMPNS {
		t := (*syscall.Timespec)(unsafe.Pointer(&oob[syscall.CmsgLen(0)]))
		stamp = t.Nano()
	}
	return n, stamp, nil
}
