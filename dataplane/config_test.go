package dataplane

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/internal/fault"
)

func good() Config {
	return Config{DataDir: "x", Listen: "127.0.0.1:7070", ControlPlane: "cp:7071"}
}

func TestValidateSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string // part of the text; empty means valid
	}{
		{"good", func(*Config) {}, ""},
		{"loopback by name", func(c *Config) { c.Listen = "localhost:7070" }, ""},
		{"loopback of IPv6", func(c *Config) { c.Listen = "[::1]:7070" }, ""},
		{"loopback, mapped", func(c *Config) { c.Listen = "[::ffff:127.0.0.2]:7070" }, ""},
		{"no data directory", func(c *Config) { c.DataDir = "" }, "--data-dir"},
		{"no control plane", func(c *Config) { c.ControlPlane = "" }, "--control-plane"},
		{"control plane without a port", func(c *Config) { c.ControlPlane = "cp" }, "HOST:PORT"},
		{"listen without a port", func(c *Config) { c.Listen = "127.0.0.1" }, "HOST:PORT"},
		{"all addresses in the clear", func(c *Config) { c.Listen = "0.0.0.0:7070" }, "--behind-proxy"},
		{"all addresses, short", func(c *Config) { c.Listen = ":7070" }, "--tls-cert"},
		{"private address in the clear", func(c *Config) { c.Listen = "10.0.0.1:7070" }, "in the clear"},
		{"another name in the clear", func(c *Config) { c.Listen = "node.example:7070" }, "in the clear"},
		{"all addresses behind a proxy", func(c *Config) { c.Listen, c.BehindProxy = ":7070", true }, ""},
		{"all addresses with TLS", func(c *Config) { c.Listen, c.TLSCert, c.TLSKey = ":7070", "c", "k" }, ""},
		{"certificate without a key", func(c *Config) { c.TLSCert = "c" }, "--tls-key"},
		{"profiles on loopback", func(c *Config) { c.Pprof, c.MetricsListen = true, "127.0.0.1:9090" }, ""},
		{"profiles with the clients", func(c *Config) { c.Pprof = true }, "--metrics-listen"},
		{"profiles for a network", func(c *Config) { c.Pprof, c.MetricsListen = true, ":9090" }, "loopback"},
		{"tunnels at an address", func(c *Config) { c.TunnelListen = "10.0.0.1:7071" }, ""},
		{"tunnels at a name", func(c *Config) { c.TunnelListen = "node.example:7071" }, ""},
		{"tunnels by another address", func(c *Config) { c.TunnelListen, c.TunnelAddress = ":7071", "node.example:443" }, ""},
		{"tunnels without a port", func(c *Config) { c.TunnelListen = "10.0.0.1" }, "--tunnel-listen must be HOST:PORT, not 10.0.0.1"},
		{"tunnels at all addresses", func(c *Config) { c.TunnelListen = "0.0.0.0:7071" }, "--tunnel-listen 0.0.0.0:7071 names no host"},
		{"tunnels at all addresses of IPv6", func(c *Config) { c.TunnelListen = "[::]:7071" }, "--tunnel-address HOST:PORT"},
		{"tunnels at all addresses, short", func(c *Config) { c.TunnelListen = ":7071" }, "--tunnel-address HOST:PORT"},
		{"an address of tunnels alone", func(c *Config) { c.TunnelAddress = "node.example:443" }, "--tunnel-address is of no use without --tunnel-listen"},
		{"an address of tunnels without a port", func(c *Config) { c.TunnelListen, c.TunnelAddress = ":7071", "node.example" }, "--tunnel-address must be HOST:PORT, not node.example"},
		{"an address of tunnels without a host", func(c *Config) { c.TunnelListen, c.TunnelAddress = ":7071", ":443" }, "--tunnel-address :443 names no host"},
		{"an address of tunnels that is all", func(c *Config) { c.TunnelListen, c.TunnelAddress = ":7071", "0.0.0.0:443" }, "--tunnel-address 0.0.0.0:443 names no host"},
		{"an address of tunnels with a bad port", func(c *Config) { c.TunnelListen, c.TunnelAddress = ":7071", "node.example:https" }, "--tunnel-address node.example:https"},
		{"an address of tunnels without port", func(c *Config) { c.TunnelListen, c.TunnelAddress = ":7071", "node.example:0" }, "--tunnel-address node.example:0"},
		{"audit on the disk", func(c *Config) { c.AuditSync = SyncAll }, ""},
		{"audit somewhere else", func(c *Config) { c.AuditSync = "always" }, "--audit-sync must be risky, all or none, not always"},
		{"negative limit", func(c *Config) { c.MaxBody = -1 }, "negative"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := good()
			test.change(&config)
			err := config.Validate()
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v; want no error", err)
				}
				return
			}
			if err == nil || !strings.Contains(fault.Text(err), test.want) {
				t.Errorf("got %v; want …%s…", err, test.want)
			}
		})
	}
}

func TestFlagsSetTheConfig(t *testing.T) {
	var config Config
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Flags(flags)
	err := flags.Parse([]string{"--data-dir=d", "--control-plane=cp:1", "--allowed-host=a", "--allowed-host=b", "--max-body=7", "--audit-sync=all"})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DataDir: "d", ControlPlane: "cp:1", AllowedHosts: []string{"a", "b"}, MaxBody: 7,
		Listen: defaultListen, DrainTime: defaultDrainTime, AuditSync: SyncAll,
	}
	got := config
	if diff := cmp.Diff([]any{want.DataDir, want.ControlPlane, want.AllowedHosts, want.MaxBody, want.Listen, want.DrainTime, want.AuditSync},
		[]any{got.DataDir, got.ControlPlane, got.AllowedHosts, got.MaxBody, got.Listen, got.DrainTime, got.AuditSync}); diff != "" {
		t.Error(diff)
	}
}

func TestHostsAreLoopbackNamesTheListenAddressAndThoseAllowed(t *testing.T) {
	for listen, want := range map[string][]string{
		"127.0.0.1:1": {"::1", "127.0.0.1", "localhost", "x"},
		"10.0.0.1:1":  {"10.0.0.1", "::1", "127.0.0.1", "localhost", "x"},
		":1":          {"::1", "127.0.0.1", "localhost", "x"},
		"0.0.0.0:1":   {"::1", "127.0.0.1", "localhost", "x"},
	} {
		config := Config{Listen: listen, AllowedHosts: []string{"x"}}
		got := config.hosts()
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("%s: %s", listen, diff)
		}
	}
}
