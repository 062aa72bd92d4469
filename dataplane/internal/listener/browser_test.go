package listener

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestWhoTriesAnotherMethodIsToldWhatIsAllowed(t *testing.T) {
	d := open(t)
	for _, test := range []struct{ method, version, allow string }{
		{http.MethodPut, mcp.Version20251125, "GET, POST, DELETE, OPTIONS"},
		{"PROPFIND", mcp.Version20251125, "GET, POST, DELETE, OPTIONS"},
		{http.MethodGet, mcp.Version20260728, "POST, OPTIONS"},
		{http.MethodDelete, mcp.Version20260728, "POST, OPTIONS"},
	} {
		m := d.bare("")
		m.method = test.method
		m.set("Mcp-Protocol-Version", test.version)
		if got := d.send(m); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d %v", test.method, test.version, got.status, got.header)
		}
	}
	if events := d.audit.taken(); len(events) > 0 {
		t.Errorf("recorded as if something had been refused: %v", events)
	}
}

func TestBrowsersOfAllowedOriginsMayCall(t *testing.T) {
	d := open(t)
	own := "http://" + d.Listener.Addr().String()
	for _, origin := range []string{"https://tools.example", own} {
		preflight := d.legacy("")
		preflight.method, preflight.header = http.MethodOptions, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"POST"},
			"Access-Control-Request-Headers": {"authorization, mcp-param-City, x-evil"},
		}
		got := d.send(preflight)
		allowed := got.header.Get("Access-Control-Allow-Headers")
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != origin ||
			!strings.Contains(allowed, "mcp-param-city") || strings.Contains(allowed, "evil") ||
			!strings.Contains(allowed, "mcp-session-id") || !strings.Contains(allowed, "last-event-id") ||
			got.header.Get("Access-Control-Allow-Methods") != "GET, POST, DELETE" {
			t.Errorf("%s: preflight %d %v", origin, got.status, got.header)
		}
		called := d.send(d.legacy(call).with(func(m *message) { m.set("Origin", origin) }))
		if called.status != http.StatusOK || called.header.Get("Access-Control-Allow-Origin") != origin || called.header.Get("Vary") != "Origin" ||
			!strings.Contains(called.header.Get("Access-Control-Expose-Headers"), "Mcp-Session-Id") {
			t.Errorf("%s: call %d %v", origin, called.status, called.header)
		}
	}
	foreign := d.legacy("").with(func(m *message) { m.method = http.MethodOptions; m.set("Origin", "https://evil.example") })
	if got := d.send(foreign); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign preflight: %d %v", got.status, got.header)
	}
}

func TestHostNamesAreComparedWithoutPortAndCapitals(t *testing.T) {
	d := open(t)
	for _, host := range []string{"127.0.0.1", "127.0.0.1:1234", "Node.Example", "node.example:443"} {
		if got := d.send(d.legacy(call).with(func(m *message) { m.host = host })); got.status != http.StatusOK {
			t.Errorf("%s: %d", host, got.status)
		}
	}
	hosts := newHosts([]string{"::1", "LOCALHOST"})
	for host, want := range map[string]bool{
		"[::1]:7070": true, "[0:0:0:0:0:0:0:1]": true, "localhost": true, "localhost:7070": true,
		"localhost.": false, "[::2]": false, "": false, "localhost@evil": false, "evil:localhost": false,
	} {
		if hosts.allow(host) != want {
			t.Errorf("%q: allowed %v", host, !want)
		}
	}
}

func TestT37_WhatSharesTheAddressAnswersToOurNamesOnly(t *testing.T) {
	l := &Listener{hosts: newHosts([]string{"node.corp", "127.0.0.1"})}
	served := l.Named(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }))
	for host, want := range map[string]int{
		"node.corp": http.StatusOK, "NODE.corp:8443": http.StatusOK, "127.0.0.1:8443": http.StatusOK,
		"evil.example": http.StatusMisdirectedRequest, "node.corp.evil.example:8443": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		if w.Code != want || strings.Contains(w.Body.String(), "metrics") != (want == http.StatusOK) {
			t.Errorf("%q: %d %s", host, w.Code, w.Body)
		}
	}
}
