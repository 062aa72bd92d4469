package mcp

// Edit replaces a span of a body; an empty span inserts before Start.
type Edit struct {
	Span
	With []byte
}

// Splice appends body with its edits to dst. Edits are sorted by position and do not overlap.
func Splice(dst, body []byte, edits ...Edit) []byte {
	at := 0
	for _, edit := range edits {
		dst = append(dst, body[at:edit.Start]...)
		dst = append(dst, edit.With...)
		at = edit.End
	}
	return append(dst, body[at:]...)
}

// nextMember returns where the member after the one that ends here starts, or 0 when it was the last.
func nextMember(body []byte, end int) int {
	if end = skipSpace(body, end); body[end] != ',' {
		return 0
	}
	return skipSpace(body, end+1)
}

// commaBefore returns the offset of the comma before a member, or the member's own when it is the first.
func commaBefore(body []byte, start int) int {
	i := start - 1
	for isSpace(body[i]) {
		i--
	}
	if body[i] == ',' {
		return i
	}
	return start
}

func skipSpace(body []byte, i int) int {
	for isSpace(body[i]) {
		i++
	}
	return i
}

// valueOf returns the value of a member, given from the quote of its name to the end of its value. The name is spelled
// without escapes.
func valueOf(body []byte, member Span, name string) Span {
	colon := skipSpace(body, member.Start+len(name)+2)
	return Span{skipSpace(body, colon+1), member.End}
}

// sortSpans sorts by insertion: there are never more than a handful.
func sortSpans(spans []Span) {
	for i := 1; i < len(spans); i++ {
		for j := i; j > 0 && spans[j].Start < spans[j-1].Start; j-- {
			spans[j], spans[j-1] = spans[j-1], spans[j]
		}
	}
}
