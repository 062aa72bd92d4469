package mcp

// Era is one of the two shapes of the protocol. The zero Era is neither.
type Era uint8

// The eras. Legacy clients open a session with initialize; modern ones put version and capabilities into the _meta of
// every request.
const (
	Legacy Era = iota + 1
	Modern
)

// String returns the era's name in lower case.
func (e Era) String() string {
	switch e {
	case Legacy:
		return "legacy"
	case Modern:
		return "modern"
	}
	return "unknown"
}

// Protocol versions.
const (
	Version20241105 = "2024-11-05" // towards servers only: HTTP+SSE
	Version20250326 = "2025-03-26"
	Version20250618 = "2025-06-18"
	Version20251125 = "2025-11-25" // the last legacy one
	Version20260728 = "2026-07-28" // the first modern one
)

// SupportedVersions returns the versions that clients may speak, newest first.
func SupportedVersions() []string {
	return append(ModernVersions(), Version20251125, Version20250618, Version20250326)
}

// ModernVersions returns those of the modern era, newest first.
func ModernVersions() []string { return []string{Version20260728} }

// EraOf returns the era of a version that we serve to clients, or 0.
func EraOf(version string) Era {
	switch version {
	case Version20260728:
		return Modern
	case Version20251125, Version20250618, Version20250326:
		return Legacy
	}
	return 0
}

// NegotiateVersion answers the version that a legacy client asked for in initialize: the same if we serve it, else the
// newest legacy one. A client that cannot live with the answer hangs up, as the specification says.
func NegotiateVersion(requested string) string {
	if EraOf(requested) == Legacy {
		return requested
	}
	return Version20251125
}

// Classify tells the era of a message by what it claims (mcp.md E1): modern if the MCP-Protocol-Version header is
// 2026-07-28 or later or _meta names a version; legacy otherwise. An empty header is an absent one. It refuses claims
// that contradict each other or cannot be met, and methods that exist only in the other era. The era is returned with
// an error too, because it decides how the error is answered.
func Classify(headerVersion string, req *Request) (Era, *Error) {
	if headerVersion >= Version20260728 || req.HasProtocolVersion {
		return Modern, checkModern(headerVersion, req)
	}
	return Legacy, checkLegacy(headerVersion, req)
}

// checkLegacy: the header must name a version we serve, except on initialize, which is where versions are negotiated.
func checkLegacy(headerVersion string, req *Request) *Error {
	if headerVersion != "" && EraOf(headerVersion) == 0 && req.Method != MethodInitialize {
		text := "MCP-Protocol-Version " + EscapeName(headerVersion, maxShownName) + " is not supported"
		return newError(CodeInvalidRequest, ReasonVersion, text)
	}
	return checkEra(Legacy, req.Method)
}

// checkModern holds header and _meta to each other. An unsupported header goes before a mismatch, as the conformance
// suite wants it.
func checkModern(headerVersion string, req *Request) *Error {
	switch {
	case req.IsResponse():
		return invalid("responses are not posted in protocol version " + Version20260728)
	case headerVersion == "":
		return headerError("MCP-Protocol-Version", "is required for a request whose _meta names a protocol version")
	case EraOf(headerVersion) == 0:
		return unsupported(headerVersion, SupportedVersions())
	}
	if err := checkModernMeta(headerVersion, req); err != nil {
		return err
	}
	return checkEra(Modern, req.Method)
}

// checkModernMeta: a request must carry version and capabilities; a notification need not.
func checkModernMeta(headerVersion string, req *Request) *Error {
	switch {
	case req.HasProtocolVersion && req.ProtocolVersion != headerVersion:
		return headerError("MCP-Protocol-Version", "differs from the protocol version in _meta")
	case req.HasProtocolVersion && EraOf(headerVersion) != Modern:
		return unsupported(headerVersion, ModernVersions())
	case req.IsNotification():
		return nil
	case !req.HasProtocolVersion:
		return missingMeta(metaNames[metaProtocolVersion])
	case req.ClientCapabilities.Empty():
		return missingMeta(metaNames[metaClientCapabilities])
	}
	return nil
}

func missingMeta(name string) *Error {
	e := newError(CodeInvalidParams, ReasonShape, "request needs "+name+" in params._meta")
	e.Member = "params._meta"
	return e
}

func unsupported(requested string, supported []string) *Error {
	e := newError(CodeUnsupportedVersion, ReasonVersion, "protocol version is not supported")
	e.Data = append(e.Data, `{"supported":[`...)
	for i, version := range supported {
		if i > 0 {
			e.Data = append(e.Data, ',')
		}
		e.Data = AppendString(e.Data, version)
	}
	e.Data = append(e.Data, `],"requested":`...)
	e.Data = append(AppendString(e.Data, requested), '}')
	return e
}

// internVersion decodes a version's token without allocating for those we know.
func internVersion(token []byte) string {
	switch string(token) {
	case `"` + Version20260728 + `"`:
		return Version20260728
	case `"` + Version20251125 + `"`:
		return Version20251125
	}
	return unquote(token)
}
