package catalog

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/fault"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// everything returns a server of the official SDK that offers each kind, two a
// page.
func everything() *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "fixture", Version: "1"},
		&sdk.ServerOptions{PageSize: 2, Instructions: "Be kind."})
	read := func(context.Context, *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{}, nil
	}
	for _, letter := range []string{"a", "b", "c", "d", "e"} {
		sdk.AddTool(server, &sdk.Tool{Name: "delete_" + letter},
			func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
				return &sdk.CallToolResult{}, nil, nil
			})
		server.AddPrompt(&sdk.Prompt{Name: "prompt_" + letter},
			func(context.Context, *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
				return &sdk.GetPromptResult{}, nil
			})
		server.AddResource(&sdk.Resource{URI: "doc://" + letter, Name: letter}, read)
		server.AddResourceTemplate(&sdk.ResourceTemplate{URITemplate: "doc://" + letter + "/{x}", Name: letter}, read)
	}
	return server
}

// summary is "kind name" of each entry, in order.
func summary(found *Discovery) (lines []string) {
	for _, e := range found.Entries {
		lines = append(lines, string(e.Kind)+" "+e.Name)
	}
	return lines
}

func TestDiscoverFindsEveryKindOfOfficialServers(t *testing.T) {
	server := everything()
	get := func(*http.Request) *sdk.Server { return server }
	var want []string
	for _, prefix := range []string{"tool delete_%s", "prompt prompt_%s", "resource doc://%s", "template doc://%s/{x}"} {
		for _, letter := range []string{"a", "b", "c", "d", "e"} {
			want = append(want, fmt.Sprintf(prefix, letter))
		}
	}
	want = append(want, "instructions instructions")
	for name, c := range map[string]struct {
		handler http.Handler
		version string
	}{
		"modern":             {sdk.NewStreamableHTTPHandler(get, &sdk.StreamableHTTPOptions{Stateless: true}), "2026-07-28"},
		"legacy, JSON":       {sdk.NewStreamableHTTPHandler(get, &sdk.StreamableHTTPOptions{JSONResponse: true}), "2025-11-25"},
		"legacy, events":     {sdk.NewStreamableHTTPHandler(get, nil), "2025-11-25"},
		"HTTP+SSE (2024-11)": {sdk.NewSSEHandler(get, nil), ""},
	} {
		t.Run(name, func(t *testing.T) {
			front := record(t, c.handler)
			found, err := NewDiscoverer("test").Discover(t.Context(), front.target())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, summary(found)); diff != "" || len(found.Failed)+len(found.Refused) != 0 {
				t.Errorf("failed %v, refused %v: %s", found.Failed, found.Refused, diff)
			}
			if c.version != "" && found.ProtocolVersion != c.version || found.ProtocolVersion == "" {
				t.Errorf("version %q", found.ProtocolVersion)
			}
			if !Declares(found.Capabilities, "prompts") || Declares(found.Capabilities, "tasks") {
				t.Errorf("capabilities %s", found.Capabilities)
			}
			for _, e := range found.Entries {
				risky := e.Kind == Tool
				if (e.Risk == snapshotv1.Risk_RISK_DESTRUCTIVE) != risky || (e.Risk == snapshotv1.Risk_RISK_READ) == risky {
					t.Errorf("%s: risk %v", e.Name, e.Risk)
				}
			}
			if strings.HasPrefix(name, "HTTP+SSE") && front.count(func(q *http.Request) bool { return q.Method == http.MethodGet }) != 1 {
				t.Error("the stream was not opened once")
			}
		})
	}
}

// An event stream that is not of the transport, or leads to another origin, is no
// HTTP+SSE server; what it said to the POST is what people get to see.
func TestEndpointsElsewhereAreNotFollowed(t *testing.T) {
	elsewhere := record(t, http.NotFoundHandler())
	for name, data := range map[string]string{
		"another origin": elsewhere.URL + "/messages", "another scheme": "ftp://127.0.0.1/", "credentials": "http://a:b@127.0.0.1/",
		"no URL": "http://[::1/",
	} {
		t.Run(name, func(t *testing.T) {
			front := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					http.Error(w, "CANARY", http.StatusMethodNotAllowed)
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", data)
			}))
			_, err := discoverer().Discover(t.Context(), front.target())
			if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "HTTP 405") {
				t.Errorf("Discover = %v", err)
			}
			if n := elsewhere.count(func(*http.Request) bool { return true }); n != 0 {
				t.Errorf("%d requests went elsewhere", n)
			}
		})
	}
}

