package doorman

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// count is how many seats are taken.
func (h *handshakes) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.old.Len()
}

// listened is a connection that tells when it is read for the first time: it has a seat
// then.
type listened struct {
	net.Conn
	seated func()
}

func (l listened) Read(p []byte) (int, error) {
	l.seated()
	return l.Conn.Read(p)
}

// silent has somebody connect who says nothing, and returns when that has a seat. What its
// handshake ends with is sent.
func (s street) silent(address string) (peer net.Conn, ended <-chan error) {
	ours, theirs := net.Pipe()
	s.t.Cleanup(func() { _ = theirs.Close() })
	seated, end := make(chan struct{}), make(chan error, 1)
	go func() {
		_, _, err := s.ServerHandshake(from{listened{ours, sync.OnceFunc(func() { close(seated) })}, at(address)})
		end <- err
	}()
	select {
	case <-seated:
	case err := <-end: // It had none.
		end <- err
	}
	return theirs, end
}

// heard returns what a handshake ended with.
func (s street) heard(ended <-chan error) error {
	s.t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		s.t.Fatal("the handshake goes on")
		return nil
	}
}

func TestHandshakesThatAreNotFinishedAreBoundedByAddress(t *testing.T) {
	s := newStreet(t, tls.VerifyClientCertIfGiven)
	var peers []net.Conn
	var ends []<-chan error
	for range handshakesEach + 1 {
		peer, ended := s.silent("192.0.2.1")
		peers, ends = append(peers, peer), append(ends, ended)
	}
	if err := s.heard(ends[0]); !errors.Is(err, errCrowded) {
		t.Errorf("the first, when one more has come: %v", err)
	}
	if _, err := peers[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the first hears %v", err)
	}
	if have, many := s.handshakes.count(), s.turned("handshake", fullAddress); have != handshakesEach || many != 1 {
		t.Errorf("%d have a seat, and %v are counted", have, many)
	}
	if _, err := s.comes("192.0.2.2", shakes(s.stranger)); err != nil {
		t.Errorf("another address: %v", err)
	}
	if many := s.turned("handshake", fullAddress); many != 1 {
		t.Errorf("%v are counted after another address", many)
	}
	for i, peer := range peers[1:] {
		_ = peer.Close()
		if err := s.heard(ends[i+1]); err == nil || errors.Is(err, errCrowded) {
			t.Errorf("one that goes by itself: %v", err)
		}
	}
	if left := s.handshakes.count(); left != 0 {
		t.Errorf("%d seats are not given back", left)
	}
}

// A handshake takes a few round trips. What comes in each of them is less than the seats of
// an address.
func TestAPeerWithACertificateGetsInWhileSilentOnesOfItsAddressKeepComing(t *testing.T) {
	s := newStreet(t, tls.RequireAndVerifyClientCert)
	crowd := func(many int) {
		for range many {
			s.silent("192.0.2.1")
		}
	}
	crowd(handshakesEach)
	ours, theirs := net.Pipe()
	var agent sync.WaitGroup
	agent.Go(func() { shakes(s.agent)(slow{theirs, func() { crowd(50) }}) })
	t.Cleanup(func() {
		_ = theirs.Close()
		agent.Wait()
	})
	conn, _, err := s.ServerHandshake(from{ours, at("192.0.2.1")})
	if err != nil {
		t.Fatalf("a peer with a certificate: %v", err)
	}
	defer func() { _ = conn.Close() }()
	if many := s.turned("handshake", fullAddress); many < 100 {
		t.Errorf("%v were closed while it came", many)
	}
	// Its seat is behind it.
	crowd(handshakesEach + 1)
	if _, err := conn.Write([]byte("welcome")); err != nil {
		t.Errorf("when it is in: %v", err)
	}
}

// slow is a connection on which something happens before each write.
type slow struct {
	net.Conn
	before func()
}

func (s slow) Write(p []byte) (int, error) {
	s.before()
	return s.Conn.Write(p)
}

func TestWhenAllSeatsAreTakenTheOldestHandshakeOfAllLosesIts(t *testing.T) {
	s := newStreet(t, tls.VerifyClientCertIfGiven)
	s.handshakes = newHandshakes(3, 2)
	_, first := s.silent("192.0.2.1")
	_, second := s.silent("192.0.2.2")
	_, third := s.silent("192.0.2.2")
	_, fourth := s.silent("192.0.2.3") // All are three: the first of all goes.
	if err := s.heard(first); !errors.Is(err, errCrowded) {
		t.Errorf("the first: %v", err)
	}
	s.silent("192.0.2.2") // This one's address is full, too: its own first goes.
	if err := s.heard(second); !errors.Is(err, errCrowded) {
		t.Errorf("the second: %v", err)
	}
	if _, err := s.comes("192.0.2.4", shakes(s.stranger)); err != nil {
		t.Errorf("one more, who speaks: %v", err)
	}
	if err := s.heard(third); !errors.Is(err, errCrowded) {
		t.Errorf("the third: %v", err)
	}
	select {
	case err := <-fourth:
		t.Errorf("the fourth, before its time: %v", err)
	default:
	}
	if all, address := s.turned("handshake", fullAll), s.turned("handshake", fullAddress); all != 2 || address != 1 {
		t.Errorf("counted: %v of all, %v of an address", all, address)
	}
}

// A handshake may be done in the instant in which its seat is taken away.
func TestAPeerThatHasLostItsSeatDoesNotGetInAndGivesNothingBack(t *testing.T) {
	h := newHandshakes(2, 1)
	who := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 32) }
	first, _, _ := h.begin(who(1), nil)
	other, _, _ := h.begin(who(2), nil)
	second, _, full := h.begin(who(1), nil)
	if full != fullAddress || h.end(first) || h.count() != 2 {
		t.Errorf("full: %q, and %d have a seat", full, h.count())
	}
	if !h.end(second) || h.end(second) || !h.end(other) || h.count() != 0 || len(h.of) != 0 {
		t.Errorf("%d have a seat, of %d addresses", h.count(), len(h.of))
	}
}

// peer is a connection that is counted until it is closed or done.
type peer struct {
	net.Conn
	gone func()
}

func (p peer) Close() error {
	p.gone()
	return nil
}

func TestThereAreNeverMoreHandshakesThanTheBound(t *testing.T) {
	const all, each = 8, 4
	h := newHandshakes(all, each)
	var running, losers atomic.Int64
	// come takes a seat for one peer, and returns how that leaves.
	come := func(who netip.Prefix) (leave func()) {
		p := peer{gone: sync.OnceFunc(func() { running.Add(-1) })}
		seat, loser, full := h.begin(who, p)
		if full != "" {
			losers.Add(1)
			_ = loser.Close()
		}
		if now := running.Add(1); now > all {
			t.Errorf("%d handshakes run", now)
		}
		return func() {
			p.gone()
			h.end(seat)
		}
	}
	var everybody sync.WaitGroup
	for i := range 32 {
		who := neighbours(at(fmt.Sprintf("192.0.2.%d", i%4)))
		everybody.Go(func() {
			for range 50 {
				var leave [each + 1]func()
				for i := range leave {
					leave[i] = come(who)
				}
				for _, leave := range leave {
					leave()
				}
			}
		})
	}
	everybody.Wait()
	if h.count() != 0 || len(h.of) != 0 || running.Load() != 0 || losers.Load() == 0 {
		t.Errorf("%d have a seat, of %d addresses; %d run; %d lost theirs", h.count(), len(h.of), running.Load(), losers.Load())
	}
}
