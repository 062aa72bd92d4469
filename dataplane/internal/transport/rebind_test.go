package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// rebinding is a resolver whose every name has a public address the first time that
// it is asked for, and a loopback one from then on. It uses no network.
type rebinding struct{ asked atomic.Int64 }

func (r *rebinding) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for r.answer(server) == nil {
			}
		}()
		return client, nil
	}}
}

// answer answers one question, in the form that goes over a stream.
func (r *rebinding) answer(conn net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return err
	}
	question := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return err
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		address := [4]byte{127, 0, 0, 1}
		if r.asked.Add(1) == 1 {
			address = [4]byte{93, 184, 215, 14}
		}
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: address},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	return err
}

// TestP19_ANameThatTurnsToAForbiddenAddressIsRefusedAtDial rebinds a name between a
// look at its address, which is good, and the connection: the address that is
// dialled is the one that counts.
func TestP19_ANameThatTurnsToAForbiddenAddressIsRefusedAtDial(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	reached := make(chan struct{})
	go func() {
		if conn, err := listener.Accept(); err == nil {
			close(reached)
			conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fake := new(rebinding)
	d := newDialer(&Config{DialTimeout: 10 * time.Second})
	d.net.Resolver = fake.resolver()

	addresses, err := d.net.Resolver.LookupNetIP(t.Context(), "ip4", "rebinding.example")
	if err != nil || len(addresses) != 1 {
		t.Fatalf("the first look finds %v, %v", addresses, err)
	}
	good := netip.AddrPortFrom(addresses[0].Unmap(), listener.Addr().(*net.TCPAddr).AddrPort().Port())
	if err := d.net.ControlContext(t.Context(), "tcp4", good.String(), nil); err != nil {
		t.Fatalf("the first address is refused: %v", err)
	}
	conn, err := d.dial(t.Context(), "tcp", net.JoinHostPort("rebinding.example", port))
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("the second address gives %v", err)
	}
	if fake.asked.Load() < 2 {
		t.Error("the name was not looked up again")
	}
	select {
	case <-reached:
		t.Error("the forbidden address was reached")
	default:
	}

	// The guard is what refused it: without one, the same name is reached.
	private := newDialer(&Config{DialTimeout: 10 * time.Second, Private: true})
	private.net.Resolver = fake.resolver()
	if conn, err = private.dial(t.Context(), "tcp", net.JoinHostPort("rebinding.example", port)); err != nil {
		t.Fatalf("a private server is not reached: %v", err)
	}
	conn.Close()
	<-reached
}
