package detect

// spans are occurrences found and not reported yet, joined where they overlap,
// in order. What is added never ends before what was added earlier.
type spans struct {
	list []Match
	head int
}

func (q *spans) reset() { q.list, q.head = q.list[:0], 0 }

func (q *spans) add(m Match) {
	for n := len(q.list); n > q.head; n-- {
		last := &q.list[n-1]
		if last.End <= m.Start {
			break
		}
		if last.Start < m.Start {
			last.End = m.End
			return
		}
		q.list = q.list[:n-1]
	}
	if 2*q.head > len(q.list) && len(q.list) == cap(q.list) {
		q.list, q.head = q.list[:copy(q.list, q.list[q.head:])], 0
	}
	q.list = append(q.list, m)
}

// first returns the first one, or nil.
func (q *spans) first() *Match {
	if q.head == len(q.list) {
		q.reset()
		return nil
	}
	return &q.list[q.head]
}
