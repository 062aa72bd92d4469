package enrollment

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

const (
	// maxStrangers bounds the connections without a certificate. When there are as
	// many, another is closed; a peer that joins tries again.
	maxStrangers = 256
	// strangerTime and strangerBytes bound what one of them may take: a join needs a
	// second, and some two thousand bytes.
	strangerTime  = 30 * time.Second
	strangerBytes = 64 << 10
)

// doorman is TLS that bounds what peers without a certificate may take up. All that
// they can do is to join.
type doorman struct {
	credentials.TransportCredentials
	strangers chan struct{} // one slot each
}

func newDoorman(config *tls.Config) *doorman {
	return &doorman{credentials.NewTLS(config), make(chan struct{}, maxStrangers)}
}

// Clone is what credentials are asked for when they are shared; the slots stay one
// set.
func (d *doorman) Clone() credentials.TransportCredentials {
	return &doorman{d.TransportCredentials.Clone(), d.strangers}
}

// ServerHandshake lets a peer in, one without a certificate only if there is room.
func (d *doorman) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := d.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	if state, ok := info.(credentials.TLSInfo); ok && len(state.State.PeerCertificates) > 0 {
		return conn, info, nil
	}
	select {
	case d.strangers <- struct{}{}:
	default:
		return nil, nil, errors.Join(errors.New("too many peers without a certificate are here"), conn.Close())
	}
	return newStranger(conn, func() { <-d.strangers }), info, nil
}

// stranger is a connection that ends by itself.
type stranger struct {
	net.Conn
	timer *time.Timer
	left  int // bytes; Read alone touches it, which nobody calls twice at a time
	leave func()
}

func newStranger(conn net.Conn, leave func()) *stranger {
	s := &stranger{Conn: conn, left: strangerBytes, leave: sync.OnceFunc(leave)}
	s.timer = time.AfterFunc(strangerTime, func() { _ = s.Close() })
	return s
}

// Read reads until the peer has sent all that it may.
func (s *stranger) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Conn.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// Close gives the slot back.
func (s *stranger) Close() error {
	s.timer.Stop()
	s.leave()
	return s.Conn.Close()
}
