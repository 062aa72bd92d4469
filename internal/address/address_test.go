package address_test

import (
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/fault"
)

func TestOnlyLoopbackIsServedInTheClear(t *testing.T) {
	for listen, clear := range map[string]bool{
		"127.0.0.1:7070":          true,
		"127.9.9.9:1":             true,
		"localhost:7070":          true,
		"[::1]:7070":              true,
		"[::ffff:127.0.0.1]:7070": true,
		":7070":                   false,
		"0.0.0.0:7070":            false,
		"[::]:7070":               false,
		"10.0.0.1:7070":           false,
		"gateway.corp:7070":       false,
		"localhost.corp:7070":     false,
	} {
		err := address.CheckClear(listen, false, "API keys")
		if (err == nil) != clear {
			t.Errorf("%s: %v", listen, err)
		}
		if err != nil && (!fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "API keys")) {
			t.Errorf("%s: %v", listen, err)
		}
		if err := address.CheckClear(listen, true, "API keys"); err != nil {
			t.Errorf("%s with TLS: %v", listen, err)
		}
	}
	if err := address.CheckClear("nowhere", true, "API keys"); !fault.Is(err, fault.Invalid) {
		t.Errorf("no address: %v", err)
	}
}

func TestHostIsTheNameThatClientsUse(t *testing.T) {
	for listen, want := range map[string]string{
		"gateway.corp:7070": "gateway.corp",
		"10.0.0.1:7070":     "10.0.0.1",
		"[::1]:7070":        "::1",
		":7070":             "",
		"0.0.0.0:7070":      "",
		"[::]:7070":         "",
		"nonsense":          "",
	} {
		if got := address.Host(listen); got != want {
			t.Errorf("Host(%q) = %q, not %q", listen, got, want)
		}
	}
}