const (
	fullHello  = `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{"listChanged":true},"resources":{}},"ttlMs":0,"cacheScope":"private"}}`
	muteHello  = `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"ttlMs":0,"cacheScope":"private"}}`
	onePrompt  = `{"jsonrpc":"2.0","id":%s,"result":{"prompts":[{"name":"p"}]}}`
	oneURI     = `{"jsonrpc":"2.0","id":%s,"result":{"resources":[{"uri":"a:b","name":"x"}]}}`
	brokenList = `{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"CANARY"}}`
)

func TestAKindThatFailsHidesNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		script script
		want   []string
		failed []string
	}{
		"prompts fail": {
			script{"server/discover": fullHello, "tools/list": oneTool, "prompts/list": brokenList, "resources/list": oneURI},
			[]string{"tool a", "resource a:b"}, []string{"prompts: server \"fixture\" refused prompts/list (error -32603)"},
		},
		"tools fail": {
			script{"server/discover": fullHello, "tools/list": brokenList, "prompts/list": onePrompt, "resources/list": `{"jsonrpc":"2.0","id":%s,"result":{}}`},
			[]string{"prompt p"}, []string{"tools: server \"fixture\" refused tools/list (error -32603)", "resources: server \"fixture\" answered resources/list with something"},
		},
		"a server that does not say what it has": {
			script{"server/discover": muteHello, "prompts/list": onePrompt}, []string{"prompt p"}, nil,
		},
		"a server that says it has tools alone is not asked for others": {
			script{"server/discover": modernHello, "tools/list": oneTool, "prompts/list": onePrompt}, []string{"tool a"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := discoverer().Discover(t.Context(), record(t, c.script).target())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, summary(found)); diff != "" {
				t.Error(diff)
			}
			if len(found.Failed) != len(c.failed) {
				t.Fatalf("failed %v", found.Failed)
			}
			for i, f := range found.Failed {
				if !strings.HasPrefix(f.String(), c.failed[i]) || strings.Contains(f.String(), "CANARY") {
					t.Errorf("failed %q, want %q", f, c.failed[i])
				}
			}
		})
	}
}

// A server that means the end by an empty cursor begins again, because an empty
// cursor from us is none to it.
func TestAnEmptyCursorThatRepeatsThePageIsTheEnd(t *testing.T) {
	list := `{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"a","inputSchema":{}},{"name":"b","inputSchema":{}}],"nextCursor":""}}`
	found, err := discoverer().Discover(t.Context(), record(t, script{"server/discover": modernHello, "tools/list": list}).target())
	if err != nil || len(found.Entries) != 2 || len(found.Refused) != 0 {
		t.Fatalf("Discover = %+v, %v", found, err)
	}
}

func TestOnlyTheServersOwnAuthorityCounts(t *testing.T) {
	server := httptest.NewUnstartedServer(script{"server/discover": modernHello, "tools/list": oneTool})
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	target := Target{Name: "s", URL: server.URL, Private: true}
	for name, c := range map[string]struct {
		authorities, says string
	}{
		"its own":     {own, ""},
		"none":        {"", "does not trust"},
		"another's":   {authority(t, time.Hour), "does not trust"},
		"one expired": {own + authority(t, -time.Hour), "expired on"},
	} {
		target.CACertificates = c.authorities
		found, err := NewDiscoverer("test").Discover(t.Context(), target)
		if (err == nil) != (c.says == "") || !strings.Contains(fault.Text(err), c.says) {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
}

// authority makes a certificate that lives this long from now, as PEM.
func authority(t *testing.T, life time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corp"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
