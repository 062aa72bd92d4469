package address_test

import (
	"net"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/fault"
)

func TestWhatOthersAreToDialNamesAHostAndAPort(t *testing.T) {
	for given, says := range map[string]string{
		"control.corp:8444":    "",
		"10.0.0.1:8444":        "",
		"[fd00::1]:8444":       "",
		"control.corp":         "--node-address must be HOST:PORT, not control.corp",
		":8444":                "names no host by which others reach the control plane",
		"0.0.0.0:8444":         "names no host",
		"[::]:8444":            "names no host",
		"control.corp:0":       "no port from 1 to 65535",
		"control.corp:https":   "no port from 1 to 65535",
		"control.corp:65536":   "no port from 1 to 65535",
		"$(id):8444":           `"$(id)" is no host`,
		"a b:8444":             `"a b" is no host`,
		"control.corp;id:8444": "is no host",
	} {
		err := address.CheckDial("--node-address", given, "the control plane")
		if says == "" && err != nil || says != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", given, err, says)
		}
	}
}

func TestAListenerIsToldAHostAndAPort(t *testing.T) {
	for _, good := range []string{":0", "127.0.0.1:8444", "[::]:8444"} {
		if err := address.CheckListen("--node-listen", good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	if err := address.CheckListen("--node-listen", "8444"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--node-listen must be HOST:PORT, not 8444") {
		t.Errorf("no address: %v", err)
	}
}

func TestAListenerIsReachedByTheNameItWasGivenAndThePortItGot(t *testing.T) {
	for _, c := range []struct{ listen, bound, others, here string }{
		{"127.0.0.1:0", "127.0.0.1:41234", "127.0.0.1:41234", "127.0.0.1:41234"},
		{"control.corp:8444", "10.0.0.1:8444", "control.corp:8444", "10.0.0.1:8444"},
		{"[::1]:0", "[::1]:41234", "[::1]:41234", "[::1]:41234"},
		{":8444", "[::]:8444", ":8444", "127.0.0.1:8444"},
		{"0.0.0.0:8444", "0.0.0.0:8444", ":8444", "127.0.0.1:8444"},
	} {
		bound, err := net.ResolveTCPAddr("tcp", c.bound)
		if err != nil {
			t.Fatal(err)
		}
		if got := address.Dial(c.listen, bound); got != c.others {
			t.Errorf("%s at %s: others dial %s, want %s", c.listen, c.bound, got, c.others)
		}
		if got := address.Here(bound); got != c.here {
			t.Errorf("%s at %s: this machine dials %s, want %s", c.listen, c.bound, got, c.here)
		}
	}
}
