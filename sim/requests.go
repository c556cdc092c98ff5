package sim

import (
	"math"
	"net/http"
	"time"
)

// Request is one journalled request, as GET /_sim/requests tells it.
type Request struct {
	Seq    uint64 // from 1, since the start or the last reset
	At     time.Time
	Method string
	Path   string // escaped, as sent
	Query  string
	Proto  string
	Header http.Header // read only, keys included
	Body   []byte      // read only
	Status int         // 0 until the answer begins
	Tokens int64       // said so far
	Ended  string      // "" while open, "complete", "client_gone", "cut" or "stopped"
}

// Requests returns what the journal holds, newest last. It is for tests that
// run the simulation in their own process.
func (s *Sim) Requests() []Request {
	kept := s.journal.list(0, math.MaxInt)
	out := make([]Request, len(kept))
	for i, e := range kept {
		out[i] = Request{Seq: e.seq, At: e.at, Method: e.method, Path: e.path, Query: e.query, Proto: e.proto, Header: e.header,
			Body: e.body, Status: int(e.status.Load()), Tokens: e.tokens.Load(), Ended: endNames[e.end.Load()]}
	}
	return out
}
