package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// upload is a body that is sent as it is, as it is read.
type upload struct {
	body io.Reader
	size int64 // -1: not known
}

// counting reads and tells how far it has come.
type counting struct {
	r    io.Reader
	n    int64
	size int64
	tick func(string)
}

func (r *counting) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	text := fmt.Sprintf("%.1f MB sent", float64(r.n)/1e6)
	if r.size > 0 {
		text = fmt.Sprintf("%d %% of %.1f MB sent", r.n*100/r.size, float64(r.size)/1e6)
	}
	r.tick(text)
	return n, err
}

// ticker shows how far something is that takes longer than two seconds: on a
// terminal in one line that changes, else in plain lines now and then.
type ticker struct {
	c     *command
	began time.Time
	last  time.Time
	what  string
	mu    sync.Mutex // a body may still be read when its answer is there
	shown bool
	over  bool
}

const tickAfter = 2 * time.Second

func (t *ticker) tick(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, every := time.Now(), 5*time.Second
	if t.c.Terminal {
		every = 200 * time.Millisecond
	}
	if t.over || now.Sub(t.began) < tickAfter || now.Sub(t.last) < every {
		return
	}
	t.last = now
	if t.c.Terminal {
		io.WriteString(t.c.Stderr, "\r\x1b[K")
		fmt.Fprint(clean(t.c.Stderr), shorten(t.what+": "+text, 120))
		t.shown = true
		return
	}
	fmt.Fprintf(clean(t.c.Stderr), "%s: %s\n", t.what, text)
}

// end takes the line away.
func (t *ticker) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.shown {
		io.WriteString(t.c.Stderr, "\r\x1b[K")
	}
}
