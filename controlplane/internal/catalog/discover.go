package catalog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Target is a server to discover.
type Target struct {
	// Name is the slug.
	Name string
	// URL of the endpoint.
	URL string
	// Headers to send with every request. Secret.
	Headers http.Header
	// Private allows special-purpose addresses.
	Private bool
	// CACertificates is PEM of the authorities that may sign for the server; empty:
	// those of the system.
	CACertificates string
	// Agent is the agent that has the server; empty: it is reached by URL. With an
	// agent nothing of the above counts but Name.
	Agent string

	// Of the saved server that it was read of; the environment is sealed.
	row         int64
	command     []string
	directory   string
	environment []byte
}

// Tunnels lead to the servers of agents. It may be used from many goroutines.
// *directory.Directory is one.
type Tunnels interface {
	// Reach waits until an agent has taken its orders as they are in the database and
	// its server is ready, and returns what carries requests there; host and path of
	// URLs mean nothing. Errors are faults, with ErrAway in the chain if the agent has
	// no tunnel to this replica.
	Reach(ctx context.Context, agent, server string) (http.RoundTripper, error)
	// Here lists the agents that have a tunnel to this replica.
	Here() []string
}

// ErrAway says that an agent has no tunnel to this replica. Another may have one.
var ErrAway = errors.New("the agent has no tunnel to this replica")

// noTunnels are those of a control plane that no agent attaches to.
type noTunnels struct{}

func (noTunnels) Here() []string { return nil }

func (noTunnels) Reach(_ context.Context, agent, server string) (http.RoundTripper, error) {
	return nil, Away(agent, server)
}

// Away is the error of a server whose agent is not attached to this replica.
func Away(agent, server string) error {
	return fault.Wrap(fault.Unavailable, fmt.Sprintf(
		"server %q: its agent %q is not attached; the server is discovered as soon as it is", server, agent), ErrAway)
}

// Discovery is what a server offers. It is immutable.
type Discovery struct {
	// ProtocolVersion as negotiated; "2026-07-28" or later is a modern server.
	ProtocolVersion string
	// Capabilities as the server declared them: one JSON object, or nil.
	Capabilities []byte
	// ServerInfo is who the server says it is: one JSON object, or nil. A claim.
	ServerInfo []byte
	// Entries of every kind, each kind in the server's own order.
	Entries []Entry
	// Refused are the definitions that are not fit to be offered.
	Refused []Refusal
	// Failed are the kinds that could not be listed: nothing is known of them, and
	// what was known stays.
	Failed []Failure
}

// Entry is one definition that is fit to be shown to a person for approval.
type Entry struct {
	Kind Kind
	// Name the server knows: of a resource its URI, of a template its URI template.
	Name string
	// ExposedName on the aggregate endpoint; empty for kinds that have none.
	ExposedName string
	// Definition exactly as the server sent it. Of instructions it is an object with
	// the member "instructions".
	Definition []byte
	// Hash of the canonical definition.
	Hash [sha256.Size]byte
	Risk snapshotv1.Risk
	// Findings of the scanner; only in a Plan, and only of a definition that is new.
	Findings []finding.Finding
	// Position in the server's list, refused definitions counted too.
	Position int
}

// Refusal is a definition that reaches no client, and why.
type Refusal struct {
	Kind Kind
	// Name as the server spells it, escaped to printable ASCII; "#3" for the
	// third definition if it has none.
	Name string
	// Reason is a clause: "its name is taken by another tool of the server".
	Reason string
}

// Failure is a kind that could not be listed; Err is a fault.
type Failure struct {
	Kind Kind
	Err  error
}

// Caps of one discovery.
type caps struct {
	pages, entries int           // of one kind
	bytes          int64         // of the whole conversation
	definition     int           // bytes of one definition
	total          time.Duration // of the whole conversation
	request        time.Duration // of one request
}

func defaultCaps() caps {
	return caps{
		pages: 1_000, entries: 10_000, bytes: 32 << 20, definition: 256 << 10,
		total: 30 * time.Second, request: 10 * time.Second,
	}
}

