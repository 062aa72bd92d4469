package mcp

import (
	"bytes"
	"strings"
)

// uriMark stands between the slug and the server's own URI on the aggregate. No slug has it.
const uriMark = "+"

// Pages of MCP Apps keep their scheme, since hosts take a page with another for none ("URI MUST start with ui://", SEP-1865):
// ui://charts/bar of the server github is ui://github/charts/bar on the aggregate.
const (
	pageScheme = "ui://"
	pageMark   = "/"
)

// URIPrefix returns what stands before the URIs of a server on the aggregate: "github" gives "github+", which makes
// file:///a into github+file:///a, whose scheme is valid (RFC 3986, section 3.1).
func URIPrefix(slug string) string { return slug + uriMark }

// PrefixURI returns a server's own URI, or template of URIs, as clients of the aggregate see it. The prefix is one of
// URIPrefix, or empty, which changes nothing. URIs of http and https stay, because clients may fetch them themselves
// (mcp.md 2.4), and pages of MCP Apps get the slug behind their scheme.
func PrefixURI(prefix, uri string) string {
	switch own, page := strings.CutPrefix(uri, pageScheme); {
	case prefix == "" || isWeb(uri):
		return uri
	case page:
		return pageScheme + strings.TrimSuffix(prefix, uriMark) + pageMark + own
	}
	return prefix + uri
}

// CutURI undoes PrefixURI. It is not ok for a URI that has no prefix, which says nothing about whose it is: git+ssh://x
// is cut too, and only the table of servers knows better. A page has no second name: github+ui://x is none.
func CutURI(uri string) (slug, own string, ok bool) {
	if page, isPage := strings.CutPrefix(uri, pageScheme); isPage {
		slug, own, ok = strings.Cut(page, pageMark)
		own = pageScheme + own
	} else {
		slug, own, ok = strings.Cut(uri, uriMark)
		ok = ok && !strings.HasPrefix(own, pageScheme)
	}
	if !ok || !ValidSlug(slug) {
		return "", "", false
	}
	return slug, own, true
}

// isWeb reports whether a URI is one of http or https. The case of a scheme means nothing.
func isWeb(uri string) bool {
	scheme, _, ok := strings.Cut(uri, ":")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// uriKey is in every message that has a URI, unless it is spelled with escapes, as nobody does.
var uriKey = []byte(`"uri"`)

// prefixer puts a prefix before strings of a message: before the URIs of a result, in the places that mcp.md 2.4 names, or
// before what people are asked (see Input.NameAsker), and nowhere else. The text has been accepted; whatever has another
// shape than the protocol's is left as it is.
//
// None of it recurs or calls through a function value: either would move the patches of every response to the heap.
type prefixer struct {
	body   []byte
	prefix string
}

// response appends the patches for a response to a method.
func (p *prefixer) response(patches []patch, r *Response, method string) []patch {
	switch {
	case !bytes.Contains(p.body, uriKey):
	case !r.Error.Empty():
		return p.resource(patches, r.ErrorData)
	case method == MethodToolsCall:
		return p.blocks(patches, r.content)
	case method == MethodPromptsGet:
		return p.messages(patches, r.messages)
	case method == MethodResourcesRead:
		return p.resources(patches, r.contents)
	}
	return patches
}

// resources takes a list of contents.
func (p *prefixer) resources(patches []patch, array Span) []patch {
	if !p.is(array, '[') {
		return patches
	}
	s := within(p.body, array)
	for more := s.firstElement(); more; more = s.nextElement() {
		patches = p.resource(patches, s.value())
	}
	return patches
}

// messages takes the messages of a prompt: the content of each is a block, or a list of them.
func (p *prefixer) messages(patches []patch, array Span) []patch {
	if !p.is(array, '[') {
		return patches
	}
	s := within(p.body, array)
	for more := s.firstElement(); more; more = s.nextElement() {
		content := p.member(s.value(), "content")
		patches = p.blocks(p.block(patches, content), content)
	}
	return patches
}

// blocks takes a list of blocks of content.
func (p *prefixer) blocks(patches []patch, array Span) []patch {
	if !p.is(array, '[') {
		return patches
	}
	s := within(p.body, array)
	for more := s.firstElement(); more; more = s.nextElement() {
		patches = p.block(patches, s.value())
	}
	return patches
}

// block takes a block of content: a link to a resource, or one with a resource embedded in it.
func (p *prefixer) block(patches []patch, object Span) []patch {
	switch string(p.member(object, "type").Of(p.body)) {
	case `"resource_link"`:
		return p.resource(patches, object)
	case `"resource"`:
		return p.resource(patches, p.member(object, "resource"))
	}
	return patches
}

// resource takes an object that has a URI.
func (p *prefixer) resource(patches []patch, object Span) []patch {
	uri := p.member(object, "uri")
	if !p.is(uri, '"') {
		return patches
	}
	return prefixURI(patches, p.body, uri, unquote(uri.Of(p.body)), p.prefix)
}

// prefixURI appends the patch that does to a string of a message what PrefixURI does to its text.
func prefixURI(patches []patch, body []byte, at Span, uri, prefix string) []patch {
	start := at.Start + 1
	switch {
	case isWeb(uri):
		return patches
	case strings.HasPrefix(uri, pageScheme):
		start += rawLen(body[start:], len(pageScheme))
		slug := prefix[:len(prefix)-len(uriMark)]
		return append(patches, patch{Span: Span{start, start}, key: slug, raw: rawPageMark})
	}
	return append(patches, patch{Span: Span{start, start}, key: prefix})
}

var rawPageMark = []byte(pageMark)

// rawLen returns how many bytes the first n characters of a string take that was accepted, all of which are ASCII: some may be
// written as escapes, such as the slashes by PHP.
func rawLen(raw []byte, n int) int {
	at := 0
	for range n {
		switch {
		case raw[at] != '\\':
			at++
		case raw[at+1] == 'u':
			at += len(`\u0000`)
		default:
			at += len(`\/`)
		}
	}
	return at
}

// text takes a value, which gets the prefix if it is a string.
func (p *prefixer) text(patches []patch, value Span) []patch {
	if !p.is(value, '"') {
		return patches
	}
	at := value.Start + 1
	return append(patches, patch{Span: Span{at, at}, key: p.prefix})
}

// is reports whether a value is there and begins with this byte, which tells its type.
func (p *prefixer) is(value Span, kind byte) bool {
	return !value.Empty() && p.body[value.Start] == kind
}

// member returns a member of a value, if that is an object.
func (p *prefixer) member(object Span, name string) Span {
	if !p.is(object, '{') {
		return Span{}
	}
	return lookUp(p.body, object, name)
}
