package scan

// Word returns the next value if it is a string, and reads over any other.
// Answers are read with it, and with Members and Elements: what has another
// shape than expected there says nothing, and is no error.
func (s *Scanner) Word() string {
	if s.Kind() != '"' {
		s.Skip()
		return ""
	}
	v, _, _ := s.Text()
	return v
}

// Members calls fn with the name of each member of the next value, if it is an
// object; fn has to read the member's value. Any other value is read over.
func (s *Scanner) Members(fn func(name []byte)) {
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		fn(name)
	}
}

// Elements calls fn before each element of the next value, if it is an array;
// fn has to read the element. Any other value is read over.
func (s *Scanner) Elements(fn func()) {
	if s.Kind() != '[' {
		s.Skip()
		return
	}
	s.Array()
	for s.Element() {
		fn()
	}
}
