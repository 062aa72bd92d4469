package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/uri"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// ListKind says which of the four lists of the protocol something is in.
type ListKind uint8

// The lists.
const (
	Tools ListKind = iota
	Prompts
	Resources
	Templates
	lists
)

// kind returns what decisions about the entries of the list are about.
func (k ListKind) kind() policy.Kind {
	switch k {
	case Tools:
		return policy.Tool
	case Prompts:
		return policy.Prompt
	}
	return policy.Resource
}

// String returns the name of the list's items in snapshots.
func (k ListKind) String() string {
	if k == Templates {
		return "template"
	}
	return k.kind().String()
}

// member is the member of a definition that names it.
func (k ListKind) member() string {
	switch k {
	case Resources:
		return "uri"
	case Templates:
		return "uriTemplate"
	}
	return "name"
}

// Entry is a tool, a prompt, a resource or a template of resources that exists
// for clients, if policy allows. Nobody changes it.
type Entry struct {
	Kind policy.Kind
	// Template says that the entry is a template of resources, or one resource
	// that exists because a template names it.
	Template bool
	Server   *Server
	// Name is the name that the server knows: of a resource its URI, of a template
	// its text.
	Name string
	// Exposed is the name on the aggregate.
	Exposed string
	// Risk is that of the item. Where it was left open, a tool counts as
	// unclassified, the riskiest, and the others as reading. A resource that exists
	// by a template has the template's; one that is not listed is unclassified.
	Risk snapshotv1.Risk
	// Hash is that of the approved definition, nil for a resource that is not
	// listed.
	Hash []byte
	// Params are the arguments of a tool that modern clients repeat in headers.
	Params []mcp.Param

	item   *snapshotv1.Item // that it was made of
	index  *core
	number int // in Index.entries; -1 for what Resolve made up
	// family is the text of the template that what Resolve made up is of; empty if there
	// is none.
	family   string
	what     ListKind
	position uint32
	// hidden says that the entry is not on the aggregate: another server has the
	// same web address.
	hidden  bool
	modern  variant
	legacy  *variant // nil: the same
	digest  [sha256.Size]byte
	pattern *uri.Template // of a template
}

// variant is a definition and how to turn it into the aggregate's.
type variant struct {
	definition []byte
	edits      []edit // in order
}

// edit replaces a JSON string within a definition.
type edit struct {
	at   mcp.Span
	text string
}

// size is about how many bytes append appends.
func (v *variant) size() int { return len(v.definition) + 32*len(v.edits) }

// append appends the definition as clients of a scope see it: on its server's own
// endpoint as the server sent it, on the aggregate under the exposed names.
func (v *variant) append(dst []byte, aggregate bool) []byte {
	if !aggregate {
		return append(dst, v.definition...)
	}
	done := 0
	for _, e := range v.edits {
		dst = append(dst, v.definition[done:e.at.Start]...)
		dst = mcp.AppendString(dst, e.text)
		done = e.at.End
	}
	return append(dst, v.definition[done:]...)
}

// in returns the variant for an era.
func (e *Entry) in(era mcp.Era) *variant {
	if era == mcp.Legacy && e.legacy != nil {
		return e.legacy
	}
	return &e.modern
}

// offer is an item that a server offers, in one shape for all lists.
type offer struct {
	item                  *snapshotv1.Item
	what                  ListKind
	server, name, exposed string
	withheld              bool
	definition, hash      []byte
	risk                  snapshotv1.Risk
	position              uint32
}

// offerOf returns what a tool, a prompt, a resource or a template offers.
func offerOf(item *snapshotv1.Item) offer {
	switch kind := item.GetKind().(type) {
	case *snapshotv1.Item_Tool:
		t := kind.Tool
		return offer{item, Tools, t.GetServer(), t.GetName(), t.GetExposedName(), false,
			t.GetDefinition(), t.GetDefinitionHash(), t.GetRisk(), t.GetPosition()}
	case *snapshotv1.Item_Prompt:
		p := kind.Prompt
		return offer{item, Prompts, p.GetServer(), p.GetName(), p.GetExposedName(), false,
			p.GetDefinition(), p.GetDefinitionHash(), p.GetRisk(), p.GetPosition()}
	case *snapshotv1.Item_Resource:
		r := kind.Resource
		return offer{item, Resources, r.GetServer(), r.GetUri(), "", r.GetWithheld(),
			r.GetDefinition(), r.GetDefinitionHash(), r.GetRisk(), r.GetPosition()}
	default:
		t := item.GetTemplate()
		return offer{item, Templates, t.GetServer(), t.GetUriTemplate(), "", t.GetWithheld(),
			t.GetDefinition(), t.GetDefinitionHash(), t.GetRisk(), t.GetPosition()}
	}
}

