package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// list returns every tool definition of the server, page by page, as it was
// sent. An empty cursor is a cursor like any other; only an absent one ends the
// list. A cursor that comes twice would never end, so it is an error.
func (c *conversation) list(ctx context.Context) ([][]byte, error) {
	var all [][]byte
	seen := make(map[[sha256.Size]byte]bool)
	cursor := ""
	for range c.caps.pages {
		page, err := c.page(ctx, cursor)
		if err != nil {
			return nil, err
		}
		if all = append(all, page.tools...); len(all) > c.caps.tools {
			return nil, c.trouble(fault.Precondition, nil, "offers more than %d tools, which is refused", c.caps.tools)
		}
		if cursor = page.next; cursor == "" {
			return all, nil
		}
		sum := sha256.Sum256([]byte(cursor))
		if seen[sum] {
			return nil, c.trouble(fault.Precondition, nil, "sends the same cursor again, so that its list of tools has no end; look at its log")
		}
		seen[sum] = true
	}
	return nil, c.trouble(fault.Precondition, nil, "spreads its tools over more than %d pages, which is refused", c.caps.pages)
}

type page struct {
	tools [][]byte
	next  string // raw JSON string; empty: this is the last page
}

func (c *conversation) page(ctx context.Context, cursor string) (page, error) {
	a, err := c.call(ctx, mcp.MethodToolsList, c.params(cursor))
	if err != nil {
		return page{}, err
	}
	result := a.result()
	if result == nil {
		return page{}, c.noPage(a, cursor)
	}
	if t := a.message.ResultType; t != "" && t != mcp.ResultComplete {
		return page{}, c.garbage(errors.New("result is not complete"), mcp.MethodToolsList)
	}
	p, err := readPage(result)
	if err != nil {
		return page{}, c.garbage(err, mcp.MethodToolsList)
	}
	return p, nil
}

// noPage explains an answer without a result. A server that does not know the
// method has no tools, which is no error.
func (c *conversation) noPage(a *answer, cursor string) error {
	code, ok := a.code()
	switch {
	case ok && code == mcp.CodeMethodNotFound && cursor == "":
		return nil
	case ok && aboutEra(a.status):
		return c.refusal(mcp.MethodToolsList, code)
	case a.status/100 == 2:
		return c.garbage(nil, mcp.MethodToolsList)
	}
	return c.statusFault(a.status)
}

// readPage reads a tools/list result; the bytes of the definitions are copies.
func readPage(result []byte) (p page, err error) {
	listed := false
	err = mcp.Members(result, func(name string, value mcp.Span) error {
		raw := value.Of(result)
		switch name {
		case "tools":
			listed = true
			return mcp.Elements(raw, func(element mcp.Span) error {
				p.tools = append(p.tools, bytes.Clone(element.Of(raw)))
				return nil
			})
		case "nextCursor":
			return p.setNext(raw)
		}
		return nil
	})
	if err == nil && !listed {
		err = errors.New("result has no tools")
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
