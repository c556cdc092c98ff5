package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"andon/incident"
)

// Texts are not held in memory: they are looked for where they stand, in the ledger.
// So a search is a bounded piece of work, the youngest incidents first, and says up to
// where it has looked; whoever wants more asks for the next page. It reads what the
// reader's own timeline would show and nothing else, so that neither a hit, nor a
// count, nor how long it takes tells of what the reader may not see.

// Bounds of one page of a search, so that it stays under 50 ms: reading one of several
// neighbours in the ledger counts 1 (some 4 µs), and one alone ten times that.
const (
	searchWork  = 3000 // before the last incident is begun
	searchOfOne = 8000 // in one incident, the youngest entries first
	searchApart = 9    // what an entry that is no neighbour of the one before counts more
)

// foundText is the youngest entry of an incident that holds all the words.
type foundText struct {
	Incident string    `json:"incident"`
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	Type     string    `json:"type"`
	Text     string    `json:"text"`
}

// sought is an incident whose texts are to be looked at.
type sought struct {
	in   *incident.Incident
	want []seek // none: its header holds the words
}

// searchTexts is a page of the incidents that fit, and that hold all words in their
// header or in one entry.
func (c *Control) searchTexts(ctx context.Context, op *operator, words []string, p page, fits func(*incident.Incident) bool) (incidentList, error) {
	list := incidentList{ByStatus: map[string]int{}, Incidents: []incidentRow{}, Searched: new(int), Found: []foundText{}}
	var todo []sought
	work := 0
	c.mu.RLock()
	s := c.state
	r, all := s.readerOf(op), s.book().Incidents()
	for i := p.below - 1; i >= 0; i-- {
		in := all[i]
		if !fits(in) || !s.book().Sees(r, in) {
			continue
		}
		if work >= searchWork {
			list.After = todo[len(todo)-1].in.ID
			break
		}
		x := sought{in: in}
		if !in.Matches(words) {
			one := 0
			for j := len(in.Entries) - 1; j >= 0; j-- {
				if seq := in.Entries[j]; s.book().Tells(r, in, seq) {
					if one >= searchOfOne {
						list.Cut = append(list.Cut, in.ID)
						break
					}
					if one++; len(x.want) == 0 || x.want[len(x.want)-1].seq != seq+1 {
						one += searchApart
					}
					x.want = append(x.want, seek{seq: seq, incident: in.ID, marking: in.MarkingOf(seq)})
				}
			}
			slices.Reverse(x.want)
			*list.Searched += len(x.want)
			work += one
		}
		todo = append(todo, x)
	}
	c.mu.RUnlock()
	var hits []*incident.Incident
	for i, x := range todo {
		if len(hits) == p.limit {
			list.After = todo[i-1].in.ID
			break
		}
		if x.want == nil {
			hits = append(hits, x.in)
			continue
		}
		entries, err := c.readTimeline(ctx, x.want, x.in.ID)
		if err != nil {
			return list, err
		}
		for _, e := range slices.Backward(entries) {
			if standIn(e.Text, words) {
				hits = append(hits, x.in)
				list.Found = append(list.Found, foundText{x.in.ID, e.Seq, e.At, e.Type, e.Text})
				break
			}
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, in := range hits {
		if !c.state.book().Sees(c.state.readerOf(op), in) { // it was taken away meanwhile
			list.Found = slices.DeleteFunc(list.Found, func(f foundText) bool { return f.Incident == in.ID })
			continue
		}
		list.Total++
		list.ByStatus[string(in.Status)]++
		list.Incidents = append(list.Incidents, c.state.shownRow(r, in))
	}
	return list, nil
}

// standIn says whether all words, in lower case, stand in a text.
func standIn(text string, words []string) bool {
	text = strings.ToLower(text)
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
