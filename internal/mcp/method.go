package mcp

// Methods that the gateway knows.
const (
	MethodInitialize           = "initialize"
	MethodPing                 = "ping"
	MethodDiscover             = "server/discover"
	MethodToolsList            = "tools/list"
	MethodToolsCall            = "tools/call"
	MethodPromptsList          = "prompts/list"
	MethodPromptsGet           = "prompts/get"
	MethodResourcesList        = "resources/list"
	MethodResourceTemplates    = "resources/templates/list"
	MethodResourcesRead        = "resources/read"
	MethodResourcesSubscribe   = "resources/subscribe"
	MethodResourcesUnsubscribe = "resources/unsubscribe"
	MethodListen               = "subscriptions/listen"
	MethodComplete             = "completion/complete"
	MethodSetLevel             = "logging/setLevel"
	MethodTasksGet             = "tasks/get"
	MethodTasksUpdate          = "tasks/update"
	MethodTasksCancel          = "tasks/cancel"
	MethodTasksList            = "tasks/list"
	MethodTasksResult          = "tasks/result"

	MethodInitialized      = "notifications/initialized"
	MethodCancelled        = "notifications/cancelled"
	MethodProgress         = "notifications/progress"
	MethodRootsChanged     = "notifications/roots/list_changed"
	MethodMessage          = "notifications/message"
	MethodToolsChanged     = "notifications/tools/list_changed"
	MethodPromptsChanged   = "notifications/prompts/list_changed"
	MethodResourcesChanged = "notifications/resources/list_changed"
	MethodResourceUpdated  = "notifications/resources/updated"
	MethodAcknowledged     = "notifications/subscriptions/acknowledged" // modern: the first message of a listen
	MethodElicitComplete   = "notifications/elicitation/complete"       // 2025-11-25 only

	MethodElicit        = "elicitation/create"
	MethodCreateMessage = "sampling/createMessage"
	MethodRootsList     = "roots/list"
)

// in says in which eras a method exists.
type in struct{ legacy, modern bool }

// clientMethods are the methods a client may send.
var clientMethods = map[string]in{
	MethodInitialize:           {legacy: true},
	MethodPing:                 {legacy: true},
	MethodSetLevel:             {legacy: true},
	MethodResourcesSubscribe:   {legacy: true},
	MethodResourcesUnsubscribe: {legacy: true},
	MethodTasksList:            {legacy: true},
	MethodTasksResult:          {legacy: true},
	MethodInitialized:          {legacy: true},
	MethodRootsChanged:         {legacy: true},
	MethodDiscover:             {modern: true},
	MethodListen:               {modern: true},
	MethodTasksUpdate:          {modern: true},
	MethodToolsList:            {true, true},
	MethodToolsCall:            {true, true},
	MethodPromptsList:          {true, true},
	MethodPromptsGet:           {true, true},
	MethodResourcesList:        {true, true},
	MethodResourceTemplates:    {true, true},
	MethodResourcesRead:        {true, true},
	MethodComplete:             {true, true},
	MethodTasksGet:             {true, true},
	MethodTasksCancel:          {true, true},
	MethodCancelled:            {true, true},
	MethodProgress:             {true, true},
}

// CheckMethod refuses a method that a client of this era cannot send: unknown, removed, or not yet invented. Classify
// has already refused those of the other era.
func CheckMethod(era Era, method string) *Error {
	switch known := clientMethods[method]; {
	case era == Legacy && known.legacy, era == Modern && known.modern:
		return nil
	}
	return methodError(era, method)
}

// checkEra refuses a method that exists in the other era only.
func checkEra(era Era, method string) *Error {
	known, ok := clientMethods[method]
	if !ok || era == Legacy && known.legacy || era == Modern && known.modern {
		return nil
	}
	return methodError(era, method)
}

func methodError(era Era, method string) *Error {
	text := "method " + EscapeName(method, maxShownName) + " does not exist in "
	if era == Modern {
		text += "protocol version " + Version20260728
	} else {
		text += "protocol versions up to " + Version20251125
	}
	return newError(CodeMethodNotFound, ReasonMethod, text)
}

// internMethod decodes a method's token without allocating for the methods of the hot path.
func internMethod(token []byte) string {
	switch string(token) {
	case `"tools/call"`:
		return MethodToolsCall
	case `"tools/list"`:
		return MethodToolsList
	case `"server/discover"`:
		return MethodDiscover
	case `"initialize"`:
		return MethodInitialize
	case `"ping"`:
		return MethodPing
	case `"prompts/get"`:
		return MethodPromptsGet
	case `"resources/read"`:
		return MethodResourcesRead
	case `"prompts/list"`:
		return MethodPromptsList
	case `"resources/list"`:
		return MethodResourcesList
	case `"resources/templates/list"`:
		return MethodResourceTemplates
	case `"completion/complete"`:
		return MethodComplete
	case `"elicitation/create"`:
		return MethodElicit
	case `"sampling/createMessage"`:
		return MethodCreateMessage
	case `"notifications/cancelled"`:
		return MethodCancelled
	case `"notifications/resources/updated"`:
		return MethodResourceUpdated
	case `"notifications/initialized"`:
		return MethodInitialized
	case `"notifications/progress"`:
		return MethodProgress
	case `"notifications/message"`:
		return MethodMessage
	}
	return unquote(token)
}
