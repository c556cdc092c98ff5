package gateway

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"andon/correction"
	"andon/order"
)

// works is what calls have begun at providers and what goes on, or is kept there,
// when the call is over: batches, files, fine-tuning jobs, runs, responses in the
// background or stored. It is known from the answers that pass here, kept on disk
// (worksdisk.go), and cancelled where a correction forbids it (worksstop.go).
//
// Of each kind the newest 100,000 are known; those that have ended make room
// first. A work is known to the gateway that began it and to no other.
//
// On disk and in reports an end user is a pseudonym. So after a restart a
// correction reaches works by users that it names, and not by named lists of users or
// expressions over them.
type works struct {
	mu      sync.Mutex
	byID    map[workKey]*list.Element // of *job
	kinds   map[string]*workKind
	changed map[*job]bool // since it was last told
	ending  map[*job]bool // that are to be cancelled, or asked after
	running int

	fresh  atomic.Bool   // something began since works were last judged
	judged atomic.Uint64 // revision under which they were, plus 1
	masked atomic.Pointer[maskedPolicy]
	disk   worksDisk
	pace   time.Duration // of the first retry of a cancellation
	slots  chan struct{} // cancellations at once
}

type workKey struct{ upstream, id string }

// workKind is all works of a kind, in the order in which they began.
type workKind struct{ open, over list.List }

// mostWorks is how many works of one kind are known.
const mostWorks = 100_000

// mostFacts is how many different requests a work is told apart into.
const mostFacts = 64