// newEntry makes an entry of an offer that is not withheld.
func newEntry(o *offer, server *Server) (*Entry, error) {
	e := &Entry{
		Kind: o.what.kind(), Template: o.what == Templates, Server: server,
		Name: o.name, Exposed: o.exposed, Hash: o.hash, item: o.item, what: o.what, position: o.position,
	}
	var err error
	if o.what == Tools || o.what == Prompts {
		if !exposable(e.Exposed) {
			return nil, errors.New("its exposed name is not 1 to 64 of A-Z, a-z, 0-9, _ and -")
		}
	} else {
		e.Exposed = mcp.PrefixURI(server.prefix, e.Name)
	}
	if e.Risk, err = knownRisk(o.what, o.risk); err != nil {
		return nil, err
	}
	if o.what == Templates {
		if e.pattern, err = uri.ParseTemplate(e.Name); err != nil {
			return nil, err
		}
	}
	if err := e.define(o.definition); err != nil {
		return nil, err
	}
	e.digest = e.sum()
	return e, nil
}

// again returns an entry of the same item, for another index.
func (e *Entry) again(server *Server) *Entry {
	next := *e
	next.Server, next.index, next.number, next.hidden = server, nil, 0, false
	return &next
}

// exposable reports whether language models' tool interfaces take the name.
func exposable(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

func knownRisk(what ListKind, risk snapshotv1.Risk) (snapshotv1.Risk, error) {
	if risk == snapshotv1.Risk_RISK_UNSPECIFIED {
		if what == Tools {
			return snapshotv1.Risk_RISK_UNCLASSIFIED, nil
		}
		return snapshotv1.Risk_RISK_READ, nil
	}
	if _, ok := snapshotv1.Risk_name[int32(risk)]; !ok {
		return 0, fmt.Errorf("its risk %d is not known to this node; upgrade the node", risk)
	}
	return risk, nil
}

// define reads the definition.
func (e *Entry) define(definition []byte) (err error) {
	if e.modern, err = e.variant(definition); err != nil || e.what != Tools {
		return err
	}
	if e.Params, err = mcp.Params(definition); err != nil {
		return err
	}
	if old := mcp.LegacyDefinition(definition); len(old) != len(definition) {
		legacy, err := e.variant(old)
		if err != nil {
			return err
		}
		e.legacy = &legacy
	}
	return nil
}

// variant finds what to replace in a definition for the aggregate. The name that
// it has must be that of the entry.
func (e *Entry) variant(definition []byte) (variant, error) {
	v := variant{definition: definition}
	named := false
	err := mcp.Members(definition, func(member string, value mcp.Span) error {
		switch {
		case member == e.what.member():
			if got, err := mcp.String(value.Of(definition)); err != nil || got != e.Name {
				return errOtherName
			}
			named = true
			v.edits = append(v.edits, edit{value, e.Exposed})
		case member == "_meta" && e.what == Tools:
			e.pages(&v, value)
		}
		return nil
	})
	switch {
	case errors.Is(err, errOtherName):
		return variant{}, err
	case err != nil:
		return variant{}, errors.New("its definition is not one JSON object")
	case !named:
		return variant{}, fmt.Errorf("its definition has no %s", e.what.member())
	}
	return v, nil
}

var errOtherName = errors.New("its definition has another name")

// pages finds the URIs of the pages of MCP Apps that a tool names in its _meta:
// ui.resourceUri, or, as it was first spelled, "ui/resourceUri". What has another
// shape is left as it is.
func (e *Entry) pages(v *variant, meta mcp.Span) {
	page := func(value mcp.Span) {
		if own, err := mcp.String(value.Of(v.definition)); err == nil {
			v.edits = append(v.edits, edit{value, mcp.PrefixURI(e.Server.prefix, own)})
		}
	}
	// The definition has been accepted, so that a walk fails only over what is no
	// object.
	_ = membersAt(v.definition, meta, func(member string, value mcp.Span) error {
		switch member {
		case "ui/resourceUri":
			page(value)
		case "ui":
			_ = membersAt(v.definition, value, func(member string, value mcp.Span) error {
				if member == "resourceUri" {
					page(value)
				}
				return nil
			})
		}
		return nil
	})
}

// membersAt walks the object that stands at a span of text; the spans that visit
// gets point into text too.
func membersAt(text []byte, at mcp.Span, visit func(member string, value mcp.Span) error) error {
	return mcp.Members(at.Of(text), func(member string, value mcp.Span) error {
		return visit(member, mcp.Span{Start: at.Start + value.Start, End: at.Start + value.End})
	})
}

// sum covers all that clients see of the entry, on either endpoint.
func (e *Entry) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	var number [4]byte
	for _, text := range [...]string{e.what.String(), e.Server.Name(), e.Exposed} {
		binary.BigEndian.PutUint32(number[:], uint32(len(text)))
		h.Write(number[:])
		h.Write([]byte(text))
	}
	h.Write(e.modern.definition)
	h.Sum(sum[:0])
	return sum
}
