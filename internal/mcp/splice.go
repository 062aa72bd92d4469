package mcp

import (
	"cmp"
	"slices"
)

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

// spliceSorted is Splice for edits in any order. At one position the insertion goes first.
func spliceSorted(dst, body []byte, edits []Edit) []byte {
	slices.SortStableFunc(edits, func(a, b Edit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
	return Splice(dst, body, edits...)
}

// cutMembers appends the edits that remove members from one object together with the commas that they leave over.
// Members are sorted, from the quote of the name to the end of the value; neighbours are cut as one.
func cutMembers(edits []Edit, body []byte, members []Span) []Edit {
	for i := 0; i < len(members); {
		first, last := members[i], members[i]
		next := nextMember(body, last.End)
		for i++; i < len(members) && members[i].Start == next; i++ {
			last = members[i]
			next = nextMember(body, last.End)
		}
		cut := Span{first.Start, next}
		if next == 0 {
			cut = Span{commaBefore(body, first.Start), last.End}
		}
		edits = append(edits, Edit{Span: cut})
	}
	return edits
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

func sortSpans(spans []Span) {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
}
