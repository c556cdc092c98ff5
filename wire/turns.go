package wire

import (
	"andon/correction"
	"andon/wire/scan"
)

// ReadTurns reads an array of messages, of which it needs how many there are,
// whose turns they are by their roles, and the raw bytes of the first. names are
// the members that a message is checked for, "role" among them; model is the
// model's role. member reads the others that are decided on, and says whether a
// name is one. A value that is no array is the scanner's to complain of.
func (e *Envelope) ReadTurns(s *scan.Scanner, names *scan.Names, model string, member func(name []byte) bool) {
	if !s.Array() {
		return
	}
	for n := 0; s.Element(); n++ {
		e.Messages++
		s.Kind()
		from, system := s.Offset(), false
		if s.Object() {
			for name, ok := s.Member(); ok; name, ok = s.Member() {
				if string(name) == "role" {
					role, _, _ := s.Text()
					system = e.Turn(role, model)
				} else if !member(name) {
					s.Other(name, names)
				}
			}
		}
		if system {
			e.Instructed(Region{Start: from, End: s.Offset()})
		}
		if n == 0 && s.Err() == nil {
			e.First = s.Bytes(scan.Span{Start: from, End: s.Offset()})
		}
	}
}

// Turn notes whose turn a message is. It reports whether it is a system message.
func (e *Envelope) Turn(role, model string) bool {
	switch role {
	case model:
		e.Prior = true
	case "system", "developer":
		e.Use(correction.SystemPrompt)
		return true
	}
	return false
}

// MaxSystem is how many system texts of a request an envelope tells the places of.
const MaxSystem = 8

// Instructed notes where a system text stands.
func (e *Envelope) Instructed(at Region) {
	if len(e.System) < MaxSystem {
		e.System = append(e.System, at)
	}
}

// ReadTemperature reads the temperature.
func (e *Envelope) ReadTemperature(s *scan.Scanner) {
	v, at, ok := s.Real()
	if e.TempAt = at; ok {
		e.Temperature = v
	}
}

// ReadChoices reads a count of answers.
func (e *Envelope) ReadChoices(s *scan.Scanner) {
	if v, at, ok := s.Count(); ok {
		e.Choices = max(e.Choices, v)
		e.ChoicesAt = append(e.ChoicesAt, at)
	}
}

// ReadForm reads an object that prescribes the answer's form by its member
// "type", which names it in full where it is "text".
func (e *Envelope) ReadForm(s *scan.Scanner, names *scan.Names) {
	if !s.Object() {
		return
	}
	typ := ""
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "type" {
			typ, _, _ = s.Text()
		} else {
			s.Other(name, names)
		}
	}
	if typ != "text" {
		e.Use(correction.StructuredOutput)
	}
}
