package control

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"andon/incident"
)

// query is the parameters of a list, each given at most once.
type query struct{ url.Values }

func badQuery(name, detail string, allowed ...string) error {
	p := problem("invalid_query", detail)
	p.Field, p.Allowed = name, allowed
	return p
}

// query reads the parameters of a request. One that is not known, or is given
// twice, is refused and named.
func (cl *call) query(known ...string) (query, error) {
	q, err := url.ParseQuery(cl.r.URL.RawQuery)
	if err != nil {
		return query{}, badQuery("", "the query cannot be read: "+err.Error())
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			return query{}, badQuery(short(name), "unknown parameter "+strconv.Quote(short(name)), known...)
		}
		if len(values) != 1 {
			return query{}, badQuery(name, name+" is given "+strconv.Itoa(len(values))+" times; give it once")
		}
		if err := checkLine(name, values[0], 512); err != nil {
			return query{}, err
		}
	}
	return query{q}, nil
}

// number is a parameter in bounds, or what stands for it if it is left out.
func (q query) number(name string, without, least, most int64) (int64, error) {
	if !q.Has(name) {
		return without, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, badQuery(name, fmt.Sprintf("%s is no number from %d to %d", strconv.Quote(short(q.Get(name))), least, most))
	}
	return n, nil
}

// seq is the number of an entry; nil if it is left out.
func (q query) seq(name string) (*uint64, error) {
	if !q.Has(name) {
		return nil, nil
	}
	n, err := strconv.ParseUint(q.Get(name), 10, 64)
	if err != nil {
		return nil, badQuery(name, strconv.Quote(short(q.Get(name)))+" is not the number of an entry")
	}
	return &n, nil
}

// choice is a parameter of a closed set; "" if it is left out.
func (q query) choice(name string, allowed ...string) (string, error) {
	v := q.Get(name)
	if q.Has(name) && !slices.Contains(allowed, v) {
		return "", badQuery(name, strconv.Quote(short(v))+" is not known", allowed...)
	}
	return v, nil
}

// page is which part of a list is asked for: the youngest first, from the one
// before an id.
type page struct{ below, limit int }

const (
	pageOf   = 50
	pageMost = 500
)

func (q query) page(total int) (page, error) {
	limit, err := q.number("limit", pageOf, 1, pageMost)
	p := page{total, int(limit)}
	if err == nil && q.Has("after") {
		n := incident.Number(q.Get("after"))
		if n == 0 {
			return p, badQuery("after", strconv.Quote(short(q.Get("after")))+" is no id of this list")
		}
		p.below = min(total, n-1)
	}
	return p, err
}

func stringsOf[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
