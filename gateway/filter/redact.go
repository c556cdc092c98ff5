package filter

import (
	"bytes"
	"iter"
	"slices"

	"andon/wire"
	"andon/wire/scan"
)

// within says whether data is a part of event.
func within(data, event []byte) bool {
	_, ok := place(data, event)
	return ok
}

// place is where data stands in event, if it is a part of it: both end with the
// same memory then.
func place(data, event []byte) (at int, ok bool) {
	at = cap(event) - cap(data)
	if at < 0 || at+len(data) > len(event) || len(data) == 0 {
		return 0, false
	}
	return at, &event[at] == &data[0]
}

// redacts says whether something in the event has to be redacted.
func (s *Stream) redacts(e *waiting) bool {
	for i := range s.recs[s.rec : s.rec+e.recs] {
		if s.recs[s.rec+i].redacted() >= 0 {
			return true
		}
	}
	return false
}

// redacted is the rule that has something of the piece redacted, or -1.
func (r *rec) redacted() int {
	for _, u := range r.c.runs {
		if u.start < r.end && u.end > r.start {
			return u.rule
		}
	}
	return -1
}

// rewrite appends the event to s.out with its texts redacted. If one of them
// cannot be, it says by which rule it should have been.
func (s *Stream) rewrite(e *waiting, event []byte) (rule int, kind wire.PieceKind) {
	recs := slices.Clone(s.recs[s.rec : s.rec+e.recs])
	recs = slices.DeleteFunc(recs, func(r rec) bool { return r.redacted() < 0 })
	for i := range recs {
		if r := &recs[i]; r.fixed || e.spelled {
			return r.redacted(), r.c.kind
		}
	}
	slices.SortFunc(recs, func(a, b rec) int { return a.at.Start - b.at.Start })
	data, _ := s.data(event)
	var fresh []byte
	from := 0
	for i := range recs {
		r := &recs[i]
		fresh = append(fresh, data[from:r.at.Start]...)
		s.text = scan.AppendText(s.text[:0], data[r.at.Start:r.at.End])
		fresh = wire.AppendString(fresh, string(r.redact(s.text)))
		from = r.at.End
	}
	fresh = append(fresh, data[from:]...)
	if at, ok := place(data, event); ok {
		s.out = append(append(append(s.out, event[:at]...), fresh...), event[at+len(data):]...)
	} else {
		s.out = appendLines(s.out, event, fresh)
	}
	return -1, 0
}

// redact returns the piece's text with Marker in the place of each run that
// begins in it, and nothing in the place of one that began before.
func (r *rec) redact(text []byte) (out []byte) {
	at := r.start
	for _, u := range r.c.runs {
		if u.end <= r.start || u.start >= r.end {
			continue
		}
		if u.start >= r.start {
			out = append(out, text[at-r.start:u.start-r.start]...)
			out = append(out, Marker...)
		}
		at = min(u.end, r.end)
	}
	return append(out, text[at-r.start:]...)
}

// appendLines appends an event whose data has several lines with other data: its
// other lines stay, and the data follows them.
func appendLines(dst, event, data []byte) []byte {
	lines := func(b []byte) iter.Seq[[]byte] {
		return bytes.FieldsFuncSeq(b, func(r rune) bool { return r == '\n' || r == '\r' })
	}
	for line := range lines(bytes.TrimPrefix(event, []byte("\xef\xbb\xbf"))) {
		if !bytes.Equal(line, []byte("data")) && !bytes.HasPrefix(line, []byte("data:")) {
			dst = append(append(dst, line...), '\n')
		}
	}
	for line := range lines(data) {
		dst = append(append(append(dst, "data: "...), line...), '\n')
	}
	return append(dst, '\n')
}
