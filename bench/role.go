package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// childArg, as the first argument, makes this program one of its own children.
const childArg = "child"

// roles are what a child can be. Each reads its configuration, starts, and
// returns what to tell the parent and how to stop.
var roles = map[string]func(cfg jsontext.Value) (hello any, stop func(), err error){
	"sim":      simRole,
	"provider": providerRole,
	"goproxy":  goproxyRole,
	"gateway":  gatewayRole,
	"control":  controlRole,
}

// question is what a parent asks of a running child.
type question struct {
	Do   string `json:"do"` // memory | profile | stop-profile
	File string `json:"file,omitempty"`
}

// memory is what a child says of itself, in bytes.
type memory struct {
	Heap   uint64 `json:"heap"`   // live objects, after a collection
	Stacks uint64 `json:"stacks"` // of goroutines
	Count  int    `json:"count"`  // of goroutines
}

// beChild serves the parent until its input ends.
func beChild(role string) error {
	signal.Ignore(syscall.SIGINT) // the parent decides
	raiseFiles()
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	run := roles[role]
	if run == nil {
		return fmt.Errorf("there is no role %q", role)
	}
	hello, stop, err := run(jsontext.Value(line))
	if err != nil {
		return err
	}
	defer stop()
	for answer := hello; ; {
		out, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(append(out, '\n')); err != nil {
			return err
		}
		if line, err = in.ReadBytes('\n'); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return err
		}
		if answer, err = q.answer(); err != nil {
			return err
		}
	}
}

func (q *question) answer() (any, error) {
	switch q.Do {
	case "memory":
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return memory{Heap: m.HeapAlloc, Stacks: m.StackInuse, Count: runtime.NumGoroutine()}, nil
	case "trim":
		debug.FreeOSMemory()
		return true, nil
	case "profile":
		f, err := os.Create(q.File)
		if err != nil {
			return nil, err
		}
		return true, pprof.StartCPUProfile(f)
	case "stop-profile":
		pprof.StopCPUProfile()
		return true, nil
	}
	return nil, fmt.Errorf("unknown question %q", q.Do)
}

// at is the usual hello: where the child listens.
type at struct {
	Addr  string `json:"addr"`
	Admin string `json:"admin,omitempty"`
}
