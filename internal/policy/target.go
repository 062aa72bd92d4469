package policy

import (
	"slices"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Kind says what a decision is about.
type Kind uint8

// The kinds. Resources that exist by a template, and those that a server has
// without listing them, are resources like others.
const (
	Tool Kind = iota
	Prompt
	Resource
	kinds
)

// Methods that decisions are made about. A list holds what Decide allows the
// main method of its kind for: there is no decision about listing of its own.
const (
	// MethodCall, MethodGet and MethodRead are the main methods: they use a tool,
	// a prompt, a resource.
	MethodCall = "tools/call"
	MethodGet  = "prompts/get"
	MethodRead = "resources/read"

	// MethodSubscribe asks to be told of a resource's changes.
	MethodSubscribe = "resources/subscribe"
	// MethodComplete asks for values of an argument of a prompt or a template.
	MethodComplete = "completion/complete"

	// These are what a server asks of the client while it answers; what is decided
	// on is the tool, prompt or resource that the client asked for.
	MethodSample = "sampling/createMessage"
	MethodElicit = "elicitation/create"
	MethodRoots  = "roots/list"
)

// methodsOf has the methods that can be decided on for each kind, the main one
// first.
var methodsOf = [kinds][]string{
	Tool:     {MethodCall, MethodSample, MethodElicit, MethodRoots},
	Prompt:   {MethodGet, MethodComplete, MethodSample, MethodElicit, MethodRoots},
	Resource: {MethodRead, MethodSubscribe, MethodComplete, MethodSample, MethodElicit, MethodRoots},
}

// Methods returns all methods that decisions are made about, each once.
func Methods() []string {
	return []string{MethodCall, MethodGet, MethodRead, MethodSubscribe, MethodComplete, MethodSample, MethodElicit, MethodRoots}
}

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Tool, Prompt, Resource} }

// String returns "tool", "prompt" or "resource".
func (k Kind) String() string {
	switch k {
	case Tool:
		return "tool"
	case Prompt:
		return "prompt"
	case Resource:
		return "resource"
	}
	return "thing of an unknown kind"
}

// Method returns the main method of the kind; "" for a kind that does not exist.
func (k Kind) Method() string {
	if k >= kinds {
		return ""
	}
	return methodsOf[k][0]
}

// Methods returns the methods that can be decided on for the kind, the main one
// first; none for a kind that does not exist.
func (k Kind) Methods() []string {
	if k >= kinds {
		return nil
	}
	return slices.Clone(methodsOf[k])
}

// takes reports whether the method can be decided on for the kind.
func (k Kind) takes(method string) bool { return slices.Contains(methodsOf[k], method) }

// Target is what a decision is about. An empty field is an absent attribute.
type Target struct {
	Kind Kind
	// Server is a slug.
	Server string
	// Name is the name that the server knows; of a resource, the URI.
	Name string
	// Risk is the category; one that is not known counts as unclassified.
	Risk snapshotv1.Risk
}

// String returns "server/name".
func (t *Target) String() string { return t.Server + "/" + t.Name }
