package mcp

// maxBatch is how many messages one batch may hold.
const maxBatch = 64

// ScanBatch finds the messages of a batch (2025-03-26 only; mcp.md E6). Each span is one element, to be scanned on its
// own as span.Of(body) and decided on its own. Each element is JSON, but nothing else about it is known yet. A body
// that is no array, an empty one, one within another and one of more than 64 messages are refused with an *Error.
func ScanBatch(body []byte, limits Limits) ([]Span, error) {
	if limits.Depth <= 0 {
		limits.Depth = DefaultDepth
	}
	limits.Depth++ // the array around the messages
	s := newScanner(body, limits)
	if s.begin(); s.err == nil && s.peek() != '[' {
		s.fail(CodeInvalidRequest, ReasonShape, s.pos, "batch must be a JSON array")
	}
	if s.err != nil {
		return nil, s.err
	}
	var messages []Span
	for more := s.firstElement(); more; more = s.nextElement() {
		if s.space(); s.peek() == '[' {
			s.fail(CodeInvalidRequest, ReasonBatch, s.pos, "batch within a batch")
			break
		}
		if len(messages) == maxBatch {
			s.fail(CodeInvalidRequest, ReasonBatch, s.pos, "batch has more than 64 messages")
			break
		}
		messages = append(messages, s.value())
	}
	if s.err == nil && len(messages) == 0 {
		s.fail(CodeInvalidRequest, ReasonBatch, s.pos, "batch is empty")
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return messages, nil
}
