package session

import (
	"net/http"
	"strconv"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/mcp"
)

// How long a modern client may keep what it was told, in milliseconds.
//
// A list may change with any revision, and not every client listens: it is not to
// be kept at all. What the node offers changes with what the caller sees of the
// servers; a client that listens hears of it.
const (
	listTTL     = 0
	discoverTTL = 300_000
)

// cursorLife is how long a client may take from one page to the next.
const cursorLife = time.Hour

// words are answers and parts of answers that are always the same.
type words struct {
	serverInfo []byte // {"name":…,"version":…}
	discover   []byte // the result of server/discover, up to its capabilities
	lists      [numLists]listWords
}

// listWords are the result of a list up to its items.
type listWords struct{ legacy, modern []byte }

// members are what lists are called in results, by gate.ListKind.
var members = [numLists]string{
	gate.Tools: "tools", gate.Prompts: "prompts", gate.Resources: "resources", gate.Templates: "resourceTemplates",
}

const numLists = 4

func newWords(version string) words {
	info := append([]byte(`{"name":"warder","version":`), mcp.AppendString(nil, version)...)
	info = append(info, '}')
	meta := `"_meta":{"io.modelcontextprotocol/serverInfo":` + string(info) + `}`
	versions := []byte{'['}
	for i, version := range mcp.SupportedVersions() {
		if i > 0 {
			versions = append(versions, ',')
		}
		versions = mcp.AppendString(versions, version)
	}
	head := func(ttl int) string {
		return `{"resultType":"complete","ttlMs":` + strconv.Itoa(ttl) + `,"cacheScope":"private",` + meta + `,`
	}
	w := words{
		serverInfo: info,
		discover:   []byte(head(discoverTTL) + `"supportedVersions":` + string(versions) + `],"capabilities":`),
	}
	for kind, member := range members {
		w.lists[kind] = listWords{legacy: []byte(`{"` + member + `":`), modern: []byte(head(listTTL) + `"` + member + `":`)}
	}
	return w
}

// discover says what is offered at this endpoint to this caller.
func (x *exchange) discover() Answer {
	result := append([]byte(nil), x.words.discover...)
	result = append(result, x.profile().Capabilities(x.server, x.era)...)
	return x.result(append(x.appendInstructions(result), '}'))
}

// list answers with what the caller may use at this endpoint, from bytes that are
// ready.
func (x *exchange) list(kind gate.ListKind) Answer {
	cursor, ok := x.cursor(kind)
	if !ok {
		return x.refuse(kindMessage, invalidParams("cursor is not of this list, or has expired; start again without one"))
	}
	page, ok := x.profile().List(kind, x.server, x.era).Page(cursor)
	if !ok {
		return x.refuse(kindMessage, invalidParams("cursor is not of this list; start again without one"))
	}
	result := x.words.lists[kind].legacy
	if x.era == mcp.Modern {
		result = x.words.lists[kind].modern
	}
	answer := Answer{Status: http.StatusOK, Parts: [3][]byte{openResult(x.id(), result), page.Ended}, Source: page.Source}
	if page.Next != nil {
		tail, err := x.tail(kind, page.Next)
		if err != nil {
			x.log.Error("a cursor cannot be sealed", "error", err)
			return x.refuse(kindMessage, &mcp.Error{Code: mcp.CodeInternal, Text: "the list cannot be cut into pages", Offset: -1})
		}
		answer.Parts[1], answer.Parts[2] = page.Items, tail
	}
	return answer
}

// tail closes a result with the cursor of the next page.
func (x *exchange) tail(kind gate.ListKind, next *gate.Cursor) ([]byte, error) {
	now := x.now()
	token, err := x.in.Index.Sealer().SealCursor(&handle.Cursor{
		List: byte(kind), Route: x.in.Server, Digest: next.Digest, Page: next.Page, Last: next.Last, Expires: x.life(cursorLife),
	}, handle.OwnerOf(x.in.Caller.Principal), now)
	if err != nil {
		return nil, err
	}
	return append(mcp.AppendString([]byte(`,"nextCursor":`), token), gate.Ending...), nil
}

// openResult begins a response whose result goes on in another part.
func openResult(id, result []byte) []byte {
	whole := mcp.WriteResult(nil, id, result)
	return whole[:len(whole)-1]
}

// cursor opens the cursor that the client sent; nil for the first page.
func (x *exchange) cursor(kind gate.ListKind) (*gate.Cursor, bool) {
	if x.req.Cursor.Empty() {
		return nil, true
	}
	token, err := mcp.String(x.req.Cursor.Of(x.in.Body))
	if err != nil {
		return nil, false
	}
	var sealed handle.Cursor
	err = x.in.Index.Sealer().OpenCursor(token, handle.OwnerOf(x.in.Caller.Principal), x.in.Received, &sealed)
	if err != nil || sealed.List != byte(kind) || sealed.Route != x.in.Server {
		return nil, false
	}
	return &gate.Cursor{Digest: sealed.Digest, Page: sealed.Page, Last: sealed.Last}, true
}
