//go:build !unix

package transport

import (
	"errors"
	"net"
	"os"
	"time"
)

// probeAge is how long a connection must have been idle to be probed before it is used. A probe takes as long as
// peekTime, which is too long for each call.
const probeAge = time.Second

const peekTime = time.Millisecond

// peek reads from a connection what is there, and waits no longer than a moment for it.
type peek struct{}

func (*peek) prepare(net.Conn) {}

// read returns errNotYet if there is nothing, and io.EOF if the other side has closed the connection.
func (*peek) read(connection net.Conn, into []byte) (int, error) {
	connection.SetReadDeadline(time.Now().Add(peekTime))
	n, err := connection.Read(into)
	connection.SetReadDeadline(time.Time{})
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, errNotYet
	}
	return 0, err
}
