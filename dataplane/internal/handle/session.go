package handle

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/warder-gateway/warder/internal/mcp"
)

// What clients say of themselves is cut to these lengths, in bytes.
const (
	maxClientName    = 64
	maxClientVersion = 32
)

// Session is a session of a legacy client. Times are kept to the second.
type Session struct {
	// ID is random. It names the session where the token is too long, and the ids of its requests are derived from it.
	ID [16]byte
	// Route is the slug of the server; empty: the aggregate.
	Route string
	// Version is the protocol version that was agreed upon.
	Version      string
	Capabilities mcp.Capabilities
	// ClientName and ClientVersion are claims, cut to 64 and 32 bytes.
	ClientName, ClientVersion string
	Issued, Expires           time.Time
	// Servers are the sessions that servers gave in turn, in the order given.
	Servers []ServerSession
}

// ServerSession is a session that a server gave.
type ServerSession struct {
	// Server is the slug.
	Server string
	// ID is a credential of the server's.
	ID string
	// Version is the protocol version that was agreed upon with the server.
	Version string
}

// SealSession returns the session id to give to a client: visible ASCII, at most 1.5 KiB. Sessions of servers that do not
// fit are left out, the longest first, and at the same length those with the later slug; left holds their slugs in the
// order of v.Servers.
func (s *Sealer) SealSession(v *Session, owner Owner, now time.Time) (token string, left []string, err error) {
	if err := checkLife(now, v.Expires); err != nil {
		return "", nil, err
	}
	b := s.borrow()
	defer s.giveBack(b)
	p := begin(b.plain, v.Expires)
	p.raw(v.ID[:])
	p.time(v.Issued)
	p.uint(uint64(v.Capabilities))
	p.version(v.Version)
	p.text(v.Route)
	p.text(cut(v.ClientName, maxClientName))
	p.text(cut(v.ClientVersion, maxClientVersion))
	left = p.servers(v.Servers)
	b.plain = p.out
	if n := tokenLen(len(b.plain)); n > maxSession {
		return "", nil, fmt.Errorf("seal session: the id has %d bytes, more than %d, without sessions of servers", n, maxSession)
	}
	token, err = s.seal(b, kindSession, owner, now)
	return token, left, err
}

// servers packs as many sessions as fit, and returns the slugs of the others.
func (p *packer) servers(all []ServerSession) (left []string) {
	fits := fitting(all, len(p.out)+2) // Their number takes two bytes at most.
	p.uint(uint64(len(fits)))
	for i := range all {
		if _, fit := slices.BinarySearch(fits, i); fit {
			p.server(&all[i])
		} else {
			left = append(left, all[i].Server)
		}
	}
	return left
}

func (p *packer) server(v *ServerSession) {
	p.text(v.Server)
	p.version(v.Version)
	p.id(v.ID)
}

// fitting returns the places, ascending, of the sessions that fit behind used bytes.
func fitting(all []ServerSession, used int) []int {
	places, sizes := make([]int, len(all)), make([]int, len(all))
	for i := range all {
		var p packer
		p.server(&all[i])
		places[i], sizes[i] = i, len(p.out)
	}
	slices.SortFunc(places, func(a, b int) int {
		return cmp.Or(cmp.Compare(sizes[a], sizes[b]), cmp.Compare(all[a].Server, all[b].Server), cmp.Compare(a, b))
	})
	for n, place := range places {
		if used += sizes[place]; tokenLen(used) > maxSession {
			places = places[:n]
			break
		}
	}
	slices.Sort(places)
	return places
}

// cut returns the beginning of what a client says, without half a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// span is a part of the text that the strings of one session share.
type span struct{ start, end int }

func (s span) of(all string) string { return all[s.start:s.end] }

type serverSpans struct {
	server, id span
	version    string
}

// OpenSession opens what SealSession returned, for the same owner and before it expires, into v, all of whose fields it
// sets. Any failure is ErrOpen, and v is worth nothing then. It allocates the text and the servers, nothing else.
func (s *Sealer) OpenSession(token string, owner Owner, now time.Time, v *Session) error {
	if len(token) > maxSession {
		return ErrOpen
	}
	b := s.borrow()
	defer s.giveBack(b)
	plain, err := s.open(b, kindSession, token, owner)
	if err != nil {
		return err
	}
	u, expires := resume(plain)
	if !now.Before(expires) {
		return ErrOpen
	}
	v.Expires = expires
	u.session(b, v)
	return u.end()
}

// session reads what follows the time of expiry. Strings are collected first, to become one.
func (u *unpacker) session(b *scratch, v *Session) {
	copy(v.ID[:], u.raw(uint64(len(v.ID))))
	v.Issued = u.time()
	v.Capabilities = mcp.Capabilities(u.uint())
	v.Version = u.version()
	b.unpacked = b.unpacked[:0]
	route, name, version := b.text3(u)
	u.serverSpans(b)
	all := string(b.unpacked)
	v.Route, v.ClientName, v.ClientVersion = route.of(all), name.of(all), version.of(all)
	v.Servers = nil
	if len(b.servers) > 0 {
		v.Servers = make([]ServerSession, len(b.servers))
	}
	for i, s := range b.servers {
		v.Servers[i] = ServerSession{Server: s.server.of(all), ID: s.id.of(all), Version: s.version}
	}
}

// serverSpans reads the sessions of servers.
func (u *unpacker) serverSpans(b *scratch) {
	b.servers = b.servers[:0]
	for range u.uint() {
		server := b.collect(u.view())
		version := u.version()
		start := len(b.unpacked)
		b.unpacked = u.id(b.unpacked)
		if u.bad {
			return
		}
		b.servers = append(b.servers, serverSpans{server, span{start, len(b.unpacked)}, version})
	}
}

// collect adds a text to those of the session.
func (b *scratch) collect(text []byte) span {
	start := len(b.unpacked)
	b.unpacked = append(b.unpacked, text...)
	return span{start, len(b.unpacked)}
}

func (b *scratch) text3(u *unpacker) (span, span, span) {
	return b.collect(u.view()), b.collect(u.view()), b.collect(u.view())
}
