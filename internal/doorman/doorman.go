// Package doorman bounds what peers take up of a port for planes and agents before they have shown who they are.
//
//	connection ──seat──▶ handshake ─┬─ a certificate ──▶ in, without a seat
//	              │                 └─ none ──seat──▶ stranger ──▶ closed, by its end or ours
//	              │                            └─ no seat: closed at once, the newest, and counted
//	              └─ no seat: the oldest handshake is closed, counted, and its seat is taken
//
// A handshake takes a few round trips, so who speaks gets in beside those who say nothing, unless hundreds come in that time:
// peers behind one router or balancer have one address. A stranger may take his time, so those who are there stay.
//
// Seats are counted in all and by address, so that one address cannot take those of all. Where TLS asks for a certificate, there
// are no strangers. Peers with a certificate are not counted, however many are behind one address.
package doorman

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/credentials"
)

const (
	// maxStrangers bounds the connections without a certificate, and StrangersEach those of
	// one address. When there are as many, another is closed; a peer that joins, which takes
	// a second, tries again.
	maxStrangers  = 256
	StrangersEach = 16
	// strangerTime and StrangerBytes bound what one of them may take: a join needs a
	// second, and some two thousand bytes.
	strangerTime  = 30 * time.Second
	StrangerBytes = 64 << 10
	// maxHandshakes bounds the connections of which it is not known yet whether they have a
	// certificate, and handshakesEach those of one address. When there are as many, the
	// oldest of them is closed for another. The latter is for all agents of a company that
	// come back at the same time: each takes a few round trips.
	maxHandshakes  = 4096
	handshakesEach = 256
)

// Doorman is TLS that bounds what peers without a certificate may take up. All that a stranger can do is to join.
type Doorman struct {
	credentials.TransportCredentials
	handshakes *handshakes
	strangers  *seats
	turnedAway *prometheus.CounterVec
}

// New returns one for a port, by whose name a registerer gets its metrics; nil: nobody does.
func New(port string, config *tls.Config, registerer prometheus.Registerer) *Doorman {
	return &Doorman{
		TransportCredentials: credentials.NewTLS(config),
		handshakes:           newHandshakes(maxHandshakes, handshakesEach),
		strangers:            newSeats(maxStrangers, StrangersEach),
		turnedAway: promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "warder_" + port + "_turned_away_total",
			Help: "Connections of peers that were closed because there were as many as there may be without a certificate (stranger: the newest), or before it is known whether they have one (handshake: the oldest): of their address, or of all.",
		}, []string{"state", "full"}),
	}
}

// Clone is what credentials are asked for when they are shared; the seats stay one
// set.
func (d *Doorman) Clone() credentials.TransportCredentials {
	other := *d
	other.TransportCredentials = d.TransportCredentials.Clone()
	return &other
}

// errCrowded is why a connection is closed.
var errCrowded = errors.New("too many peers that have shown no certificate are here")

// ServerHandshake lets a peer in, one without a certificate only if there is room. It fails
// if later peers need the seat before it is done.
func (d *Doorman) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	who := neighbours(raw.RemoteAddr())
	seat, loser, full := d.handshakes.begin(who, raw)
	if full != "" {
		d.turnedAway.WithLabelValues("handshake", full).Inc()
		_ = loser.Close() // whose own handshake says why it fails
	}
	conn, info, err := d.TransportCredentials.ServerHandshake(raw)
	if !d.handshakes.end(seat) {
		// It may have lost its seat when the handshake was just done.
		return nil, nil, errors.Join(errCrowded, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if state, ok := info.(credentials.TLSInfo); ok && len(state.State.PeerCertificates) > 0 {
		return conn, info, nil
	}
	if full := d.strangers.take(who); full != "" {
		d.turnedAway.WithLabelValues("stranger", full).Inc()
		return nil, nil, errors.Join(errCrowded, conn.Close())
	}
	return newStranger(conn, func() { d.strangers.give(who) }), info, nil
}

// stranger is a connection that ends by itself.
type stranger struct {
	net.Conn
	timer *time.Timer
	left  int // bytes; Read alone touches it, which nobody calls twice at a time
	leave func()
}

func newStranger(conn net.Conn, leave func()) *stranger {
	s := &stranger{Conn: conn, left: StrangerBytes, leave: sync.OnceFunc(leave)}
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
