package main

import (
	"fmt"
	"os"
	"time"
)

// memoryRow holds many live streams and asks what they cost the proxy.
func memoryRow(b *bench) (*result, error) {
	n := pick(b, 5000, 2000)
	if room := (int(b.files) - 1000) / 2; n > room {
		n = room
	}
	f, err := b.contenders("sim")
	if err != nil {
		return nil, err
	}
	req := request(chatPath, f.key, streamBody("tokens=100000 interval=5s"))
	lines := [][]string{{"", "idle", "with " + thousands(int64(n)) + " live streams", "for one stream", "provider's side closed after all clients left"}}
	r := &result{what: "memory a live stream", target: "at most 40 KB"}
	var own float64
	for _, t := range f.targets {
		if t.child == nil || t == f.provider {
			continue
		}
		// A few hundred calls first, so that what every process needs once is there.
		if _, err := oneByOne(t.addr, request(chatPath, f.key, smallBody()), 500); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		before, idle := groupResident(t.child.pid()), memory{}
		if t.name == andon {
			if err := t.child.ask(question{Do: "memory"}, &idle); err != nil {
				return nil, err
			}
		}
		c, err := hold([]string{t.addr}, req, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		time.Sleep(pick(b, 2*time.Second, 500*time.Millisecond)) // events pass meanwhile
		after := groupResident(t.child.pid())
		one := float64(after-before) / float64(n) / 1000
		lines = append(lines, []string{t.name, digits(float64(before)/1e6) + " MB", digits(float64(after)/1e6) + " MB", digits(one) + " KB"})
		if t.name == andon {
			own = one
			var live memory
			err = t.child.ask(question{Do: "memory"}, &live)
			heap, stacks := float64(live.Heap-idle.Heap)/float64(n)/1000, float64(live.Stacks-idle.Stacks)/float64(n)/1000
			r.detail = fmt.Sprintf("\nOf Andon's, %s KB is live heap and %s KB goroutine stacks, after a collection; %s goroutines a stream. The rest is garbage not yet collected and what the runtime keeps.\n",
				digits(heap), digits(stacks), digits(float64(live.Count-idle.Count)/float64(n)))
		}
		if early := c.early.Load(); early > 0 && err == nil {
			err = fmt.Errorf("%d streams ended by themselves", early)
		}
		c.close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		left := time.Now()
		gone, err := drained(f.provider.addr)
		if err != nil {
			return nil, err
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], ms(gone.Sub(left)))
		fmt.Fprint(os.Stderr, ".")
	}
	fmt.Fprint(os.Stderr, " ")
	r.detail = table(lines) + f.missing() + r.detail + "\nResident memory of the process, of all its workers in nginx's case, without the kernel's socket buffers. 1 KB is 1,000 bytes.\n"
	if own == 0 {
		return nil, fmt.Errorf("the resident memory of a process is not known on this system")
	}
	r.measured, r.ratio, r.verdict = digits(own)+" KB", digits(own/40)+" of 40 KB", judge(own <= 40)
	return r, nil
}
