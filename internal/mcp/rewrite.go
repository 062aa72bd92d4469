package mcp

import (
	"cmp"
	"slices"
)

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
	edits := make([]Edit, 0, 4+2*numMeta)
	text := make([]byte, 0, 256)
	if len(id) > 0 && !req.ID.Empty() {
		edits = append(edits, Edit{req.ID, id})
	}
	if name != "" && !req.NameSpan.Empty() {
		text = AppendString(text, name)
		edits = append(edits, Edit{req.NameSpan, text})
	}
	edits = meta.edits(edits, body, req)
	return spliceSorted(dst, body, edits)
}

// change is what happens to one member of _meta.
type change struct {
	set    []byte // the new value
	add    bool   // also if the client did not send the member
	remove bool
}

// changes lists what happens to each member that we know.
func (m *MetaRewrite) changes() [numMeta]change {
	var all [numMeta]change
	switch m.Era {
	case Modern:
		capabilities := m.ClientCapabilities
		if len(capabilities) == 0 {
			capabilities = []byte("{}")
		}
		all[metaProtocolVersion] = change{set: AppendString(nil, m.ProtocolVersion), add: true}
		all[metaClientCapabilities] = change{set: capabilities, add: true}
		all[metaClientInfo] = change{set: m.ClientInfo, add: len(m.ClientInfo) > 0, remove: len(m.ClientInfo) == 0}
	default:
		for _, i := range [...]int{metaProtocolVersion, metaClientCapabilities, metaClientInfo, metaLogLevel} {
			all[i].remove = true
		}
	}
	all[metaProgressToken].set = m.ProgressToken
	if m.TraceParent != "" {
		all[metaTraceParent] = change{set: AppendString(nil, m.TraceParent), add: true}
	}
	all[metaBaggage].remove = !m.KeepBaggage
	return all
}

// edits appends what turns the client's _meta into ours.
func (m *MetaRewrite) edits(edits []Edit, body []byte, req *Request) []Edit {
	var added []byte
	cuts := make([]Span, 0, numMeta)
	for i, change := range m.changes() {
		member := req.metaMembers[i]
		switch {
		case change.remove && !member.Empty():
			cuts = append(cuts, member)
		case len(change.set) > 0 && !member.Empty():
			edits = append(edits, Edit{member, appendMember(nil, metaNames[i], change.set)})
		case change.add && member.Empty():
			added = appendMember(added, metaNames[i], change.set)
		}
	}
	slices.SortFunc(cuts, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	edits = cutMembers(edits, body, cuts)
	if len(added) == 0 {
		return edits
	}
	return append(edits, insertMeta(req, added, req.metaCount-len(cuts)))
}

// insertMeta puts members into _meta, of whose own so many are left, and makes _meta and params where they are missing.
func insertMeta(req *Request, members []byte, left int) Edit {
	switch {
	case !req.Meta.Empty():
		return insertFirst(req.Meta, members, left)
	case !req.Params.Empty():
		return insertFirst(req.Params, slices.Concat([]byte(`"_meta":{`), members, []byte("}")), req.paramCount)
	}
	at := req.whole.End - 1
	return Edit{Span{at, at}, slices.Concat([]byte(`,"params":{"_meta":{`), members, []byte("}}"))}
}

// insertFirst puts members at the front of an object of whose own members so many are left.
func insertFirst(object Span, members []byte, left int) Edit {
	if left > 0 {
		members = append(members, ',')
	}
	at := object.Start + 1
	return Edit{Span{at, at}, members}
}

// RewriteResult appends to dst the response as it goes to the client: body with the client's raw id in place of ours,
// and with what the client's era has and the server's has not, or the other way round (mcp.md 2.8). All other bytes
// are the server's. A message that is not a response passes unchanged.
func RewriteResult(dst, body []byte, resp *Response, id []byte, from, to Era) []byte {
	if !resp.IsResponse() {
		return append(dst, body...)
	}
	edits := make([]Edit, 0, 8)
	if resp.ID.Empty() {
		edits = append(edits, insertFirst(resp.whole, slices.Concat([]byte(`"id":`), id), 1))
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
	case !r.Err.Empty():
		if code := errorCodeFor(r.ErrorCode, to); code != "" {
			edits = append(edits, Edit{r.codeSpan, []byte(code)})
		}
	case to == Legacy:
		edits = r.cutModern(edits, body)
	case r.resultType.Empty():
		edits = append(edits, insertFirst(r.Result, []byte(`"resultType":"complete"`), r.resultCount))
	default:
		// The word means nothing in a legacy answer, so that it must not mean something to a modern client.
		edits = append(edits, Edit{r.resultType, []byte(`"resultType":"complete"`)})
	}
	return edits
}

// cutModern removes what legacy results do not have.
func (r *Response) cutModern(edits []Edit, body []byte) []Edit {
	cuts := make([]Span, 0, 3)
	for _, member := range [...]Span{r.resultType, r.ttl, r.cacheScope} {
		if !member.Empty() {
			cuts = append(cuts, member)
		}
	}
	slices.SortFunc(cuts, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
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
