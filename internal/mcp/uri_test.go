package mcp_test

import (
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestPrefixURI(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///a": "gh+file:///a", "test://template/{id}/data": "gh+test://template/{id}/data", "ui://x": "ui://gh/x", "ui://": "ui://gh/", "ui://gh/x": "ui://gh/gh/x",
		"ui://{a}/b": "ui://gh/{a}/b", "ui:x": "gh+ui:x", "UI://x": "gh+UI://x", "uid://x": "gh+uid://x", "": "gh+", "a+b:c": "gh+a+b:c", "gh+x:": "gh+gh+x:",
		"http://a": "http://a", "https://a": "https://a", "hTTps:a": "hTTps:a", "httpx:a": "gh+httpx:a", "http": "gh+http",
	} {
		if got := mcp.PrefixURI(mcp.URIPrefix("gh"), uri); got != want {
			t.Errorf("PrefixURI(%q) = %q, want %q", uri, got, want)
		}
		if got := mcp.PrefixURI("", uri); got != uri {
			t.Errorf("PrefixURI(%q) without a prefix = %q", uri, got)
		}
	}
}

func TestCutURI(t *testing.T) {
	for uri, want := range map[string]struct{ slug, own string }{
		"gh+file:///a": {"gh", "file:///a"}, "gh+a+b:c": {"gh", "a+b:c"}, "gh+": {"gh", ""}, "git+ssh://x": {"git", "ssh://x"}, "a-1+x:": {"a-1", "x:"},
		"ui://gh/x": {"gh", "ui://x"}, "ui://gh/": {"gh", "ui://"}, "ui://gh/gh/x+y": {"gh", "ui://gh/x+y"}, "gh+ui:x": {"gh", "ui:x"},
	} {
		if slug, own, ok := mcp.CutURI(uri); !ok || slug != want.slug || own != want.own {
			t.Errorf("CutURI(%q) = %q, %q, %v", uri, slug, own, ok)
		}
	}
	for _, uri := range []string{"", "file:///a", "+x:", "GH+x:", "1+x:", "a b+x:", "file:///a+b", "https://a/b+c", "ui://gh", "ui://", "ui:///x", "ui://GH/x", "ui://gh+x/y", "gh+ui://x"} {
		if slug, own, ok := mcp.CutURI(uri); ok || slug != "" || own != "" {
			t.Errorf("CutURI(%q) = %q, %q, %v, want nothing", uri, slug, own, ok)
		}
	}
}

// TestPagesOfAppsKeepTheirScheme: hosts look for ui:// in what a call answers, too.
func TestPagesOfAppsKeepTheirScheme(t *testing.T) {
	for own, want := range map[string]string{
		`"ui://charts/bar"`:                   `"ui://gh/charts/bar"`,
		`"ui:\/\/charts\/bar"`:                `"ui:\/\/gh/charts\/bar"`, // as PHP writes it
		`"\u0075i\u003a\u002F/charts/\u00e9"`: `"\u0075i\u003a\u002F/gh/charts/\u00e9"`,
	} {
		body := []byte(`{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":` + own + `,"text":"<p>"}]}}`)
		var resp mcp.Response
		if err := mcp.ScanResponse(body, mcp.Limits{}, &resp); err != nil {
			t.Fatal(err)
		}
		got := mcp.RewriteResponse(nil, body, &resp, &mcp.Reply{ID: []byte("1"), Method: mcp.MethodResourcesRead, URIPrefix: mcp.URIPrefix("gh")})
		if !strings.Contains(string(got), `"uri":`+want+`,`) {
			t.Errorf("%s became %s, want %s", own, got, want)
		}
		note := []byte(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":` + own + `}}`)
		if err := mcp.ScanResponse(note, mcp.Limits{}, &resp); err != nil {
			t.Fatal(err)
		}
		if got := mcp.RewriteNotification(nil, note, &resp, &mcp.Note{URIPrefix: mcp.URIPrefix("gh")}); !strings.Contains(string(got), want) {
			t.Errorf("the update of %s became %s", own, got)
		}
	}
}
