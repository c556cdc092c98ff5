package gateway

import "sync/atomic"

// slots bound how many calls a model takes for others, so that the traffic of
// a stopped model does not take its fallback down as well.
type slots struct {
	limit int64
	taken atomic.Int64
}

// take takes one, if one is free. A nil slots has no bound.
func (s *slots) take() bool {
	if s == nil {
		return true
	}
	if s.taken.Add(1) > s.limit {
		s.taken.Add(-1)
		return false
	}
	return true
}

func (s *slots) free() {
	if s != nil {
		s.taken.Add(-1)
	}
}
