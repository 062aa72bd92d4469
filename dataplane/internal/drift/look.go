package drift

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// Bounds of one reading, as those of a discovery.
const (
	maxPages   = 1_000
	maxEntries = 10_000
	maxBytes   = 32 << 20
)

// sessionKey is whose session the lists are read in, with servers that have
// sessions: nobody's who calls.
const sessionKey = "drift"

// unreachable is that a server gave no answer, in words of this gateway alone.
type unreachable struct{ text string }

func (u *unreachable) Error() string { return u.text }

// listing is how a list is asked for.
type listing struct{ method, member, key string }

var listings = [gate.Lists]listing{
	gate.Tools:     {mcp.MethodToolsList, "tools", "name"},
	gate.Prompts:   {mcp.MethodPromptsList, "prompts", "name"},
	gate.Resources: {mcp.MethodResourcesList, "resources", "uri"},
	gate.Templates: {mcp.MethodResourceTemplates, "resourceTemplates", "uriTemplate"},
}

// compare reads a list of a server and returns the hashes of those definitions
// which the node has as approved and the server does not show.
func (w *Watch) compare(server *gate.Server, list gate.ListKind) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.config.LookTime)
	defer cancel()
	r := reader{upstream: w.config.Upstream, server: server, listing: listings[list], shown: make(map[string][sha256.Size]byte)}
	r.once = list == gate.Tools || list == gate.Prompts
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	var other map[string]bool
	// What is approved now, not when the call was decided on.
	if now, known := w.config.Current().Server(server.Name()); known {
		server = now
	}
	for entry := range server.Approved(list) {
		if hash, found := r.shown[entry.Name]; !found || string(hash[:]) != string(entry.Hash) {
			if other == nil {
				other = make(map[string]bool)
			}
			other[string(entry.Hash)] = true
		}
	}
	return other, nil
}

// reader reads one list, page by page.
type reader struct {
	upstream Upstream
	server   *gate.Server
	listing
	// once says that two of the same name are neither; else the first counts.
	once  bool
	shown map[string][sha256.Size]byte // by name, what the server shows
	count int
	bytes int
	next  []byte // the raw cursor of the next page; nil: there is none
}

func (r *reader) read(ctx context.Context) error {
	for range maxPages {
		if err := r.page(ctx); err != nil {
			return fmt.Errorf("read %s: %w", r.method, err)
		}
		if r.next == nil {
			return nil
		}
	}
	return fmt.Errorf("read %s: more than %d pages", r.method, maxPages)
}

// page asks for one page and takes what is on it.
func (r *reader) page(ctx context.Context) error {
	body := r.request()
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		return err
	}
	answer, err := r.upstream.Do(ctx, &upstream.Call{
		Server: r.server.Item, Era: mcp.Modern, ClientVersion: mcp.Version20260728, Body: body, Request: &request,
		Capabilities: mcp.CapsOfDiscovery, SessionKey: sessionKey,
	}, nil)
	if err != nil {
		return err
	}
	var scan mcp.Response
	if err := mcp.ScanResponse(answer.Body, mcp.Limits{}, &scan); err != nil {
		return err
	}
	if answer.Outcome == auditv1.Outcome_OUTCOME_SERVER_FAILED && answer.Error != "" {
		return &unreachable{answer.Error}
	}
	if scan.Result.Empty() {
		if answer.Outcome == auditv1.Outcome_OUTCOME_PROTOCOL_ERROR && scan.ErrorCode == mcp.CodeMethodNotFound && r.next == nil {
			return nil // It has nothing of the kind.
		}
		return errors.New("the server refuses to list")
	}
	if scan.ResultType != "" && scan.ResultType != mcp.ResultComplete {
		return errors.New("the result is not complete")
	}
	if r.bytes += len(answer.Body); r.bytes > maxBytes {
		return fmt.Errorf("more than %d bytes", maxBytes)
	}
	return r.take(scan.Result.Of(answer.Body))
}

// request is the message that asks for the next page. The hop writes the rest of
// its _meta.
func (r *reader) request() []byte {
	body := append([]byte(nil), `{"jsonrpc":"2.0","id":1,"method":"`+r.method+`","params":{`...)
	if r.next != nil {
		body = append(append(append(body, `"cursor":`...), r.next...), ',')
	}
	return append(body, `"_meta":{"io.modelcontextprotocol/protocolVersion":"`+mcp.Version20260728+`","io.modelcontextprotocol/clientCapabilities":{}}}}`...)
}

// take notes the definitions of a page, and where the next one begins.
func (r *reader) take(result []byte) error {
	before, listed := r.next, false
	r.next = nil
	err := mcp.Members(result, func(name string, value mcp.Span) error {
		raw := value.Of(result)
		switch {
		case name == r.member:
			listed = true
			return mcp.Elements(raw, func(element mcp.Span) error { return r.note(element.Of(raw)) })
		case name == "nextCursor" && string(raw) != "null":
			r.next = append([]byte(nil), raw...)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !listed:
		return errors.New("the result has no " + r.member)
	case r.next != nil && string(r.next) == string(before):
		return errors.New("the server sends the same cursor again")
	}
	return nil
}

// note keeps the hash of a definition under its name. What has no name or no
// canonical form is nothing that was ever approved.
func (r *reader) note(definition []byte) error {
	if r.count++; r.count > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	name, named := "", false
	err := mcp.Members(definition, func(member string, value mcp.Span) (err error) {
		if member == r.key {
			name, err = mcp.String(value.Of(definition))
			named = err == nil
		}
		return err
	})
	if err != nil || !named {
		return nil
	}
	_, again := r.shown[name]
	hash, err := mcp.DefinitionHash(definition)
	switch {
	case again && !r.once:
	case again || err != nil:
		r.shown[name] = [sha256.Size]byte{} // no hash of anything
	default:
		r.shown[name] = hash
	}
	return nil
}
