package session

import (
	"cmp"
	"crypto/sha256"
	"errors"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// What a modern client brings back when it has given the input that a server
// wants (mcp.md 2.7). The state is bound to its owner, and to the server, the
// method, the name and the arguments of the request: it continues this request
// and no other. Whether the request may be made is decided anew each time, and so
// is whether the server may have what is given: see mayGive.

// openState opens the state that a request brings, if it brings one. Of what goes
// wrong there is one text, since who tampers with a state need not learn more. No
// state reaches a server that was not opened here.
func (x *exchange) openState() (kind string, refusal *mcp.Error) {
	switch {
	case x.era != mcp.Modern:
		return "", nil // what a legacy client calls so is not passed on
	case x.req.RequestState.Empty() && (x.req.InputResponses.Empty() || takesInput(x.req.Method)):
		return "", nil
	case !takesInput(x.req.Method):
		return kindState, invalidParams("requestState and inputResponses continue tools/call, prompts/get and resources/read, not " + shown(x.req.Method))
	}
	state, err := x.readState()
	if err != nil {
		return kindState, invalidParams("requestState is not of this request, was changed, or has expired; make the request again without it")
	}
	if state.Parked != "" && state.Node != x.node {
		if x.config.Peers == nil {
			return kindNode, &mcp.Error{Code: mcp.CodeUnavailable, Offset: -1, Text: keptElsewhere}
		}
		x.parkedAt = state.Node
	}
	x.call.HasState, x.call.State, x.call.Parked = true, state.Inner, state.Parked
	return "", nil
}

// keptElsewhere is what a client hears whose call is kept by a node that is not to be reached.
const keptElsewhere = "the node that keeps this request is not the one that was reached; make the request again without requestState"

// takesInput reports whether a method may end in input_required.
func takesInput(method string) bool {
	return method == mcp.MethodToolsCall || method == mcp.MethodPromptsGet || method == mcp.MethodResourcesRead
}

// mayGive decides on what the client gives to the server: the policy is asked what
// it is asked when the server wants it. So nothing is given under a name that the
// server may not ask for, also if it never asked: answers without a state come from
// a client that knows the questions, and the protocol lets it answer at once.
func (x *exchange) mayGive() (decision policy.Decision, refusal *mcp.Error) {
	decision.Effect = snapshotv1.Effect_EFFECT_ALLOW
	if x.era != mcp.Modern || x.req.InputResponses.Empty() {
		return decision, nil
	}
	responses := x.req.InputResponses.Of(x.in.Body)
	// The object has been scanned already, so that the walk cannot fail by itself.
	err := mcp.Members(responses, func(key string, value mcp.Span) error {
		methods := mcp.AnsweredMethods(value.Of(responses))
		if len(methods) == 0 {
			return invalidParams("inputResponses." + shown(key) + " answers none of elicitation/create, sampling/createMessage and roots/list")
		}
		for _, method := range methods {
			if decision.Allowed() {
				decision = x.mayAsk(method)
			}
		}
		return nil
	})
	if err != nil {
		return decision, asRefusal(err)
	}
	return decision, nil
}

var errOtherRequest = errors.New("the state is of another request")

func (x *exchange) readState() (*handle.RequestState, error) {
	token, err := mcp.String(x.req.RequestState.Of(x.in.Body))
	if err != nil {
		return nil, err
	}
	var state handle.RequestState
	x.owner = handle.OwnerOf(x.in.Caller.Principal)
	if err := x.in.Index.Sealer().OpenRequestState(token, x.owner, x.in.Received, &state); err != nil {
		return nil, err
	}
	want := x.stateOf()
	if state.Server != want.Server || state.Method != want.Method || state.Name != want.Name || state.Arguments != want.Arguments {
		return nil, errOtherRequest
	}
	return &state, nil
}

// stateOf returns what a state of this request is bound to.
func (x *exchange) stateOf() *handle.RequestState {
	return &handle.RequestState{
		Server: x.entry.Server.Name(), Method: x.req.Method, Name: x.own, Arguments: argumentsDigest(x.req.Arguments.Of(x.in.Body)),
	}
}

// argumentsDigest returns the digest of arguments in their canonical form: a
// client repeats the same arguments, and may write them in another way.
func argumentsDigest(arguments []byte) [sha256.Size]byte {
	if len(arguments) == 0 {
		return sha256.Sum256(nil)
	}
	canonical, err := mcp.CanonicalDefinition(arguments)
	if err != nil {
		// Scanned arguments have a canonical form; if not, they must be repeated as
		// they are.
		canonical = arguments
	}
	return sha256.Sum256(canonical)
}

// sealState seals what the client is to bring back.
func (x *exchange) sealState(inner []byte, parked string) (string, error) {
	state := x.stateOf()
	state.Inner, state.Parked = inner, parked
	if parked != "" {
		state.Node = cmp.Or(x.parkedAt, x.node)
	}
	now := x.now()
	state.Expires = now.Add(handle.RequestStateLife)
	return x.in.Index.Sealer().SealRequestState(state, handle.OwnerOf(x.in.Caller.Principal), now)
}
