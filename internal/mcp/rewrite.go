package mcp

import "slices"

// MetaRewrite says what the _meta of a request says about our own hop to the server (mcp.md 2.2). Everything in _meta
// that it does not mention passes as the client sent it.
type MetaRewrite struct {
	Era Era // what the server speaks; Legacy removes the next three and the log level

	ProtocolVersion    string // for Modern
	ClientCapabilities []byte // for Modern: a raw JSON object; nil means {}
	ClientInfo         []byte // for Modern: a raw JSON object; nil means none

	ProgressToken []byte // raw token that takes the place of the client's, if it sent one; nil leaves it
	TraceParent   string // set in either era; empty leaves the client's
	KeepBaggage   bool   // let the client's baggage cross to the server
}

// RewriteCall appends to dst the request as it goes to a server: body with our id and the server's own name of the tool
// or prompt in place of the client's, and _meta as meta says. An empty name leaves params.name alone, and an empty id
// leaves the id. All other bytes are the client's.
func RewriteCall(dst, body []byte, req *Request, id []byte, name string, meta MetaRewrite) []byte {
	edits := make([]Edit, 0, 3+numMeta)
	text := make([]byte, 0, 512)
	if len(id) > 0 && !req.ID.Empty() {
		edits = append(edits, Edit{req.ID, id})
	}
	if name != "" && !req.NameSpan.Empty() {
		text = AppendString(text, name)
		edits = append(edits, Edit{req.NameSpan, text})
	}
	edits = meta.edits(edits, text, body, req)
	return spliceSorted(dst, body, edits)
}

// change is what happens to one member of _meta.
type change struct {
	raw    []byte // the new value, when text is empty
	text   string // the new value, when it is a string
	add    bool   // also if the client did not send the member
	remove bool
}

func (c *change) sets() bool { return len(c.raw) > 0 || c.text != "" }

// appendTo appends the new value.
func (c *change) appendTo(dst []byte) []byte {
	if c.text != "" {
		return AppendString(dst, c.text)
	}
	return append(dst, c.raw...)
}

var emptyObject = []byte("{}")

// changes lists what happens to each member that we know.
func (m *MetaRewrite) changes() (all [numMeta]change) {
	if m.Era == Modern {
		all[metaProtocolVersion] = change{text: m.ProtocolVersion, add: true}
		all[metaClientCapabilities] = change{raw: m.ClientCapabilities, add: true}
		if len(m.ClientCapabilities) == 0 {
			all[metaClientCapabilities].raw = emptyObject
		}
		all[metaClientInfo] = change{raw: m.ClientInfo, add: true, remove: len(m.ClientInfo) == 0}
	} else {
		for i := range metaLogLevel + 1 {
			all[i].remove = true
		}
	}
	all[metaProgressToken].raw = m.ProgressToken
	all[metaTraceParent] = change{text: m.TraceParent, add: true}
	all[metaBaggage].remove = !m.KeepBaggage
	return all
}

// edits appends what turns the client's _meta into ours. Their text goes to the end of text.
func (m *MetaRewrite) edits(edits []Edit, text, body []byte, req *Request) []Edit {
	changes := m.changes()
	cuts := make([]Span, 0, numMeta)
	for i := range changes {
		change, member := &changes[i], req.metaMembers[i]
		switch {
		case member.Empty():
		case change.remove:
			cuts = append(cuts, member)
		case change.sets():
			start := len(text)
			text = change.appendTo(text)
			edits = append(edits, Edit{valueOf(body, member, metaNames[i]), text[start:]})
		}
	}
	sortSpans(cuts)
	edits = cutMembers(edits, body, cuts)
	return insertMeta(edits, text, req, &changes, req.metaCount-len(cuts))
}

// insertMeta puts the members that are missing into _meta, of whose own so many are left, and makes _meta and params
// where they are missing themselves.
func insertMeta(edits []Edit, text []byte, req *Request, changes *[numMeta]change, left int) []Edit {
	at, before, after, others := req.Meta.Start+1, "", "", left
	switch {
	case !req.Meta.Empty():
	case !req.Params.Empty():
		at, before, after, others = req.Params.Start+1, `"_meta":{`, "}", req.paramCount
	default:
		at, before, after, others = req.whole.End-1, `,"params":{"_meta":{`, "}}", 0
	}
	start := len(text)
	text = append(text, before...)
	first := len(text)
	for i := range changes {
		if change := &changes[i]; change.add && change.sets() && req.metaMembers[i].Empty() {
			if len(text) > first {
				text = append(text, ',')
			}
			text = append(AppendString(text, metaNames[i]), ':')
			text = change.appendTo(text)
		}
	}
	if len(text) == first {
		return edits
	}
	text = append(text, after...)
	if others > 0 {
		text = append(text, ',')
	}
	return append(edits, Edit{Span{at, at}, text[start:]})
}

// RewriteResult appends to dst the response as it goes to the client: body with the client's raw id in place of ours,
// and with what the client's era has and the server's has not, or the other way round (mcp.md 2.8). All other bytes
// are the server's. A message that is not a response passes unchanged.
func RewriteResult(dst, body []byte, resp *Response, id []byte, from, to Era) []byte {
	if !resp.IsResponse() {
		return append(dst, body...)
	}
	edits := make([]Edit, 0, 6)
	if resp.ID.Empty() {
		at := resp.whole.Start + 1
		edits = append(edits, Edit{Span{at, at}, slices.Concat([]byte(`"id":`), id, []byte(","))})
	} else {
		edits = append(edits, Edit{resp.ID, id})
	}
	if from != to {
		edits = resp.translate(edits, body, to)
	}
	return spliceSorted(dst, body, edits)
}

// translate appends the edits that carry a response into the other era.
func (r *Response) translate(edits []Edit, body []byte, to Era) []Edit {
	switch {
	case !r.Error.Empty():
		if code := errorCodeFor(r.ErrorCode, to); code != "" {
			edits = append(edits, Edit{r.codeSpan, []byte(code)})
		}
		return edits
	case to == Legacy:
		return r.cutModern(edits, body)
	}
	// A legacy server that has the word means something else by it; a modern client must not be misled.
	edit := Edit{r.resultType, []byte(resultComplete)}
	if r.resultType.Empty() {
		at := r.Result.Start + 1
		edit.Span = Span{at, at}
		if r.resultCount > 0 {
			edit.With = []byte(resultComplete + ",")
		}
	}
	return append(edits, edit)
}

const resultComplete = `"resultType":"complete"`

// cutModern removes what legacy results do not have. Their structured content is an object or not there: clients refuse
// the whole result for another one.
func (r *Response) cutModern(edits []Edit, body []byte) []Edit {
	cuts := make([]Span, 0, 4)
	for _, member := range [...]Span{r.resultType, r.ttl, r.cacheScope, r.unstructured} {
		if !member.Empty() {
			cuts = append(cuts, member)
		}
	}
	sortSpans(cuts)
	return cutMembers(edits, body, cuts)
}

// errorCodeFor returns the code that stands in for one that the era does not have (mcp.md E7), or "".
func errorCodeFor(code int, era Era) string {
	switch {
	case era == Legacy && code <= CodeHeaderMismatch && code >= CodeUnsupportedVersion:
		return "-32603"
	case era == Modern && code == CodeResourceNotFound:
		return "-32602"
	case era == Modern && code == CodeURLElicitationRequired:
		return "-32603"
	}
	return ""
}
