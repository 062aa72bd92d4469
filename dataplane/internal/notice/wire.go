package notice

import (
	"slices"

	"github.com/warder-gateway/warder/internal/mcp"
)

// metaSubscription names the subscription of a message to a modern client.
const metaSubscription = "io.modelcontextprotocol/subscriptionId"

// methodAcknowledged is the first message of a modern client's stream.
const methodAcknowledged = "notifications/subscriptions/acknowledged"

// methods of list changes.
func (k kinds) method() string {
	switch k {
	case kindTools:
		return mcp.MethodToolsChanged
	case kindPrompts:
		return mcp.MethodPromptsChanged
	}
	return mcp.MethodResourcesChanged
}

// kindOf returns the list that a notification announces to have changed; 0 if it is none of those.
func kindOf(method string) kinds {
	switch method {
	case mcp.MethodToolsChanged:
		return kindTools
	case mcp.MethodPromptsChanged:
		return kindPrompts
	case mcp.MethodResourcesChanged:
		return kindResources
	}
	return 0
}

// listChanged is the notification of one list.
func (s *stream) listChanged(kind kinds) []byte {
	if s.sub.Era != mcp.Modern {
		return mcp.WriteRequest(nil, nil, kind.method(), nil)
	}
	return mcp.WriteRequest(nil, nil, kind.method(), append(s.stamp([]byte{'{'}), '}'))
}

// stamp appends the _meta member that every message of a modern client's stream has.
func (s *stream) stamp(dst []byte) []byte {
	dst = append(dst, `"_meta":{"`+metaSubscription+`":`...)
	dst = append(dst, s.sub.ID...)
	return append(dst, '}')
}

// acknowledgement says what is honoured of what was asked for. It is written before anything is dropped later.
func (s *stream) acknowledgement() []byte {
	s.board.sweeping.Lock()
	defer s.board.sweeping.Unlock()
	params := append(s.stamp([]byte{'{'}), `,"notifications":{`...)
	start := len(params)
	for _, member := range []struct {
		kind kinds
		name string
	}{{kindTools, "toolsListChanged"}, {kindPrompts, "promptsListChanged"}, {kindResources, "resourcesListChanged"}} {
		if s.lists&member.kind != 0 {
			params = append(params, `"`+member.name+`":true,`...)
		}
	}
	if len(s.resources) > 0 {
		params = append(params, `"resourceSubscriptions":[`...)
		for _, r := range s.resources {
			params = append(mcp.AppendString(params, r.client), ',')
		}
		params = append(params[:len(params)-1], "],"...)
	}
	if len(params) > start {
		params = params[:len(params)-1]
	}
	return mcp.WriteRequest(nil, nil, methodAcknowledged, append(params, "}}"...))
}

// gracefulResult answers subscriptions/listen when the node goes down.
func (s *stream) gracefulResult() []byte {
	result := s.stamp([]byte(`{"resultType":"complete",`))
	return mcp.WriteResult(nil, s.sub.ID, append(result, '}'))
}

// pass returns a server's notification as the client gets it. The caller owns it.
func (s *stream) pass(message []byte, scan *mcp.Response, server string) []byte {
	note := mcp.Note{}
	if s.sub.Era == mcp.Modern {
		note.SubscriptionID = s.sub.ID
	}
	if s.sub.Server == "" {
		note.URIPrefix = mcp.URIPrefix(server)
	}
	return slices.Clip(mcp.RewriteNotification(make([]byte, 0, len(message)+128), message, scan, &note))
}
