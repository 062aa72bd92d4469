package doorman

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// street is a doorman, connections from addresses, and who may come with what.
type street struct {
	*Doorman
	t               *testing.T
	stranger, agent *tls.Config
}

// newStreet returns one with an authority of its own.
func newStreet(t *testing.T, auth tls.ClientAuthType) street {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"port"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	pool := x509.NewCertPool()
	pool.AddCert(parsed(t, der))
	server := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: auth, ClientCAs: pool, NextProtos: []string{"h2"}}
	stranger := &tls.Config{RootCAs: pool, ServerName: "port", NextProtos: []string{"h2"}}
	agent := stranger.Clone()
	agent.Certificates = []tls.Certificate{certificate}
	return street{New("port", server, prometheus.NewRegistry()), t, stranger, agent}
}

func parsed(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// from is a connection that comes from an address.
type from struct {
	net.Conn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

// at is a port of an address.
func at(address string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(address), Port: 1} }

// comes has somebody connect, who says as much as client does.
func (s street) comes(address string, client func(net.Conn)) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.t.Cleanup(func() { _ = theirs.Close() })
	go client(theirs)
	conn, _, err := s.ServerHandshake(from{ours, at(address)})
	if err == nil {
		s.t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// shakes is a client of a configuration that reads on.
func shakes(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.Copy(io.Discard, tls.Client(conn, config)) }
}

func (s street) turned(state, full string) float64 {
	return testutil.ToFloat64(s.turnedAway.WithLabelValues(state, full))
}

func TestOneAddressCannotTakeAllPlacesOfPeersWithoutACertificate(t *testing.T) {
	s := newStreet(t, tls.VerifyClientCertIfGiven)
	stranger := shakes(s.stranger)
	in := func(address string) net.Conn {
		t.Helper()
		conn, err := s.comes(address, stranger)
		if err != nil {
			t.Fatalf("a stranger from %s: %v", address, err)
		}
		return conn
	}
	out := func(address string) {
		t.Helper()
		if _, err := s.comes(address, stranger); !errors.Is(err, errCrowded) {
			t.Errorf("one more from %s: %v", address, err)
		}
	}
	first := in("192.0.2.1")
	for range StrangersEach - 1 {
		in("192.0.2.1")
	}
	out("192.0.2.1")
	in("192.0.2.2")
	for i := range StrangersEach {
		in(fmt.Sprintf("2001:db8::%x", i+1))
	}
	out("2001:db8::ffff:1")
	in("2001:db8:0:1::1")
	if many := s.turned("stranger", fullAddress); many != 2 {
		t.Errorf("%v are counted", many)
	}
	// Agents have the address of the stranger where they come from behind one router.
	var agents sync.WaitGroup
	for range 100 {
		agents.Go(func() {
			if _, err := s.comes("192.0.2.1", shakes(s.agent)); err != nil {
				t.Errorf("an agent beside strangers: %v", err)
			}
		})
	}
	agents.Wait()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	in("192.0.2.1")
	out("192.0.2.1")
}

// TestWhereACertificateIsAskedForThereAreNoStrangers is of the port for tunnels.
func TestWhereACertificateIsAskedForThereAreNoStrangers(t *testing.T) {
	s := newStreet(t, tls.RequireAndVerifyClientCert)
	if _, err := s.comes("192.0.2.1", shakes(s.stranger)); err == nil || errors.Is(err, errCrowded) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := s.comes("192.0.2.1", shakes(s.agent)); err != nil {
		t.Errorf("an agent: %v", err)
	}
	if left := s.handshakes.count() + s.strangers.taken; left != 0 {
		t.Errorf("%d seats are not given back", left)
	}
}

func TestSeatsAreBoundedInAll(t *testing.T) {
	p := newSeats(3, 2)
	who := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 32) }
	for i, want := range []string{"", "", fullAddress} {
		if full := p.take(who(1)); full != want {
			t.Errorf("seat %d of one: %q, want %q", i, full, want)
		}
	}
	if p.take(who(2)) != "" || p.take(who(3)) != fullAll {
		t.Error("all are not three")
	}
	p.give(who(1))
	if p.take(who(3)) != "" || p.take(who(1)) != fullAll {
		t.Error("what is given back is not one")
	}
	for _, n := range []byte{1, 2, 3} {
		p.give(who(n))
	}
	if len(p.of) > 0 || p.taken != 0 {
		t.Errorf("left: %v", p.of)
	}
}

func TestNeighboursAreAnIPv4AddressOr64BitsOfIPv6(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
	} {
		if got := neighbours(&net.TCPAddr{IP: net.ParseIP(address), Zone: "eth0"}); got.String() != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
	if got := neighbours(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("an address that is none is of %s", got)
	}
}
