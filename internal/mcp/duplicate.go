package mcp

import (
	"bytes"
	"hash/maphash"
)

// memberName is the name of one member, unescaped.
type memberName struct {
	at      int  // offset of the name in the body
	text    Span // of the body, or of the stack's arena
	inArena bool // the name was spelled with escapes
}

// nameStack holds the names of all objects that are open at one moment of a scan, innermost last. Its first entries
// live in the scanner itself, so that an ordinary message costs no allocation. It never holds more names than the body
// has members, so the limit on the body bounds it.
type nameStack struct {
	n     int
	near  [24]memberName
	far   []memberName
	arena []byte       // unescaped names, kept until the scan ends
	table []int32      // scratch of the hashed check
	seed  maphash.Seed // random per scan, against chosen collisions
}

func (t *nameStack) push(body []byte, key Span, escaped bool) {
	name := memberName{at: key.Start, text: key}
	if escaped {
		start := len(t.arena)
		t.arena = appendUnescaped(t.arena, key.Of(body))
		name.text, name.inArena = Span{start, len(t.arena)}, true
	}
	if t.n < len(t.near) {
		t.near[t.n] = name
	} else {
		t.far = append(t.far[:t.n-len(t.near)], name)
	}
	t.n++
}

func (t *nameStack) at(i int) memberName {
	if i < len(t.near) {
		return t.near[i]
	}
	return t.far[i-len(t.near)]
}

func (t *nameStack) bytes(body []byte, i int) []byte {
	name := t.at(i)
	if name.inArena {
		return name.text.Of(t.arena)
	}
	return name.text.Of(body)
}

// pairwiseNames is the size up to which comparing every pair of names beats hashing them.
const pairwiseNames = 16

// checkNames refuses duplicates among the names from base on, which are those of the object that just ended, and
// drops them.
func (s *scanner) checkNames(base int) {
	find := s.names.pairwise
	if s.names.n-base > pairwiseNames {
		find = s.names.hashed
	}
	if duplicate := find(s.b, base); duplicate >= 0 {
		name := s.names.at(duplicate)
		s.fail(CodeInvalidRequest, ReasonDuplicate, name.at, "duplicate member name")
		s.err.in(string(s.names.bytes(s.b, duplicate)))
	}
	s.names.n = base
}

// pairwise returns the index of the first name that repeats one before it, or -1.
func (t *nameStack) pairwise(body []byte, base int) int {
	for i := base + 1; i < t.n; i++ {
		name := t.bytes(body, i)
		for j := base; j < i; j++ {
			if bytes.Equal(name, t.bytes(body, j)) {
				return i
			}
		}
	}
	return -1
}

// hashed does the same in linear time: an open-addressed table of indices, at most half full.
func (t *nameStack) hashed(body []byte, base int) int {
	size := 4 * pairwiseNames
	for size < 2*(t.n-base) {
		size *= 2
	}
	if len(t.table) < size {
		t.table = make([]int32, size)
		t.seed = maphash.MakeSeed()
	}
	table := t.table[:size]
	clear(table)
	for i := base; i < t.n; i++ {
		name := t.bytes(body, i)
		slot := int(maphash.Bytes(t.seed, name)) & (size - 1)
		for ; table[slot] != 0; slot = (slot + 1) & (size - 1) {
			if bytes.Equal(name, t.bytes(body, int(table[slot])-1)) {
				return i
			}
		}
		table[slot] = int32(i + 1)
	}
	return -1
}