// job is one thing at a provider. What is exported is kept on disk. Under
// works.mu, but for what is fixed when it begins.
type job struct {
	order.Work
	Wire     string   `json:"wire"`
	Cancel   string   `json:"cancel_path,omitempty"` // "": the provider has no call for it
	Read     string   `json:"read_path,omitempty"`
	Query    string   `json:"query,omitempty"`
	Beta     string   `json:"beta,omitempty"` // of the request that began it, as Anthropic's header says
	Own      bool     `json:"own"`            // in an account that this gateway can speak for
	Facts    []fact   `json:"facts"`
	Screened []string `json:"screened,omitempty"` // corrections whose filters have looked at its texts

	Tier       string   `json:"tier,omitempty"`
	Surface    string   `json:"surface,omitempty"`
	Country    string   `json:"country,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
	UseCases   []string `json:"use_cases,omitempty"`

	users []string // names, until the gateway restarts
	busy  bool     // it is being cancelled, or asked after
	next  time.Time
}

// fact is what is decided on of requests that a work makes, alike ones together.
type fact struct {
	Model      string              `json:"model"`
	Version    string              `json:"version,omitempty"`
	Derivative string              `json:"derivative,omitempty"`
	Features   correction.Features `json:"features,omitzero"`
	Tools      []string            `json:"tools,omitempty"`
	Users      []string            `json:"users,omitempty"` // pseudonyms
	Generates  bool                `json:"generates,omitzero"`
	N          int64               `json:"n"`                // requests
	Unknown    bool                `json:"unknown,omitzero"` // which requests it makes is not known

	Input, Output int64   `json:",omitzero"` // tokens of all, by estimate
	Context       int64   `json:",omitzero"` // of the largest
	Bound         int64   `json:",omitzero"` // the largest output bound; 0: there is one without
	Choices       int64   `json:",omitzero"`
	Messages      int64   `json:",omitzero"`
	Temperature   float64 // the highest; below 0: there is one that says none
	Reasoning     int64   `json:",omitzero"`
	Effort        bool    `json:",omitzero"`

	model *model
	users []string
}

func newWorks() *works {
	return &works{byID: map[workKey]*list.Element{}, kinds: map[string]*workKind{}, changed: map[*job]bool{}, ending: map[*job]bool{}, pace: time.Second, slots: make(chan struct{}, 4)}
}

// over reports whether nothing of the work runs.
func (w *job) over() bool { return w.State != order.WorkRunning && w.State != order.WorkCancelling }

func (k *workKind) list(over bool) *list.List {
	if over {
		return &k.over
	}
	return &k.open
}

// put makes a work known, or replaces the one of its id.
func (s *works) put(w *job) {
	s.mu.Lock()
	s.putLocked(w)
	s.changed[w] = true
	over := w.over()
	s.mu.Unlock()
	if !over {
		s.fresh.Store(true)
	}
}

func (s *works) putLocked(w *job) {
	key := workKey{w.Upstream, w.ID}
	s.dropLocked(key)
	k := s.kinds[w.Kind]
	if k == nil {
		k = &workKind{}
		s.kinds[w.Kind] = k
	}
	if k.open.Len()+k.over.Len() >= mostWorks {
		oldest := k.over.Front()
		if oldest == nil {
			oldest = k.open.Front()
		}
		old := oldest.Value.(*job)
		s.dropLocked(workKey{old.Upstream, old.ID})
	}
	s.byID[key] = k.list(w.over()).PushBack(w)
	if !w.over() {
		s.running++
	}
	s.endLocked(w)
}

// endLocked notes whether something is left to be done to end a work.
func (s *works) endLocked(w *job) {
	if w.Stop == order.StopPending || w.Stop == order.StopFailing || w.Stop == order.StopCancelled && w.State == order.WorkCancelling {
		s.ending[w] = true
	} else {
		delete(s.ending, w)
	}
}

func (s *works) dropLocked(key workKey) *job {
	e := s.byID[key]
	if e == nil {
		return nil
	}
	w := e.Value.(*job)
	s.kinds[w.Kind].list(w.over()).Remove(e)
	if delete(s.byID, key); !w.over() {
		s.running--
	}
	delete(s.changed, w)
	delete(s.ending, w)
	return w
}

// find returns the work of an id.
func (s *works) find(upstream, id string) *job {
	if id == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[workKey{upstream, id}]; e != nil {
		return e.Value.(*job)
	}
	return nil
}

// change changes a work and keeps it in its place.
func (s *works) change(w *job, f func()) {
	s.mu.Lock()
	key := workKey{w.Upstream, w.ID}
	e := s.byID[key]
	if e == nil || e.Value.(*job) != w { // forgotten meanwhile
		s.mu.Unlock()
		return
	}
	was := w.over()
	f()
	w.Changed = time.Now().UTC()
	if is := w.over(); is != was {
		k := s.kinds[w.Kind]
		k.list(was).Remove(e)
		s.byID[key] = k.list(is).PushBack(w)
		if is {
			s.running--
		} else {
			s.running++
		}
	}
	s.endLocked(w)
	s.changed[w] = true
	s.mu.Unlock()
	s.disk.save(s, w)
}

func (s *works) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// open lists what runs.
func (s *works) open() (all []*job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds {
		for e := k.open.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*job))
		}
	}
	return all
}

// answer lists what is asked for, the newest first, what runs before the rest.
func (s *works) answer(q *order.WorksAsk) (a order.WorksAnswer) {
	a.Works, a.States, a.Stops = []order.Work{}, map[string]int{}, map[string]int{}
	if r := s.judged.Load(); r > 0 {
		a.Revision = r - 1
	}
	limit := order.MaxWorks
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, over := range [...]bool{false, true} {
		for _, k := range s.kinds {
			for e := k.list(over).Back(); e != nil; e = e.Prev() {
				w := e.Value.(*job)
				if q.State != "" && q.State != w.State || q.Kind != "" && q.Kind != w.Kind || q.Org != "" && q.Org != w.Org ||
					q.Correction != "" && q.Correction != w.Correction || q.Model != "" && !slices.Contains(w.Models, q.Model) {
					continue
				}
				a.Total++
				a.States[w.State]++
				if w.Stop != "" {
					a.Stops[w.Stop]++
				}
				if len(a.Works) < 4*limit {
					a.Works = append(a.Works, w.Work)
				}
			}
		}
	}
	slices.SortStableFunc(a.Works, func(x, y order.Work) int { return y.Created.Compare(x.Created) })
	a.Works = slices.Clip(a.Works[:min(len(a.Works), limit)])
	return a
}

// told takes out what has changed since it was last told.
func (s *works) told(most int) (out []order.Work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.changed {
		if len(out) == most {
			break
		}
		delete(s.changed, w)
		if w.Kind != kindResponse && w.Kind != kindFile || w.Stop != "" { // of what only lies there, nobody needs to hear
			out = append(out, w.Work)
		}
	}
	return out
}

// The kinds of works.
const (
	kindBatch      = "batch"
	kindFile       = "file"
	kindJob        = "fine_tuning_job"
	kindBackground = "background_response"
	kindResponse   = "response"
	kindRun        = "run"
	kindMedia      = "media" // pictures and video that are made in the background
	kindSession    = "realtime_session"
	kindCache      = "cached_content"
)

// request fills q with what is decided on of one fact of the work. named says
// that its users are names and no pseudonyms.
func (w *job) request(q *correction.Request, f *fact) (named bool) {
	*q = correction.Request{Org: w.Org, Key: w.Key, Tier: w.Tier, Surface: w.Surface, Country: w.Country, Attributes: w.Attributes, UseCases: w.UseCases}
	users, own := w.Users, f.Users
	if named = len(w.users) == len(w.Users) && len(f.users) == len(f.Users); named {
		users, own = w.users, f.users
	}
	q.Users = slices.Concat(users, own)
	q.Users = q.Users[:min(len(q.Users), 4)]
	if named {
		for _, u := range q.Users {
			if folded := correction.FoldUser(u); folded != u && folded != "" {
				q.Folded = append(q.Folded, folded)
			}
		}
	}
	f.fill(q)
	return named
}

// fill adds to q what a fact says of requests.
func (f *fact) fill(q *correction.Request) {
	q.Model, q.Version, q.Derivative = f.Model, f.Version, f.Derivative
	q.Features, q.Optional, q.Tools, q.OptionalTools, q.Generates = f.Features, 0, f.Tools, nil, f.Generates
	q.Brings = true
	q.InputTokens, q.OutputTokens, q.Choices, q.Messages = f.Context, f.Bound, f.Choices, f.Messages
	q.Temperature, q.Reasoning, q.Effort = f.Temperature, f.Reasoning, f.Effort
}
