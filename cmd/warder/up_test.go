package main

import "testing"

// TestWhoMayComeFromElsewhereIsNotTakenForTheUser: what is assigned to the local agent without a file runs as whoever
// started 'warder up' (security.md T-26).
func TestWhoMayComeFromElsewhereIsNotTakenForTheUser(t *testing.T) {
	for name, c := range map[string]struct {
		config upConfig
		want   bool
	}{
		"loopback alone":         {upConfig{}, true},
		"its own URL":            {upConfig{publicURLs: []string{"http://127.0.0.1:7070", "http://localhost:7070"}}, true},
		"a name of this machine": {upConfig{hosts: []string{"localhost"}}, true},
		"a proxy":                {upConfig{behindProxy: true}, false},
		"a proxy on loopback":    {upConfig{publicURLs: []string{"https://mcp.example.com"}}, false},
		"another name":           {upConfig{hosts: []string{"mcp.example.com"}}, false},
		"what is no URL":         {upConfig{publicURLs: []string{"http://[::1"}}, false},
	} {
		if got := c.config.alone(); got != c.want {
			t.Errorf("%s: alone %v", name, got)
		}
	}
}
