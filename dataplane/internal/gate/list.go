package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
)

// List is what tools/list answers to a profile at one endpoint, in pages. It is
// immutable.
type List struct {
	pages []Page
	size  int // of all pages, in bytes
}

// Page is a part of a list. Nobody changes its bytes.
type Page struct {
	// Tools is a JSON array of definitions.
	Tools []byte
	// Next is the cursor of the next page; empty on the last.
	Next string
	// cursor is how this page is asked for; empty on the first.
	cursor string
}

// Page returns the page that a cursor names; an empty one names the first. It
// is false for a cursor that is not of this very list: the list has changed
// since, or the cursor was somebody else's, or was made up.
func (l *List) Page(cursor string) (Page, bool) {
	for _, page := range l.pages {
		if hmac.Equal([]byte(page.cursor), []byte(cursor)) {
			return page, true
		}
	}
	return Page{}, false
}

// List returns what the profile's callers see at the endpoint of one server, or
// at the aggregate if server is nil: exactly what they may call there.
func (p *Profile) List(server *Server) *List {
	p.resolve()
	p.mu.Lock()
	defer p.mu.Unlock()
	if list, ok := p.lists[server]; ok {
		return list
	}
	list, kept := p.index.lists.get(p.index, server, p.visible)
	if kept {
		if p.lists == nil {
			p.lists = make(map[*Server]*List)
		}
		p.lists[server] = list
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
	lists map[[sha256.Size]byte]*List
	size  int
}

// get returns the list of the visible tools in a scope, and whether it is kept.
func (l *prepared) get(index *Index, server *Server, visible []*Tool) (list *List, kept bool) {
	name := listName(server, visible)
	l.mu.Lock()
	list, ok := l.lists[name]
	l.mu.Unlock()
	if ok {
		return list, true
	}
	list = newList(index.cursorKey, definitions(server, visible))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+list.size > maxPrepared {
		return list, false
	}
	if l.lists == nil {
		l.lists = make(map[[sha256.Size]byte]*List)
	}
	l.lists[name] = list
	l.size += list.size
	return list, true
}

// listName identifies a list within its index, by what it would be made of.
func listName(server *Server, visible []*Tool) (name [sha256.Size]byte) {
	h := sha256.New()
	if server != nil {
		h.Write([]byte(server.Name()))
	}
	var number [4]byte
	for _, tool := range visible {
		if server == nil || tool.Server == server {
			binary.BigEndian.PutUint32(number[:], uint32(tool.index))
			h.Write(number[:])
		}
	}
	h.Sum(name[:0])
	return name
}

// definitions returns the definitions of a list: as the server sent them on its
// own endpoint, and under the exposed name on the aggregate.
func definitions(server *Server, visible []*Tool) [][]byte {
	out := make([][]byte, 0, len(visible))
	for _, tool := range visible {
		switch {
		case server == nil:
			out = append(out, tool.exposed)
		case tool.Server == server:
			out = append(out, tool.Item.GetDefinition())
		}
	}
	return out
}

// newList cuts definitions into pages and gives each its cursor.
func newList(cursorKey []byte, definitions [][]byte) *List {
	list := &List{}
	page := []byte{'['}
	for _, definition := range definitions {
		if len(page) > 1 && len(page)+len(definition) > maxPage {
			list.add(page)
			page = []byte{'['}
		}
		if len(page) > 1 {
			page = append(page, ',')
		}
		page = append(page, definition...)
	}
	list.add(page)
	list.setCursors(cursorKey)
	return list
}

func (l *List) add(page []byte) {
	page = append(page, ']')
	l.pages = append(l.pages, Page{Tools: page[:len(page):len(page)]})
	l.size += len(page)
}

// setCursors derives the cursors from the whole list, keyed: the same on every
// node that has the same list, and not to be had in another way.
func (l *List) setCursors(key []byte) {
	whole := sha256.New()
	for _, page := range l.pages {
		whole.Write(page.Tools)
	}
	sum := whole.Sum(nil)
	for i := 1; i < len(l.pages); i++ {
		mac := hmac.New(sha256.New, key)
		mac.Write(sum)
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
		cursor := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
		l.pages[i].cursor, l.pages[i-1].Next = cursor, cursor
	}
}
