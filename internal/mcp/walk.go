package mcp

// Members calls visit with the name (unescaped) and the value of each member of a JSON object, in order. Spans point
// into raw. The object is scanned strictly, as far as visit lets it; an error of visit ends the walk and is returned.
// A fault may come after some visits, so that whoever gets an error must forget what was visited.
func Members(raw []byte, visit func(name string, value Span) error) error {
	s := newScanner(raw, Limits{})
	if s.begin(); s.err == nil && s.peek() != '{' {
		s.fail(CodeInvalidRequest, ReasonShape, s.pos, "expected a JSON object")
	}
	if s.err != nil {
		return s.err
	}
	o := s.open()
	for s.next(&o) {
		value := s.value()
		if s.err != nil {
			s.err.in(string(o.key.Of(raw)))
			break
		}
		if err := visit(o.name(raw), value); err != nil {
			return err
		}
	}
	return s.finish()
}

// Elements calls visit with each element of a JSON array, in order, under the terms of Members.
func Elements(raw []byte, visit func(element Span) error) error {
	s := newScanner(raw, Limits{})
	if s.begin(); s.err == nil && s.peek() != '[' {
		s.fail(CodeInvalidRequest, ReasonShape, s.pos, "expected a JSON array")
	}
	if s.err != nil {
		return s.err
	}
	for more := s.firstElement(); more; more = s.nextElement() {
		element := s.value()
		if s.err != nil {
			break
		}
		if err := visit(element); err != nil {
			return err
		}
	}
	return s.finish()
}

// finish ends a scan and returns its error as an interface that is nil when there is none.
func (s *scanner) finish() error {
	if s.end(); s.err != nil {
		return s.err
	}
	return nil
}

// name returns the unescaped name of the member at hand.
func (o *object) name(body []byte) string {
	key := o.key.Of(body)
	if o.escaped {
		return string(appendUnescaped(nil, key))
	}
	return string(key)
}

// lookUp returns the value of a member of an object that has been accepted, or an empty span.
func lookUp(body []byte, in Span, name string) Span {
	s := within(body, in)
	o := s.open()
	for s.next(&o) {
		value := s.value()
		if string(o.key.Of(body)) == name {
			return value
		}
	}
	return Span{}
}

// within returns a scanner that stands before a value of a body that has been accepted.
func within(body []byte, value Span) scanner {
	s := newScanner(body[:value.End], Limits{Depth: len(body)})
	s.pos = value.Start
	return s
}

// pick files the values of an object that has been accepted: found[i] is that of names[i], or empty. It holds the names
// of the object to guardName.
func pick(body []byte, in Span, names []string, found []Span) *Error {
	s := within(body, in)
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, names); s.err != nil {
			break
		}
		key, value := o.key.Of(body), s.value()
		for i, name := range names {
			if string(key) == name {
				found[i] = value
			}
		}
	}
	return s.err
}
