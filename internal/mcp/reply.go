package mcp

// Reply says how a server's response becomes ours to the client.
type Reply struct {
	ID        []byte // the client's raw id
	From, To  Era    // what the server speaks, and the client
	Method    string // of the request: it says where URIs stand, and whether the result may be cached
	URIPrefix string // of URIPrefix, on the aggregate; empty leaves URIs as the server wrote them
	Asker     string // as of Input.NameAsker, for what the result asks of the client

	// RequestState is a raw string that takes the place of result.requestState, and is added to a result that asks for
	// input and has none; nil leaves the server's.
	RequestState []byte
	// ServerInfo is a raw object that a modern client gets as the server's in result._meta; nil leaves the server's.
	// A legacy client gets none, since it learnt it when it opened its session.
	ServerInfo []byte
}

// RewriteResponse appends to dst the response as it goes to the client: body, from which resp was scanned, with the
// client's id and what reply changes, and across eras with what the client's has and the server's has not, or the other
// way round (mcp.md 2.8). All other bytes are the server's. A message that is not a response passes unchanged.
func RewriteResponse(dst, body []byte, resp *Response, reply *Reply) []byte {
	if !resp.IsResponse() {
		return append(dst, body...)
	}
	patches := make([]patch, 0, 16)
	if resp.ID.Empty() {
		at := resp.whole.Start + 1
		patches = append(patches, patch{Span: Span{at, at}, key: `"id":`, raw: reply.ID}, patch{Span: Span{at, at}, key: ","})
	} else {
		patches = append(patches, patch{Span: resp.ID, raw: reply.ID})
	}
	if reply.URIPrefix != "" {
		p := prefixer{body: body, prefix: reply.URIPrefix}
		patches = p.response(patches, resp, reply.Method)
	}
	if reply.Asker != "" && reply.From == Modern && resp.ResultType == ResultInputRequired {
		p := prefixer{body: body, prefix: reply.Asker + askerMark}
		patches = p.inputs(patches, resp.InputRequests)
	}
	if resp.Error.Empty() {
		patches = reply.result(patches, body, resp)
	} else if code := reply.errorCode(resp, body); code != "" {
		patches = append(patches, patch{Span: resp.codeSpan, key: code})
	}
	return apply(dst, body, patches)
}

// result appends what changes among the members of a result, and in its _meta.
func (r *Reply) result(patches []patch, body []byte, resp *Response) []patch {
	at := into(resp.Result)
	cuts := make([]Span, 0, 4)
	switch r.To {
	case Legacy:
		if r.From == Modern {
			cuts = resp.modernMembers(cuts)
		}
	case Modern:
		patches = r.modernize(patches, body, resp, &at)
	}
	patches = r.state(patches, resp, &at)
	patches = r.meta(patches, body, resp, &at)
	left := resp.resultCount - len(cuts)
	patches = cut(patches, body, cuts)
	return at.end(patches, left)
}

// modernMembers appends the members that legacy results do not have. Their structured content is an object or not
// there: clients refuse the whole result for another one.
func (r *Response) modernMembers(cuts []Span) []Span {
	for _, member := range [...]Span{r.resultType, r.ttl, r.cacheScope, r.unstructured} {
		if !member.Empty() {
			cuts = append(cuts, member)
		}
	}
	return cuts
}

// modernize gives a result what modern ones must have.
func (r *Reply) modernize(patches []patch, body []byte, resp *Response, at *inserter) []patch {
	if r.From == Legacy {
		// A legacy server that has the word means something else by it; a modern client must not be misled.
		patches = set(patches, body, at, resp.resultType, "resultType", `"resultType":"complete"`)
	}
	if !cacheable(r.Method) || r.From == Modern && resp.ResultType != "" && resp.ResultType != ResultComplete {
		return patches
	}
	if resp.ttl.Empty() {
		patches = at.add(patches, `"ttlMs":0`, nil, "")
	}
	// What a principal may see is its own (mcp.md 2.5): whatever the server says, nobody else gets it from a cache.
	return set(patches, body, at, resp.cacheScope, "cacheScope", `"cacheScope":"private"`)
}

// set gives a member of a result its value, a token as it stands. The text is the whole member.
func set(patches []patch, body []byte, at *inserter, member Span, name, text string) []patch {
	if member.Empty() {
		return at.add(patches, text, nil, "")
	}
	value := text[len(name)+len(`"":`):]
	if old := valueOf(body, member, name); string(old.Of(body)) != value {
		patches = append(patches, patch{Span: old, key: value})
	}
	return patches
}

// cacheable reports whether results of a method say how long they may be kept.
func cacheable(method string) bool {
	switch method {
	case MethodResourcesRead, MethodToolsList, MethodPromptsList, MethodResourcesList, MethodResourceTemplates:
		return true
	}
	return false
}

