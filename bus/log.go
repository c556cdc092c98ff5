package bus

import (
	"fmt"
	"sync"
)

// firstFatal is the embedded server's log: silent, but it keeps what went wrong
// first, to be told as the error of starting it.
type firstFatal struct {
	mu  sync.Mutex
	err error
}

func (l *firstFatal) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *firstFatal) keep(format string, v []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf(format, v...)
	}
}

func (l *firstFatal) Fatalf(format string, v ...any) { l.keep(format, v) }
func (l *firstFatal) Errorf(format string, v ...any) { l.keep(format, v) }
func (*firstFatal) Noticef(string, ...any)           {}
func (*firstFatal) Warnf(string, ...any)             {}
func (*firstFatal) Debugf(string, ...any)            {}
func (*firstFatal) Tracef(string, ...any)            {}
