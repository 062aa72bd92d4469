package gate

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/memfile"
	"github.com/warder-gateway/warder/internal/mcp"
)

// List is what one of the four list methods answers to a profile at one endpoint
// and in one era, in pages. It is immutable.
type List struct {
	digest  [8]byte
	entries []*Entry
	starts  []int32 // of each entry's definition, in the items of its page
	pages   []page
	size    int // of all pages, in bytes
}

// page has the entries from one to before another, as a JSON array.
type page struct {
	from, to int
	items    []byte // with Ending
	source   *memfile.Source
	next     *Cursor
}

// Page is a part of a list. Nobody changes its bytes.
type Page struct {
	// Items is a JSON array of definitions.
	Items []byte
	// Ended is Items with Ending after them.
	Ended []byte
	// Source has Ended, and so Items; nil: they are small, or were made for this one answer.
	Source *memfile.Source
	// Next names the page that follows; nil on the last. Nobody changes it.
	Next *Cursor
}

// Ending is what follows a list in the last page's answer, where it is the last member of the result, and that the last
// member of the message: it lies with the list, so that both leave as one.
const Ending = "}}"

// Cursor names a page of a list.
type Cursor struct {
	// Digest is that of the list.
	Digest [8]byte
	// Page is the number of the page, from 0.
	Page int
	// Last says where the page before ends, for lists that have changed since; at
	// most a few hundred bytes.
	Last string
}

// Page returns the page that a cursor names, nil for the first. A cursor of
// another list, as it was before a change for example, names what comes after the
// last entry that its holder saw. It is false for a cursor that no list can have
// made.
func (l *List) Page(c *Cursor) (Page, bool) {
	switch {
	case c == nil:
		return l.page(0), true
	case c.Digest != l.digest:
		return l.after(c.Last)
	case c.Page < 0 || c.Page >= len(l.pages):
		return Page{}, false
	}
	return l.page(c.Page), true
}

func (l *List) page(number int) Page {
	p := &l.pages[number]
	return pageOf(p.items, p.source, p.next)
}

// pageOf returns a page of these bytes, which end with Ending.
func pageOf(ended []byte, source *memfile.Source, next *Cursor) Page {
	return Page{Items: ended[:len(ended)-len(Ending)], Ended: ended, Source: source, Next: next}
}

// after returns the rest of the page on which the first entry after a place
// stands.
func (l *List) after(last string) (Page, bool) {
	at, ok := parsePlace(last)
	if !ok {
		return Page{}, false
	}
	first, _ := slices.BinarySearchFunc(l.entries, at, func(e *Entry, at place) int {
		return cmp.Or(e.place().compare(at), -1)
	})
	number, found := slices.BinarySearchFunc(l.pages, first, func(p page, first int) int { return cmp.Compare(p.from, first) })
	switch {
	case first == len(l.entries):
		return pageOf([]byte("[]"+Ending), nil, nil), true
	case found:
		return l.page(number), true
	}
	whole := l.page(number - 1)
	return pageOf(append([]byte{'['}, whole.Ended[l.starts[first]:]...), nil, whole.Next), true
}

// place is where an entry stands in the order of lists.
type place struct {
	server   string
	position uint32
	name     string
}

// maxPlace is how much of a name tells two entries at the same position apart.
const maxPlace = 128

func (e *Entry) place() place {
	return place{e.Server.Name(), e.position, e.Name[:min(len(e.Name), maxPlace)]}
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.server, q.server), cmp.Compare(p.position, q.position), cmp.Compare(p.name, q.name))
}

func (p place) String() string {
	return p.server + "/" + strconv.FormatUint(uint64(p.position), 10) + "/" + p.name
}

func parsePlace(text string) (p place, ok bool) {
	server, rest, _ := strings.Cut(text, "/")
	number, name, ok := strings.Cut(rest, "/")
	position, err := strconv.ParseUint(number, 10, 32)
	return place{server, uint32(position), name}, ok && err == nil
}

// List returns what the profile's callers see at the endpoint of one server, or
// at the aggregate if server is nil: exactly what they may use there. Definitions
// are as the server sent them, under the exposed names on the aggregate; legacy
// clients get them without what they cannot read.
func (p *Profile) List(what ListKind, server *Server, era mcp.Era) *List {
	if what >= lists {
		return emptyList
	}
	seen := p.view(server)
	if !seen.eras.has(what) {
		era = 0 // The same for all.
	}
	key := listKey{what, server, era}
	p.mu.Lock()
	list := p.lists[key]
	p.mu.Unlock()
	if list != nil {
		return list
	}
	list, kept := p.index.lists.get(p, key, seen.digests[what])
	if kept {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.lists == nil {
			p.lists = make(map[listKey]*List)
		}
		p.lists[key] = list
	}
	return list
}

// maxPrepared bounds the bytes of all lists that an index keeps ready, and
// maxPage those of one page; a page has one definition at least.
const (
	maxPrepared = 64 << 20
	maxPage     = 1 << 20
)

// prepared keeps lists, one for all profiles that see the same. When it is
// full, further lists are made for each request that asks for one.
type prepared struct {
	mu    sync.Mutex
	lists map[listName]*List
	size  int
}

// listName identifies a list within its index, by what it is made of.
type listName struct {
	listKey
	digest [sha256.Size]byte
}

// get returns the list of a profile under a key, whose view has this digest, and
// whether it is kept.
func (l *prepared) get(p *Profile, key listKey, digest [sha256.Size]byte) (list *List, kept bool) {
	name := listName{key, digest}
	l.mu.Lock()
	list, ok := l.lists[name]
	l.mu.Unlock()
	if ok {
		return list, true
	}
	list = newList(digest, p.visible(key.what, key.server), key.server == nil, key.era)
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok := l.lists[name]; ok {
		return first, true
	}
	if l.size+list.size > maxPrepared {
		return list, false
	}
	if l.lists == nil {
		l.lists = make(map[listName]*List)
	}
	l.lists[name] = list
	l.size += list.size
	return list, true
}

// emptyList is the list of a kind that does not exist.
var emptyList = newList([sha256.Size]byte{}, func(func(*Entry) bool) {}, true, 0)

// newList cuts definitions into pages.
func newList(digest [sha256.Size]byte, entries func(func(*Entry) bool), aggregate bool, era mcp.Era) *List {
	list := &List{digest: [8]byte(digest[:8])}
	if era == mcp.Legacy {
		list.digest[0] ^= 0xff // Another list, if only by what it leaves out.
	}
	items, from := []byte{'['}, 0
	for e := range entries {
		v := e.in(era)
		if len(items) > 1 && len(items)+v.size() > maxPage {
			list.add(items, from)
			items, from = []byte{'['}, len(list.entries)
		}
		if len(items) > 1 {
			items = append(items, ',')
		}
		list.starts = append(list.starts, int32(len(items)))
		list.entries = append(list.entries, e)
		items = v.append(items, aggregate)
	}
	list.add(items, from)
	for i := range len(list.pages) - 1 {
		last := list.entries[list.pages[i].to-1]
		list.pages[i].next = &Cursor{list.digest, i + 1, last.place().String()}
	}
	return list
}

func (l *List) add(items []byte, from int) {
	items = slices.Clip(append(append(items, ']'), Ending...))
	l.pages = append(l.pages, page{from: from, to: len(l.entries), items: items, source: memfile.NewSource(items)})
	l.size += len(items) + 12*(len(l.entries)-from)
}
