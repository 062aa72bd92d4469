package mcp

import (
	"bytes"
	"strings"
)

// uriMark stands between the slug and the server's own URI on the aggregate. No slug has it.
const uriMark = "+"

// URIPrefix returns what stands before the URIs of a server on the aggregate: "github" gives "github+", which makes
// file:///a into github+file:///a, whose scheme is valid (RFC 3986, section 3.1).
func URIPrefix(slug string) string { return slug + uriMark }

// PrefixURI returns a server's own URI, or template of URIs, as clients of the aggregate see it. The prefix is one of
// URIPrefix, or empty, which changes nothing. URIs of http and https stay, because clients may fetch them themselves
// (mcp.md 2.4).
func PrefixURI(prefix, uri string) string {
	if isWeb(uri) {
		return uri
	}
	return prefix + uri
}

// CutURI undoes PrefixURI. It is not ok for a URI that has no prefix, which says nothing about whose it is: git+ssh://x
// is cut too, and only the table of servers knows better.
func CutURI(uri string) (slug, own string, ok bool) {
	slug, own, ok = strings.Cut(uri, uriMark)
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

// place is what an object is, and with it where its URI stands. A function value in its place would move the patches of
// every response to the heap.
type place uint8

const (
	placeResource place = iota // has a URI of its own: contents of a resource, a link, the data of an error
	placeBlock                 // a block of content: a link to a resource, or one with a resource embedded in it
	placeMessage               // a message of a prompt: its content is a block, or a list of them
)

// prefixer puts the prefix before the URIs of a result, in the places that mcp.md 2.4 names and nowhere else. The text
// has been accepted; whatever has another shape than the protocol's is left as it is.
type prefixer struct {
	body   []byte
	prefix string
}

// response appends the patches for a response to a method.
func (p *prefixer) response(patches []patch, r *Response, method string) []patch {
	switch {
	case !bytes.Contains(p.body, uriKey):
	case !r.Error.Empty():
		return p.object(patches, r.ErrorData, placeResource)
	case method == MethodToolsCall:
		return p.list(patches, r.content, placeBlock)
	case method == MethodPromptsGet:
		return p.list(patches, r.messages, placeMessage)
	case method == MethodResourcesRead:
		return p.list(patches, r.contents, placeResource)
	}
	return patches
}

// list goes through an array of objects.
func (p *prefixer) list(patches []patch, array Span, what place) []patch {
	if array.Empty() || p.body[array.Start] != '[' {
		return patches
	}
	s := within(p.body, array)
	for more := s.firstElement(); more; more = s.nextElement() {
		patches = p.object(patches, s.value(), what)
	}
	return patches
}

func (p *prefixer) object(patches []patch, object Span, what place) []patch {
	switch what {
	case placeResource:
		return p.token(patches, p.member(object, "uri"))
	case placeBlock:
		switch string(p.member(object, "type").Of(p.body)) {
		case `"resource_link"`:
			return p.object(patches, object, placeResource)
		case `"resource"`:
			return p.object(patches, p.member(object, "resource"), placeResource)
		}
	case placeMessage:
		content := p.member(object, "content")
		if !content.Empty() && p.body[content.Start] == '[' {
			return p.list(patches, content, placeBlock)
		}
		return p.object(patches, content, placeBlock)
	}
	return patches
}

// token takes the URI itself.
func (p *prefixer) token(patches []patch, uri Span) []patch {
	if uri.Empty() || p.body[uri.Start] != '"' || isWeb(unquote(uri.Of(p.body))) {
		return patches
	}
	at := uri.Start + 1
	return append(patches, patch{Span: Span{at, at}, key: p.prefix})
}

// member returns a member of a value, if that is an object.
func (p *prefixer) member(object Span, name string) Span {
	if object.Empty() || p.body[object.Start] != '{' {
		return Span{}
	}
	return lookUp(p.body, object, name)
}
