package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// listCallers is how many ask for a list at once.
const listCallers = 16

// lists compares tools/list over HTTP with a static file of the very same bytes,
// which http.FileServer sends, and with the same bytes sent from memory by a bare
// handler of net/http, which is the least that a list can cost: the whole catalogue, which is served from prepared
// bytes as well, and what a role lets through of it, which costs no more for being
// filtered.
func (b *bench) lists(ctx context.Context, n *node) ([]reading, error) {
	files := filepath.Join(b.dir, "files")
	if err := os.MkdirAll(files, 0o700); err != nil {
		return nil, err
	}
	server := &subject{name: "file"}
	var err error
	if server.address, server.process, err = b.startRole("files", productCore, files); err != nil {
		return nil, err
	}
	held := &subject{name: "held", address: server.address, process: server.process}
	all, err := b.list(ctx, n, []*subject{server, held}, files, n.lister, catalogueTools)
	if err != nil {
		return nil, err
	}
	some, err := b.list(ctx, n, []*subject{server}, files, n.some, filteredTools)
	if err != nil {
		return nil, err
	}
	of := func(tools int, what string) string { return fmt.Sprintf("list of %d tools: %s", tools, what) }
	ratio := func(f func(sample) float64, samples [][]sample) float64 {
		return perRound(samples, func(s []sample) float64 { return f(s[0]) / f(s[1]) })
	}
	return []reading{
		{Name: of(catalogueTools, "lists in a second"), Value: over(all[0], sample.throughput)},
		{Name: of(catalogueTools, "share of its core that the node used"), Value: over(all[0], sample.busy)},
		{Name: of(catalogueTools, "share of its core that the file server used"), Value: over(all[1], sample.busy)},
		{Name: of(catalogueTools, "throughput ÷ static file"), Value: ratio(sample.throughput, all), AtLeast: 0.8},
		{Name: of(catalogueTools, "CPU ÷ static file"), Value: ratio(sample.cpuPerCall, all)},
		{Name: of(catalogueTools, "throughput ÷ the same bytes from memory, by net/http alone"), Value: perRound(all, func(s []sample) float64 { return s[0].throughput() / s[2].throughput() })},
		{Name: of(filteredTools, "CPU of the static file"), Value: over(some[1], sample.cpuPerCall), Unit: "µs"},
		{Name: of(filteredTools, "CPU, filtered by policy"), Value: over(some[0], sample.cpuPerCall), Unit: "µs", AtMost: 250},
		{Name: of(filteredTools, "throughput ÷ static file"), Value: ratio(sample.throughput, some)},
	}, nil
}

// list measures one list at the node and as a file. The samples are of the node,
// and then of the servers: of the file, and of the bytes in memory if that is asked for.
func (b *bench) list(ctx context.Context, n *node, servers []*subject, files, key string, tools int) ([][]sample, error) {
	request := post("/mcp", key, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n",
		`{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{`+metaModern+`}}`)
	want, err := firstList(n.address, request, tools)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("list-%d.json", tools)
	if err := os.WriteFile(filepath.Join(files, name), want, 0o600); err != nil {
		return nil, err
	}
	get := func(path string) []byte {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n", path)
	}
	right := func(answer []byte) bool { return bytes.Equal(answer, want) }
	works := func(s *subject) work {
		return work{callers: listCallers, ready: func(c *connection) error {
			c.right = right
			switch {
			case s == &n.subject:
				c.request = request
			case s.name == "held":
				c.request = get(heldPrefix + name)
			default:
				c.request = get("/" + name)
			}
			return nil
		}}
	}
	return interleave(ctx, b.rounds, b.duration, append([]*subject{&n.subject}, servers...), works)
}

// firstList asks for a list once, and looks whether all of it is there.
func firstList(address string, request []byte, tools int) ([]byte, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer, _, err := c.ask(request)
	if err != nil {
		return nil, err
	}
	if got := bytes.Count(answer, []byte(`"inputSchema":`)); got != tools || bytes.Contains(answer, []byte(`"nextCursor"`)) {
		return nil, fmt.Errorf("the first page has %d tools; want all %d: %.300s", got, tools, answer)
	}
	return slices.Clone(answer), nil
}
