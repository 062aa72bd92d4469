package mcp

import "slices"

// What a completion may be about.
const (
	RefPrompt   = "ref/prompt"
	RefResource = "ref/resource"
)

// levels of log messages, the least severe first.
var levels = [...]string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// Levels returns the levels of log messages, the least severe first.
func Levels() []string { return slices.Clone(levels[:]) }

// LevelIndex returns the place of a level in Levels, or -1.
func LevelIndex(level string) int { return slices.Index(levels[:], level) }

var (
	refNames    = [...]string{"type", "name", "uri"}
	listenNames = [...]string{"toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"}
)

// resolveRef reads params.ref of a completion, as strictly as params itself.
func (r *Request) resolveRef(body []byte) *Error {
	if r.ref.Empty() || body[r.ref.Start] != '{' {
		return r.wrongParam("ref", r.ref, "an object")
	}
	var found [len(refNames)]Span
	if err := pick(body, r.ref, refNames[:], found[:]); err != nil {
		err.in("params.ref")
		return err
	}
	var err *Error
	if r.RefType, err = r.stringParam(body, "ref.type", found[0]); err != nil {
		return err
	}
	switch r.RefType {
	case RefPrompt:
		r.RefNameSpan = found[1]
		r.RefName, err = r.stringParam(body, "ref.name", found[1])
	case RefResource:
		r.RefURISpan = found[2]
		r.RefURI, err = r.stringParam(body, "ref.uri", found[2])
	default:
		err = r.wrongParam("ref.type", found[0], RefPrompt+" or "+RefResource)
	}
	return err
}

func (r *Request) resolveLevel(body []byte) *Error {
	level, err := r.stringParam(body, "level", r.level)
	if err != nil {
		return err
	}
	i := LevelIndex(level)
	if i < 0 {
		return r.wrongParam("level", r.level, "a level of the protocol, debug to emergency")
	}
	r.Level = levels[i]
	return nil
}

// checkRequestID: a cancellation may name a request, and then by an id.
func (r *Request) checkRequestID(body []byte) *Error {
	if raw := r.RequestID.Of(body); len(raw) > 0 && raw[0] != '"' && !isInteger(raw) {
		return r.wrongParam("requestId", r.RequestID, "a string or an integer")
	}
	return nil
}

// checkContinued holds the types of what continues a request.
func (r *Request) checkContinued(body []byte) *Error {
	if !r.InputResponses.Empty() && body[r.InputResponses.Start] != '{' {
		return r.wrongParam("inputResponses", r.InputResponses, "an object")
	}
	if !r.RequestState.Empty() && body[r.RequestState.Start] != '"' {
		return r.wrongParam("requestState", r.RequestState, "a string")
	}
	return nil
}

// ListenFilter says which notifications a client wants to hear. Kinds that we do not know are not in it.
type ListenFilter struct {
	Tools, Prompts, Resources bool     // changes of the lists
	URIs                      []string // resources whose updates are wanted, as the client names them; at most 256
}

// Bounds of the resources that one client listens to, which are kept and looked at again for as long as it does.
const (
	maxListenURIs  = 256
	maxListenBytes = 64 << 10 // as they stand in the message
)

// ListenFilter reads params.notifications of subscriptions/listen, as strictly as params itself. Body must be the one
// that was scanned. Members that it does not know are passed over; one of the wrong type is CodeInvalidParams, and so are more
// resources than one stream may listen to.
func (r *Request) ListenFilter(body []byte) (ListenFilter, *Error) {
	var f ListenFilter
	if r.notifications.Empty() || body[r.notifications.Start] != '{' {
		return f, r.wrongParam("notifications", r.notifications, "an object")
	}
	var found [len(listenNames)]Span
	if err := pick(body, r.notifications, listenNames[:], found[:]); err != nil {
		err.in("params.notifications")
		return f, err
	}
	for i, flag := range [...]*bool{&f.Tools, &f.Prompts, &f.Resources} {
		switch string(found[i].Of(body)) {
		case "true":
			*flag = true
		case "false", "":
		default:
			return ListenFilter{}, r.wrongParam("notifications."+listenNames[i], found[i], "a boolean")
		}
	}
	uris := found[len(found)-1]
	if uris.Empty() {
		return f, nil
	}
	list, ok := stringList(uris.Of(body))
	if !ok {
		return ListenFilter{}, r.wrongParam("notifications.resourceSubscriptions", uris, "an array of strings")
	}
	if len(list) > maxListenURIs || uris.End-uris.Start > maxListenBytes {
		return ListenFilter{}, r.wrongParam("notifications.resourceSubscriptions", uris, "at most 256 URIs of 64 KiB together")
	}
	f.URIs = list
	return f, nil
}

// stringList decodes an array of strings that has been accepted.
func stringList(raw []byte) (list []string, ok bool) {
	ok = true
	err := Elements(raw, func(element Span) error {
		token := element.Of(raw)
		if ok = ok && token[0] == '"'; ok {
			list = append(list, unquote(token))
		}
		return nil
	})
	return list, ok && err == nil
}
