package dataplane

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// TestConditionsHoldFromClientToServer drives the official SDK's client, in both eras and at both endpoints, to servers
// behind rules with conditions: what is listed, what may be called with which arguments, and what the answers say.
func TestConditionsHoldFromClientToServer(t *testing.T) {
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		for _, path := range []string{"/mcp", "/mcp/any"} {
			t.Run(version+" at "+path, func(t *testing.T) {
				n := startNodes(t, 1, map[string]*everything{"any": startEverything(t, version), "other": startEverything(t, version)}, restrict)
				cs, _ := n.connect(t, path, version)
				prefix, uri := "", watched
				if path == "/mcp" {
					prefix, uri = "any__", "any+"+watched
				}
				tools, err := cs.ListTools(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, tool := range tools.Tools {
					names = append(names, tool.Name)
				}
				if slices.Sort(names); !slices.Equal(names, []string{prefix + "touch", prefix + "work"}) {
					t.Errorf("listed: %q; ask is for nobody, and the key is not good for the other server", names)
				}
				for _, test := range []struct {
					tool      string
					arguments map[string]any
					rule      string // that denies; "" is none
				}{
					{"work", map[string]any{"path": "/tmp/a", "deep": map[string]any{"n": []any{1, 2}}}, ""},
					{"work", map[string]any{}, "rest"},
					{"work", map[string]any{"path": "/tmp/a", "deep": map[string]any{"n": []any{1, 3}}}, "rest"},
					{"work", map[string]any{"path": 7}, "paths"},
					{"touch", map[string]any{}, ""},
					{"ask", map[string]any{}, "rest"},
				} {
					_, err := cs.CallTool(t.Context(), &sdk.CallToolParams{Name: prefix + test.tool, Arguments: test.arguments})
					expect(t, fmt.Sprint(test.tool, test.arguments), err, test.rule)
				}
				for who, rule := range map[string]string{"eve": "rest", "bob": ""} {
					_, err := cs.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: prefix + "greet", Arguments: map[string]string{"who": who}})
					expect(t, "greet "+who, err, rule)
				}
				_, err = cs.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uri})
				expect(t, "read", err, "rest")
				if path == "/mcp" {
					_, err = cs.CallTool(t.Context(), &sdk.CallToolParams{Name: "other__touch"})
					expect(t, "another server's tool", err, "key-servers")
				}
			})
		}
	}
}

// restrict gives ana's key one server, and lets her do there what conditions say.
func restrict(w *gatetest.World) {
	const allow = snapshotv1.Effect_EFFECT_ALLOW
	for i, rule := range []*snapshotv1.Rule{
		{Name: "paths", Effect: allow, Tools: []string{"*/work"}, When: `arguments.path.startsWith("/tmp/") && arguments.deep.n[1] == 2`},
		{Name: "client", Effect: allow, Tools: []string{"*/touch"}, When: `client.name == "test" && now > timestamp("2020-01-01T00:00:00Z")`},
		{Name: "nobody", Effect: allow, Tools: []string{"*/ask"}, When: `"eng" in principal.groups`},
		{Name: "people", Effect: allow, Prompts: []string{"*/greet"}, When: `arguments.who != "eve"`},
		{Name: "never", Effect: allow, Resources: []string{"*"}, When: `arguments.uri == "file:///b" || now < timestamp("2020-01-01T00:00:00Z")`},
		{Name: "rest", Effect: snapshotv1.Effect_EFFECT_DENY},
	} {
		rule.Id, rule.Priority = rule.GetName(), int32(i)
		w.Rule(rule)
	}
	for _, item := range w.Items {
		if key := item.GetKey(); key != nil {
			key.Servers = []string{"any"}
		}
	}
}

// expect holds an answer to the rule that denies it, if one does.
func expect(t *testing.T, what string, err error, rule string) {
	t.Helper()
	if rule == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var data struct {
		Rule string `json:"rule"`
	}
	wire, ok := errors.AsType[*jsonrpc.Error](err)
	if !ok || wire.Code != 1403 || json.Unmarshal(wire.Data, &data) != nil || data.Rule != rule {
		t.Errorf("%s: %v; want a denial by %s", what, err, rule)
	}
}
