package mcp

import "cmp"

// patch replaces a span of a body, or inserts before it when it is empty: a comma if asked, the key, and one of the two
// values. What it writes is made while it is written, so that a rewrite needs no memory but the message's own.
type patch struct {
	Span
	comma bool
	key   string // as it stands, with its colon
	raw   []byte // a value as it stands
	text  string // or a string that is still to be quoted
}

func (p *patch) appendTo(dst []byte) []byte {
	if p.comma {
		dst = append(dst, ',')
	}
	dst = append(dst, p.key...)
	if p.text != "" {
		return AppendString(dst, p.text)
	}
	return append(dst, p.raw...)
}

// apply appends body with its patches to dst. At one position insertions go first, in the order they were made.
func apply(dst, body []byte, patches []patch) []byte {
	sortPatches(patches)
	at := 0
	for i := range patches {
		p := &patches[i]
		dst = append(dst, body[at:p.Start]...)
		dst = p.appendTo(dst)
		at = p.End
	}
	return append(dst, body[at:]...)
}

// sortPatches sorts by insertion: patches come as a few runs that are in order already, the long one first.
func sortPatches(patches []patch) {
	for i := 1; i < len(patches); i++ {
		p, j := patches[i], i
		for ; j > 0 && comparePatches(&p, &patches[j-1]) < 0; j-- {
			patches[j] = patches[j-1]
		}
		patches[j] = p
	}
}

func comparePatches(a, b *patch) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
}

// inserter puts members at the front of one object.
type inserter struct {
	at    int    // behind the object's bracket, or where the object itself goes
	open  string // what makes the object, when it is not there
	close string
	some  bool // a member has been put
}

// into returns an inserter for an object that is there.
func into(object Span) inserter { return inserter{at: object.Start + 1} }

func (i *inserter) add(patches []patch, key string, raw []byte, text string) []patch {
	span := Span{i.at, i.at}
	if !i.some && i.open != "" {
		patches = append(patches, patch{Span: span, key: i.open})
	}
	patches = append(patches, patch{Span: span, comma: i.some, key: key, raw: raw, text: text})
	i.some = true
	return patches
}

// end finishes the object, in which so many members are left that were there before.
func (i *inserter) end(patches []patch, others int) []patch {
	if !i.some {
		return patches
	}
	tail := i.close
	if others > 0 {
		tail = ","
	}
	return append(patches, patch{Span: Span{i.at, i.at}, key: tail})
}

// cut appends the patches that remove members from one object together with the commas that they leave over. Members
// go from the quote of the name to the end of the value; cut sorts them, and cuts neighbours as one.
func cut(patches []patch, body []byte, members []Span) []patch {
	sortSpans(members)
	for i := 0; i < len(members); {
		first, last := members[i], members[i]
		next := nextMember(body, last.End)
		for i++; i < len(members) && members[i].Start == next; i++ {
			last = members[i]
			next = nextMember(body, last.End)
		}
		gone := Span{first.Start, next}
		if next == 0 {
			gone = Span{commaBefore(body, first.Start), last.End}
		}
		patches = append(patches, patch{Span: gone})
	}
	return patches
}
