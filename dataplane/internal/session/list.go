package session

import (
	"net/http"
	"strconv"

	"github.com/warder-gateway/warder/internal/mcp"
)

// How long a modern client may keep what it was told, in milliseconds.
//
// A list may change with any revision, and there is no subscription yet that
// would say so: it is not to be kept at all. What the node offers changes with
// its build only.
const (
	listTTL     = 0
	discoverTTL = 300_000
)

// words are answers and parts of answers that are always the same.
type words struct {
	serverInfo []byte // {"name":…,"version":…}
	discover   []byte // the result of server/discover
	modernList []byte // a modern list's result, up to its tools
	legacyList []byte
}

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
	return words{
		serverInfo: info,
		discover:   []byte(head(discoverTTL) + `"supportedVersions":` + string(versions) + `],"capabilities":{"tools":{}}}`),
		modernList: []byte(head(listTTL) + `"tools":`),
		legacyList: []byte(`{"tools":`),
	}
}

// initialize opens a legacy session, of which nothing is kept: the client sends
// the version that was agreed with each further request.
func (x *exchange) initialize() Answer {
	requested, err := mcp.String(x.req.Param(x.in.Body, "protocolVersion").Of(x.in.Body))
	if err != nil {
		return x.refuse(kindMessage, invalidParams("initialize needs params.protocolVersion to be a string"))
	}
	result := append([]byte(nil), `{"protocolVersion":`...)
	result = mcp.AppendString(result, mcp.NegotiateVersion(requested))
	result = append(result, `,"capabilities":{"tools":{}},"serverInfo":`...)
	result = append(result, x.words.serverInfo...)
	return x.result(append(result, '}'))
}

// toolsList answers with what the caller may call at this endpoint, from bytes
// that are ready.
func (x *exchange) toolsList() Answer {
	cursor, ok := x.cursor()
	if !ok {
		return x.refuse(kindMessage, invalidParams("cursor must be a string that is not empty"))
	}
	page, ok := x.profile().List(x.server).Page(cursor)
	if !ok {
		return x.refuse(kindMessage, invalidParams("cursor is not of this list, or the list has changed; start again without one"))
	}
	result := x.words.legacyList
	if x.era == mcp.Modern {
		result = x.words.modernList
	}
	tail := []byte("}}")
	if page.Next != "" {
		tail = append(mcp.AppendString([]byte(`,"nextCursor":`), page.Next), tail...)
	}
	return Answer{Status: http.StatusOK, Parts: [3][]byte{openResult(x.id(), result), page.Tools, tail}}
}

// openResult begins a response whose result goes on in another part.
func openResult(id, result []byte) []byte {
	whole := mcp.WriteResult(nil, id, result)
	return whole[:len(whole)-1]
}

// cursor returns the cursor that the client sent, empty for the first page.
func (x *exchange) cursor() (string, bool) {
	if x.req.Cursor.Empty() {
		return "", true
	}
	cursor, err := mcp.String(x.req.Cursor.Of(x.in.Body))
	return cursor, err == nil && cursor != ""
}
