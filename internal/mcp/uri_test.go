package mcp_test

import (
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestPrefixURI(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///a": "gh+file:///a", "test://template/{id}/data": "gh+test://template/{id}/data", "ui://x": "gh+ui://x", "": "gh+", "a+b:c": "gh+a+b:c", "gh+x:": "gh+gh+x:",
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
	} {
		if slug, own, ok := mcp.CutURI(uri); !ok || slug != want.slug || own != want.own {
			t.Errorf("CutURI(%q) = %q, %q, %v", uri, slug, own, ok)
		}
	}
	for _, uri := range []string{"", "file:///a", "+x:", "GH+x:", "1+x:", "a b+x:", "file:///a+b", "https://a/b+c"} {
		if slug, own, ok := mcp.CutURI(uri); ok || slug != "" || own != "" {
			t.Errorf("CutURI(%q) = %q, %q, %v, want nothing", uri, slug, own, ok)
		}
	}
}
