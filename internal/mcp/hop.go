package mcp

// Hop says how a client's request becomes ours to the server. What it does not mention passes as the client sent it.
type Hop struct {
	ID   []byte // raw id of our request; nil leaves the client's
	Name string // the server's own name: params.name, or params.ref.name of a completion; empty leaves it
	URI  string // the server's own URI: params.uri, or params.ref.uri of a completion; empty leaves it

	// RequestState and InputResponses are raw values that are set, also where the client sent none; nil leaves the
	// client's. The two Drop fields remove the client's and go before them.
	RequestState, InputResponses []byte
	DropState, DropInput         bool

	Meta MetaRewrite
}

// MetaRewrite says what the _meta of a request says about our own hop to the server (mcp.md 2.2). Everything in _meta
// that it does not mention passes as the client sent it.
type MetaRewrite struct {
	Era Era // what the server speaks; Legacy removes the next four

	ProtocolVersion    string // for Modern
	ClientCapabilities []byte // for Modern: a raw JSON object; nil means {}
	ClientInfo         []byte // for Modern: a raw JSON object; nil means none
	LogLevel           string // for Modern: the level asked for; empty leaves the client's

	ProgressToken []byte // raw token that takes the place of the client's, if it sent one; nil leaves it
	TraceParent   string // set in either era; empty leaves the client's
	KeepBaggage   bool   // let the client's baggage cross to the server
}

// RewriteRequest appends to dst the request, or the notification, as it goes to a server: body, from which req was
// scanned, with what hop changes. All other bytes are the client's. It allocates nothing if dst has room.
func RewriteRequest(dst, body []byte, req *Request, hop *Hop) []byte {
	patches := make([]patch, 0, 32)
	if len(hop.ID) > 0 && !req.ID.Empty() {
		patches = append(patches, patch{Span: req.ID, raw: hop.ID})
	}
	name, uri := req.NameSpan, req.URISpan
	if req.Method == MethodComplete {
		name, uri = req.RefNameSpan, req.RefURISpan
	}
	if hop.Name != "" && !name.Empty() {
		patches = append(patches, patch{Span: name, text: hop.Name})
	}
	if hop.URI != "" && !uri.Empty() {
		patches = append(patches, patch{Span: uri, text: hop.URI})
	}
	return apply(dst, body, hop.params(patches, body, req))
}

// params appends what changes among the members of params, and in its _meta.
func (h *Hop) params(patches []patch, body []byte, req *Request) []patch {
	at := into(req.Params)
	if req.Params.Empty() {
		end := req.whole.End - 1
		at = inserter{at: end, open: `,"params":{`, close: "}"}
	}
	cuts := make([]Span, 0, 2)
	members := [...]memberChange{
		{`"requestState":`, req.RequestState, req.stateMember, h.RequestState, h.DropState},
		{`"inputResponses":`, req.InputResponses, req.inputMember, h.InputResponses, h.DropInput},
	}
	for i := range members {
		switch m := &members[i]; {
		case m.drop && !m.member.Empty():
			cuts = append(cuts, m.member)
		case m.drop || len(m.raw) == 0:
		case m.member.Empty():
			patches = at.add(patches, m.key, m.raw, "")
		default:
			patches = append(patches, patch{Span: m.value, raw: m.raw})
		}
	}
	patches = h.Meta.patches(patches, body, req, &at)
	patches = cut(patches, body, cuts)
	return at.end(patches, req.paramCount-len(cuts))
}

// memberChange is what happens to one member of params.
type memberChange struct {
	key           string
	value, member Span   // of the client's, if it sent one; the member from the quote of its name
	raw           []byte // the new value
	drop          bool
}

// change is what happens to one member of _meta.
type change struct {
	raw    []byte // the new value, when text is empty
	text   string // the new value, when it is a string
	add    bool   // also if the client did not send the member
	remove bool
}

func (c *change) sets() bool { return len(c.raw) > 0 || c.text != "" }

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
		all[metaLogLevel] = change{text: m.LogLevel, add: true}
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

// patches appends what turns the client's _meta into ours. A _meta that is not there becomes a member of params.
func (m *MetaRewrite) patches(patches []patch, body []byte, req *Request, params *inserter) []patch {
	changes := m.changes()
	cuts := make([]Span, 0, numMeta)
	missing := 0
	for i := range changes {
		change, member := &changes[i], req.metaMembers[i]
		switch {
		case member.Empty():
			if change.add && change.sets() {
				missing++
			}
		case change.remove:
			cuts = append(cuts, member)
		case change.sets():
			patches = append(patches, patch{Span: valueOf(body, member, metaNames[i]), raw: change.raw, text: change.text})
		}
	}
	patches = cut(patches, body, cuts)
	if missing == 0 {
		return patches
	}
	at := into(req.Meta)
	if req.Meta.Empty() {
		patches = params.add(patches, `"_meta":{`, nil, "")
		at = inserter{at: params.at, close: "}"}
	}
	for i := range changes {
		if change := &changes[i]; change.add && change.sets() && req.metaMembers[i].Empty() {
			patches = at.add(patches, metaKeys[i], change.raw, change.text)
		}
	}
	return at.end(patches, req.metaCount-len(cuts))
}