// state appends what happens to result.requestState.
func (r *Reply) state(patches []patch, resp *Response, at *inserter) []patch {
	switch {
	case len(r.RequestState) == 0:
	case !resp.RequestState.Empty():
		patches = append(patches, patch{Span: resp.RequestState, raw: r.RequestState})
	case resp.ResultType == ResultInputRequired:
		patches = at.add(patches, `"requestState":`, r.RequestState, "")
	}
	return patches
}

// meta appends what happens to the server's name in result._meta.
func (r *Reply) meta(patches []patch, body []byte, resp *Response, at *inserter) []patch {
	sets := r.To == Modern && len(r.ServerInfo) > 0
	switch {
	case r.From == Modern && r.To == Legacy && !resp.serverInfo.Empty():
		return cut(patches, body, []Span{resp.serverInfo})
	case !sets:
		return patches
	case !resp.serverInfo.Empty():
		return append(patches, patch{Span: valueOf(body, resp.serverInfo, metaServerInfo), raw: r.ServerInfo})
	}
	return insertMeta(patches, resp, at, `"`+metaServerInfo+`":`, r.ServerInfo)
}

// insertMeta puts a member into _meta, and _meta into the object around it if it is not there.
func insertMeta(patches []patch, resp *Response, around *inserter, key string, raw []byte) []patch {
	at := into(resp.Meta)
	if resp.Meta.Empty() {
		patches = around.add(patches, `"_meta":{`, nil, "")
		at = inserter{at: around.at, close: "}"}
	}
	patches = at.add(patches, key, raw, "")
	return at.end(patches, resp.metaCount)
}

// errorCode returns the code that stands in for one that the client's era does not have (mcp.md E7), or "". Servers do
// not always keep to the codes of their own era either.
func (r *Reply) errorCode(resp *Response, body []byte) string {
	code := resp.ErrorCode
	switch {
	case r.To == Legacy && code <= CodeHeaderMismatch && code >= CodeUnsupportedVersion:
		return "-32603"
	case r.To == Legacy && r.From == Modern && code == CodeInvalidParams && r.Method == MethodResourcesRead && resp.namesResource(body):
		return "-32002"
	case r.To == Modern && code == CodeResourceNotFound:
		return "-32602"
	case r.To == Modern && code == CodeURLElicitationRequired:
		return "-32603"
	}
	return ""
}

// namesResource reports whether an error says which resource was not found, as modern servers do.
func (r *Response) namesResource(body []byte) bool {
	return !r.ErrorData.Empty() && body[r.ErrorData.Start] == '{' && !lookUp(body, r.ErrorData, "uri").Empty()
}

// Note says how a server's notification becomes ours to the client.
type Note struct {
	ProgressToken  []byte // raw token that takes the place of the server's; nil leaves it
	SubscriptionID []byte // raw id that stamps it as one of a modern client's stream; nil removes the server's
	URIPrefix      string // of URIPrefix, for the resource that was updated
}

// RewriteNotification appends to dst the notification as it goes to the client: body, from which resp was scanned, with
// what note changes. All other bytes are the server's.
func RewriteNotification(dst, body []byte, resp *Response, note *Note) []byte {
	patches := make([]patch, 0, 8)
	if len(note.ProgressToken) > 0 && !resp.ProgressToken.Empty() {
		patches = append(patches, patch{Span: resp.ProgressToken, raw: note.ProgressToken})
	}
	if note.URIPrefix != "" && resp.URI != "" {
		patches = prefixURI(patches, body, resp.URISpan, resp.URI, note.URIPrefix)
	}
	switch {
	case len(note.SubscriptionID) == 0:
		if !resp.subscription.Empty() {
			patches = cut(patches, body, []Span{resp.subscription})
		}
	case !resp.subscription.Empty():
		value := valueOf(body, resp.subscription, metaSubscriptionID)
		patches = append(patches, patch{Span: value, raw: note.SubscriptionID})
	default:
		at := into(resp.Params)
		if resp.Params.Empty() {
			at = inserter{at: resp.whole.End - 1, open: `,"params":{`, close: "}"}
		}
		patches = insertMeta(patches, resp, &at, `"`+metaSubscriptionID+`":`, note.SubscriptionID)
		patches = at.end(patches, resp.paramCount)
	}
	return apply(dst, body, patches)
}

// RewriteServerRequest appends to dst a server's request as it goes to the client: body, from which resp was scanned,
// with our raw id, and who asks as of Input.NameAsker. A message that is no request passes unchanged.
func RewriteServerRequest(dst, body []byte, resp *Response, id []byte, asker string) []byte {
	if resp.IsResponse() || resp.IsNotification() {
		return append(dst, body...)
	}
	patches := append(make([]patch, 0, 2), patch{Span: resp.ID, raw: id})
	if asker != "" && resp.Method == MethodElicit {
		p := prefixer{body: body, prefix: asker + askerMark}
		patches = p.text(patches, resp.message)
	}
	return apply(dst, body, patches)
}