// Discoverer asks servers what they offer. It is safe for concurrent use and
// holds nothing between calls.
type Discoverer struct {
	version string
	caps    caps
	tunnels Tunnels
}

// NewDiscoverer returns a Discoverer that introduces itself as this version of
// Warder. It reaches no server of an agent.
func NewDiscoverer(version string) *Discoverer {
	return &Discoverer{version: version, caps: defaultCaps(), tunnels: noTunnels{}}
}

// Through returns a Discoverer that reaches servers of agents through tunnels.
func (d Discoverer) Through(tunnels Tunnels) *Discoverer {
	d.tunnels = tunnels
	return &d
}

// Discover asks a server what it offers. A kind that cannot be listed is in
// Failed; if none can, that is the error. Errors are faults whose text names the
// server and says what to do; fault.Invalid means that the target itself is
// wrong (its URL, its certificates, or an address that needs Private), everything
// else that the server did not answer as it should.
func (d *Discoverer) Discover(ctx context.Context, target Target) (*Discovery, error) {
	ctx, cancel := context.WithTimeout(ctx, d.caps.total)
	defer cancel()
	client, err := d.client(ctx, &target)
	if err != nil {
		return nil, err
	}
	c := newConversation(target, client, d.version, d.caps)
	defer c.close(ctx)
	found := new(Discovery)
	text, err := c.open(ctx, found)
	if err != nil {
		return nil, err
	}
	found.ProtocolVersion = c.version
	if err := c.listAll(ctx, found); err != nil {
		return nil, err
	}
	found.instruct(text)
	return found, nil
}

// behindAgent stands for the address of a server that an agent has, which alone knows
// it.
const behindAgent = "http://agent.invalid/"

// client returns what reaches a target. Who follows where a server redirects him to
// may end up anywhere, so nobody does.
func (d *Discoverer) client(ctx context.Context, target *Target) (*http.Client, error) {
	if target.Agent != "" {
		carrier, err := d.tunnels.Reach(ctx, target.Agent, target.Name)
		if err != nil {
			return nil, err
		}
		target.URL, target.Headers = behindAgent, nil
		return &http.Client{Transport: carrier, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
	}
	if err := CheckURL(*target); err != nil {
		return nil, err
	}
	authorities, err := egress.ParseAuthorities(target.CACertificates, time.Now())
	if err != nil {
		return nil, err
	}
	client, _ := egress.NewClient(target.Private, authorities)
	return client, nil
}

// listAll lists the kinds that the server has.
func (c *conversation) listAll(ctx context.Context, found *Discovery) error {
	asked := 0
	for i := range listings {
		l := &listings[i]
		if !Declares(found.Capabilities, l.capability) {
			continue
		}
		asked++
		raw, err := c.list(ctx, l)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			found.Failed = append(found.Failed, Failure{l.kind, err})
			continue
		}
		entries, refused := sift(c.target.Name, l, raw, c.caps.definition)
		found.Entries = append(found.Entries, entries...)
		found.Refused = append(found.Refused, refused...)
	}
	if asked > 0 && len(found.Failed) == asked {
		return found.Failed[0].Err
	}
	return nil
}

// instruct adds the server's instructions, if it has any.
func (d *Discovery) instruct(text string) {
	if text == "" {
		return
	}
	definition := append(mcp.AppendString([]byte(`{"instructions":`), text), '}')
	hash, err := mcp.DefinitionHash(definition)
	if err != nil {
		d.Refused = append(d.Refused, Refusal{Instructions, InstructionsName, "they have no canonical form"})
		return
	}
	d.Entries = append(d.Entries, Entry{
		Kind: Instructions, Name: InstructionsName, Definition: definition, Hash: hash, Risk: snapshotv1.Risk_RISK_READ,
	})
}

// InstructionsText returns the text of a definition of instructions.
func InstructionsText(definition []byte) (text string, err error) {
	err = mcp.Members(definition, func(name string, value mcp.Span) (err error) {
		if name == "instructions" {
			text, err = mcp.String(value.Of(definition))
		}
		return err
	})
	return text, err
}
