package mcp

// askerMark stands between who asks and what is asked.
const askerMark = ": "

// NameAsker puts the name of the server that asks before the message of elicitation/create, as in "github: Which one?":
// behind the aggregate nobody but us can tell a person who asks (mcp.md 2.7). Params, which have been accepted, become a
// copy; their other bytes stay. Params of other methods stay as they are, as do those without a message or with one that
// is no string. The asker is a slug; an empty one changes nothing.
func (in *Input) NameAsker(asker string) {
	if asker == "" || in.Method != MethodElicit || len(in.Params) == 0 {
		return
	}
	p := prefixer{body: in.Params, prefix: asker + askerMark}
	in.Params = apply(nil, in.Params, p.message(nil, Span{0, len(in.Params)}))
}

// inputs takes result.inputRequests.
func (p *prefixer) inputs(patches []patch, object Span) []patch {
	if !p.is(object, '{') {
		return patches
	}
	s := within(p.body, object)
	o := s.open()
	for s.next(&o) {
		request := s.value()
		if method := p.member(request, "method"); p.is(method, '"') && unquote(method.Of(p.body)) == MethodElicit {
			patches = p.message(patches, p.member(request, "params"))
		}
	}
	return patches
}

// message takes the params of elicitation/create.
func (p *prefixer) message(patches []patch, params Span) []patch {
	return p.text(patches, p.member(params, "message"))
}
