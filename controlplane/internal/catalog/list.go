package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// emptyCursor is the raw cursor of no characters.
const emptyCursor = `""`

// list returns every definition of a kind, page by page, as it was sent. An
// empty cursor is a cursor like any other; only an absent one ends the list. A
// cursor that comes twice would never end, so it is an error, but for this: a
// server that means the end by an empty one takes ours for none at all and sends
// its page again, which is the end then.
func (c *conversation) list(ctx context.Context, l *listing) ([][]byte, error) {
	var all [][]byte
	seen := make(map[[sha256.Size]byte]bool)
	cursor := ""
	for range c.caps.pages {
		page, err := c.page(ctx, l, cursor)
		if err != nil {
			return nil, err
		}
		if cursor == emptyCursor && page.next == emptyCursor && slices.EqualFunc(all, page.definitions, bytes.Equal) {
			return all, nil
		}
		if all = append(all, page.definitions...); len(all) > c.caps.entries {
			return nil, c.trouble(fault.Precondition, nil, "offers more than %d %s, which is refused", c.caps.entries, l.noun)
		}
		if cursor = page.next; cursor == "" {
			return all, nil
		}
		sum := sha256.Sum256([]byte(cursor))
		if seen[sum] {
			return nil, c.trouble(fault.Precondition, nil, "sends the same cursor again, so that its list of %s has no end; look at its log", l.noun)
		}
		seen[sum] = true
	}
	return nil, c.trouble(fault.Precondition, nil, "spreads its %s over more than %d pages, which is refused", l.noun, c.caps.pages)
}

type page struct {
	definitions [][]byte
	next        string // raw JSON string; empty: this is the last page
}

func (c *conversation) page(ctx context.Context, l *listing, cursor string) (page, error) {
	a, err := c.call(ctx, l.method, c.params(cursor))
	if err != nil {
		return page{}, err
	}
	result := a.result()
	if result == nil {
		return page{}, c.noPage(a, l, cursor)
	}
	if t := a.message.ResultType; t != "" && t != mcp.ResultComplete {
		return page{}, c.garbage(errors.New("result is not complete"), l.method)
	}
	p, err := readPage(result, l.member)
	if err != nil {
		return page{}, c.garbage(err, l.method)
	}
	return p, nil
}

// noPage explains an answer without a result. A server that does not know the
// method has nothing of the kind, which is no error.
func (c *conversation) noPage(a *answer, l *listing, cursor string) error {
	code, ok := a.code()
	switch {
	case ok && code == mcp.CodeMethodNotFound && cursor == "":
		return nil
	case ok && aboutEra(a.status):
		return c.refusal(l.method, code)
	case a.status/100 == 2:
		return c.garbage(nil, l.method)
	}
	return c.statusFault(a.status)
}

// readPage reads the result of a list; the bytes of the definitions are copies.
func readPage(result []byte, member string) (p page, err error) {
	listed := false
	err = mcp.Members(result, func(name string, value mcp.Span) error {
		raw := value.Of(result)
		switch name {
		case member:
			listed = true
			return mcp.Elements(raw, func(element mcp.Span) error {
				p.definitions = append(p.definitions, bytes.Clone(element.Of(raw)))
				return nil
			})
		case "nextCursor":
			return p.setNext(raw)
		}
		return nil
	})
	if err == nil && !listed {
		err = errors.New("result has no " + member)
	}
	return p, err
}

func (p *page) setNext(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	if _, err := mcp.String(raw); err != nil {
		return errors.New("nextCursor is not a string")
	}
	p.next = string(raw)
	return nil
}
