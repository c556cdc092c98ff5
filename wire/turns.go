package wire

import "andon/wire/scan"

// ReadTurns reads an array of messages, of which it needs two things: whether
// one of them is the model's own turn, by the role that the API gives it, and
// the raw bytes of the first. names are the members that a message is checked
// for; they hold "role". A value that is no array is the scanner's to complain of.
func (e *Envelope) ReadTurns(s *scan.Scanner, names *scan.Names, model string) {
	if !s.Array() {
		return
	}
	for n := 0; s.Element(); n++ {
		s.Kind()
		from := s.Offset()
		if s.Object() {
			for name, ok := s.Member(); ok; name, ok = s.Member() {
				if string(name) != "role" {
					s.Other(name, names)
				} else if role, _, _ := s.Text(); role == model {
					e.Prior = true
				}
			}
		}
		if n == 0 && s.Err() == nil {
			e.First = s.Bytes(scan.Span{Start: from, End: s.Offset()})
		}
	}
}
