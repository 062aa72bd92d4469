package mcp

// Capabilities are what a client declares that it can be asked for, as far as the gateway carries it. Extensions and
// what is experimental are not in them.
type Capabilities uint16

// What a client may declare.
const (
	CapRoots            Capabilities = 1 << iota // roots/list
	CapRootsListChanged                          // tells when its roots change (legacy only)
	CapSampling                                  // sampling/createMessage
	CapSamplingTools                             // with tools
	CapSamplingContext                           // with context of the server's
	CapElicitForm                                // elicitation/create with a form
	CapElicitURL                                 // elicitation/create with a URL
)

// CapsOfDiscovery are those that whoever asks a server what it offers declares: all that clients may be asked for, since
// a server may show some tools only to clients that can be asked. Two lists of a server can be compared if both were
// asked for with them.
const CapsOfDiscovery = CapRoots | CapSampling | CapSamplingTools | CapSamplingContext | CapElicitForm | CapElicitURL

// Has reports whether all of want is declared.
func (c Capabilities) Has(want Capabilities) bool { return c&want == want }

// ParseCapabilities reads the object in which a client of either era declares its capabilities. Members that it does
// not know are dropped; null counts as absent, and any other value of the wrong type is an *Error with
// CodeInvalidParams. An elicitation that names no mode means forms, as it did before there were two.
func ParseCapabilities(raw []byte) (Capabilities, error) {
	var c Capabilities
	err := Members(raw, func(name string, value Span) error {
		switch name {
		case "roots":
			return c.parse(CapRoots, name, value.Of(raw))
		case "sampling":
			return c.parse(CapSampling, name, value.Of(raw))
		case "elicitation":
			err := c.parse(0, name, value.Of(raw))
			if string(value.Of(raw)) != "null" && c&(CapElicitForm|CapElicitURL) == 0 {
				c |= CapElicitForm
			}
			return err
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return c, nil
}

// parse reads one capability, which means this much if it is there at all.
func (c *Capabilities) parse(itself Capabilities, name string, raw []byte) error {
	there, err := isCapability(name, raw)
	if err != nil || !there {
		return err
	}
	*c |= itself
	return Members(raw, func(part string, value Span) error {
		if there, err := isPart(name, part, value.Of(raw)); err != nil || !there {
			return err
		}
		switch part {
		case "listChanged":
			*c |= CapRootsListChanged
		case "tools":
			*c |= CapSamplingTools
		case "context":
			*c |= CapSamplingContext
		case "form":
			*c |= CapElicitForm
		case "url":
			*c |= CapElicitURL
		}
		return nil
	})
}

// isPart reports whether a part of a capability is one we know and is declared.
func isPart(name, part string, raw []byte) (bool, error) {
	switch name + "." + part {
	case "roots.listChanged":
		return string(raw) == "true", nil
	case "sampling.tools", "sampling.context", "elicitation.form", "elicitation.url":
		return isCapability(name+"."+part, raw)
	}
	return false, nil
}

// isCapability reports whether a capability is declared: by an object.
func isCapability(name string, raw []byte) (bool, error) {
	switch {
	case string(raw) == "null":
		return false, nil
	case raw[0] == '{':
		return true, nil
	}
	e := newError(CodeInvalidParams, ReasonShape, "capability must be an object")
	e.Member = name
	return false, e
}

// Append appends the capabilities as a JSON object in the shape of a protocol version. What the version does not have
// is left out.
func (c Capabilities) Append(dst []byte, version string) []byte {
	dst = append(dst, '{')
	start := len(dst)
	if c.Has(CapRoots) {
		dst = appendCapability(dst, start, `"roots":{`)
		if c.Has(CapRootsListChanged) && EraOf(version) != Modern {
			dst = append(dst, `"listChanged":true`...)
		}
		dst = append(dst, '}')
	}
	parts := version >= Version20251125 // the version that gave sampling and elicitation their parts
	if c.Has(CapSampling) {
		dst = appendCapability(dst, start, `"sampling":`)
		dst = c.appendParts(dst, parts, "context", CapSamplingContext, "tools", CapSamplingTools)
	}
	if c.Has(CapElicitForm) && version >= Version20250618 || c.Has(CapElicitURL) && parts {
		dst = appendCapability(dst, start, `"elicitation":`)
		dst = c.appendParts(dst, parts, "form", CapElicitForm, "url", CapElicitURL)
	}
	return append(dst, '}')
}

// appendCapability appends a key after the members since start.
func appendCapability(dst []byte, start int, key string) []byte {
	if len(dst) > start {
		dst = append(dst, ',')
	}
	return append(dst, key...)
}

func (c Capabilities) appendParts(dst []byte, parts bool, first string, one Capabilities, second string, two Capabilities) []byte {
	dst = append(dst, '{')
	start := len(dst)
	if parts && c.Has(one) {
		dst = append(appendCapability(dst, start, `"`), first+`":{}`...)
	}
	if parts && c.Has(two) {
		dst = append(appendCapability(dst, start, `"`), second+`":{}`...)
	}
	return append(dst, '}')
}

// Allows reports whether a server may ask the client for this. URL says that an elicitation asks for a visit to one.
// What is not a request to a client is never allowed.
func (c Capabilities) Allows(method string, url bool) bool {
	needed := requires(method, url)
	return needed != 0 && c.Has(needed)
}

// Required returns the object that error -32021 has as data.requiredCapabilities, when the client lacks what a method
// needs.
func Required(method string, url bool) []byte {
	return requires(method, url).Append(nil, Version20260728)
}

// requires returns the capability that a method needs, or 0 for one that no server may send to a client.
func requires(method string, url bool) Capabilities {
	switch method {
	case MethodRootsList:
		return CapRoots
	case MethodCreateMessage:
		return CapSampling
	case MethodElicit:
		if url {
			return CapElicitURL
		}
		return CapElicitForm
	}
	return 0
}

// ServerCapabilities are what a server declares that it offers, as far as the gateway carries it.
type ServerCapabilities struct {
	Tools, Prompts, Resources bool
	Subscribe                 bool // to updates of a resource
	Completions, Logging      bool
}

// ParseServerCapabilities reads the capabilities of a server of either era, under the terms of ParseCapabilities.
func ParseServerCapabilities(raw []byte) (ServerCapabilities, error) {
	var c ServerCapabilities
	known := map[string]*bool{
		"tools": &c.Tools, "prompts": &c.Prompts, "resources": &c.Resources, "completions": &c.Completions, "logging": &c.Logging,
	}
	err := Members(raw, func(name string, value Span) (err error) {
		if flag := known[name]; flag != nil {
			*flag, err = isCapability(name, value.Of(raw))
		}
		if name == "resources" && c.Resources {
			c.Subscribe = string(lookUp(raw, value, "subscribe").Of(raw)) == "true"
		}
		return err
	})
	if err != nil {
		return ServerCapabilities{}, err
	}
	return c, nil
}
