package bridge

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
)

// kinds are the lists whose changes can be told.
type kinds uint8

const (
	tools kinds = 1 << iota
	prompts
	resources
	allKinds = tools | prompts | resources
)

// lists says how the kinds are named in what clients ask for, and in what they are told.
var lists = [...]struct {
	kind           kinds
	member, method string
}{
	{tools, "toolsListChanged", mcp.MethodToolsChanged},
	{prompts, "promptsListChanged", mcp.MethodPromptsChanged},
	{resources, "resourcesListChanged", mcp.MethodResourcesChanged},
}

// wishes are what is to be told of: changes of lists, and updates of resources.
type wishes struct {
	kinds kinds
	uris  map[string]bool
}

func wishesOf(filter *mcp.ListenFilter) wishes {
	w := wishes{uris: make(map[string]bool, len(filter.URIs))}
	for i, wanted := range []bool{filter.Tools, filter.Prompts, filter.Resources} {
		if wanted {
			w.kinds |= lists[i].kind
		}
	}
	for _, uri := range filter.URIs {
		w.uris[uri] = true
	}
	return w
}

func (w *wishes) empty() bool { return w.kinds == 0 && len(w.uris) == 0 }

// within reports whether other has all of w.
func (w *wishes) within(other *wishes) bool {
	for uri := range w.uris {
		if !other.uris[uri] {
			return false
		}
	}
	return w.kinds&^other.kinds == 0
}

// and returns what both have.
func (w *wishes) and(other *wishes) wishes {
	both := wishes{kinds: w.kinds & other.kinds, uris: make(map[string]bool)}
	for uri := range w.uris {
		if other.uris[uri] {
			both.uris[uri] = true
		}
	}
	return both
}

// about returns the resource of w that an update is about: the one that was updated, or one of which that is a part, as
// the protocol allows. It is empty if there is none.
func (w *wishes) about(uri string) string {
	if w.uris[uri] {
		return uri
	}
	for whole := range w.uris {
		rest, ok := strings.CutPrefix(uri, whole)
		if ok && rest != "" && (strings.HasSuffix(whole, "/") || strings.ContainsRune("/?#", rune(rest[0]))) {
			return whole
		}
	}
	return ""
}

// append appends w as the protocol writes it.
func (w *wishes) append(dst []byte) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for _, list := range lists {
		if w.kinds&list.kind != 0 {
			dst = append(mcp.AppendString(dst, list.member), ":true,"...)
		}
	}
	if len(w.uris) > 0 {
		dst = append(dst, `"resourceSubscriptions":[`...)
		for uri := range w.uris {
			dst = append(mcp.AppendString(dst, uri), ',')
		}
		dst = append(dst[:len(dst)-1], "],"...)
	}
	return append(dst[:max(start, len(dst)-1)], '}')
}

var errAcknowledgement = errors.New("the server acknowledged a subscription with what is not valid")

// honouredBy reads what a process acknowledges, from the params of its notice.
func honouredBy(params []byte) (wishes, error) {
	w := wishes{uris: make(map[string]bool)}
	if !bytes.HasPrefix(params, []byte("{")) {
		return w, errAcknowledgement
	}
	err := mcp.Members(params, func(name string, value mcp.Span) error {
		raw := value.Of(params)
		if name != "notifications" || !bytes.HasPrefix(raw, []byte("{")) {
			return nil
		}
		return mcp.Members(raw, func(name string, value mcp.Span) error { return w.grant(name, value.Of(raw)) })
	})
	if err != nil {
		return w, errAcknowledgement
	}
	return w, nil
}

// grant adds one member of an acknowledgement.
func (w *wishes) grant(name string, raw []byte) error {
	for _, list := range lists {
		if name == list.member && string(raw) == "true" {
			w.kinds |= list.kind
		}
	}
	if name != "resourceSubscriptions" || !bytes.HasPrefix(raw, []byte("[")) {
		return nil
	}
	return mcp.Elements(raw, func(element mcp.Span) error {
		uri, err := mcp.String(element.Of(raw))
		w.uris[uri] = true
		return err
	})
}

// stamp appends the name of a subscription as _meta has it.
func stamp(dst, id []byte) []byte {
	return append(append(append(dst, `"_meta":{"io.modelcontextprotocol/subscriptionId":`...), id...), '}')
}

// acknowledgement tells a listener what is honoured.
func acknowledgement(id []byte, honoured *wishes) []byte {
	params := append(stamp([]byte{'{'}, id), `,"notifications":`...)
	return mcp.WriteNotification(nil, mcp.MethodAcknowledged, append(honoured.append(params), '}'))
}

// news tells a listener what has changed.
func news(id []byte, changed *wishes) (messages [][]byte) {
	for _, list := range lists {
		if changed.kinds&list.kind != 0 {
			messages = append(messages, mcp.WriteNotification(nil, list.method, append(stamp([]byte{'{'}, id), '}')))
		}
	}
	uris := make([]string, 0, len(changed.uris))
	for uri := range changed.uris {
		uris = append(uris, uri)
	}
	slices.Sort(uris)
	for _, uri := range uris {
		params := append(mcp.AppendString(append(stamp([]byte{'{'}, id), `,"uri":`...), uri), '}')
		messages = append(messages, mcp.WriteNotification(nil, mcp.MethodResourceUpdated, params))
	}
	return messages
}
