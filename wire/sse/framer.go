// Package sse finds the events in a stream of server-sent events (WHATWG HTML,
// section 9.2) without changing a byte of it.
//
// A Framer says where events end, so that a stream can be forwarded and cut at
// their boundaries, however the chunks it came in were split; Data says what an
// event carries. Neither copies nor allocates for events of one data line,
// which is what providers send. Lines end with LF, CRLF or CR, in any mixture.
package sse

import "bytes"

// Framer finds the ends of events. The zero value stands at the start of a
// stream. One goroutine uses it at a time.
type Framer struct {
	mid   bool // the current line has bytes already
	cr    bool // the last byte was a CR that ended a line: an LF now belongs to it
	ended bool // that CR ended an event
}

// Frame takes the next bytes of the stream and returns how many of them
// complete the event at hand, or 0 if all of them belong to an event that is
// still going on. After n > 0, call it again with b[n:]; after 0, with the bytes
// that come next. An empty line is the end of an event even if the event is
// empty or holds nothing but comments.
//
// A CR at the end of b that ends an event is reported at once. Should an LF
// follow it, that LF is reported as an event of its own, without data.
func (f *Framer) Frame(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	i := 0
	if f.cr {
		f.cr = false
		if b[0] == '\n' {
			if f.ended {
				return 1
			}
			i = 1
		}
	}
	lf := -1 // the next LF at or after i, len(b) if there is none
	for i < len(b) {
		if lf < i {
			if lf = bytes.IndexByte(b[i:], '\n'); lf < 0 {
				lf = len(b)
			} else {
				lf += i
			}
		}
		end := lf
		if cr := bytes.IndexByte(b[i:lf], '\r'); cr >= 0 {
			end = i + cr
		}
		if end == len(b) {
			f.mid = true
			return 0
		}
		empty := !f.mid && end == i
		f.mid = false
		i = end + 1
		if b[end] == '\r' {
			if i == len(b) {
				f.cr, f.ended = true, empty
			} else if b[i] == '\n' {
				i++
			}
		}
		if empty {
			return i
		}
	}
	return 0
}

// Data returns what the event carries: the values of its data lines, joined by
// LF. ok is false if it has no data line, so that it dispatches nothing. The
// result is part of event if that has one data line, else it is built in dst.
// A byte order mark before the first line is skipped.
func Data(event, dst []byte) (data []byte, ok bool) {
	lines := 0
	eachLine(event, func(field, value []byte) {
		if string(field) != "data" {
			return
		}
		switch lines++; lines {
		case 1:
			data = value
		case 2:
			dst = append(append(append(dst[:0], data...), '\n'), value...)
			data = dst
		default:
			dst = append(append(dst, '\n'), value...)
			data = dst
		}
	})
	return data, lines > 0
}

// Beside appends the lines of an event that are not its data, as they are: its
// name and id, comments, and what is no field at all.
func Beside(event, dst []byte) []byte {
	eachLine(event, func(field, value []byte) {
		if string(field) == "data" {
			return
		}
		dst = append(append(append(append(dst, field...), ':'), value...), '\n')
	})
	return dst
}

// Type returns the event's type, nil if it names none.
func Type(event []byte) (typ []byte) {
	eachLine(event, func(field, value []byte) {
		if string(field) == "event" {
			typ = value
		}
	})
	return typ
}

func eachLine(event []byte, fn func(field, value []byte)) {
	event = bytes.TrimPrefix(event, []byte("\xef\xbb\xbf"))
	for len(event) > 0 {
		end, next := len(event), len(event)
		if i := bytes.IndexByte(event, '\n'); i >= 0 {
			end, next = i, i+1
		}
		if i := bytes.IndexByte(event[:end], '\r'); i >= 0 {
			if i+1 != end || end == len(event) {
				next = i + 1 // a CR of its own
			}
			end = i
		}
		line := event[:end]
		event = event[next:]
		if len(line) == 0 {
			continue
		}
		field, value := line, []byte{}
		if i := bytes.IndexByte(line, ':'); i >= 0 {
			field, value = line[:i], line[i+1:]
			if len(value) > 0 && value[0] == ' ' {
				value = value[1:]
			}
		}
		fn(field, value)
	}
}
