// Package porttest gives tests loopback addresses for programs that are told where to
// listen before they start, and again after they were killed.
//
// An address that the system hands out for port 0 is no such thing: between the look and
// the program's start it may become the near end of any connection that is dialled on
// the machine. The ports given here lie below those that the system hands out (32768 on
// Linux, 49152 elsewhere), and each process of tests has a range of its own.
package porttest

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// Ranges of ports: processes that run at once have numbers that lie close together, and
// so different ranges.
const (
	lowest = 20000
	ranges = 120
	size   = 100
)

var given atomic.Uint32

// Free returns a loopback address, as host and port, on which nothing listens and which
// this process gives to nobody else before it has given 99 others. It may be called by
// several goroutines.
func Free(t testing.TB) string {
	t.Helper()
	for range size {
		port := lowest + os.Getpid()%ranges*size + int(given.Add(1)%size)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		socket, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := socket.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatalf("none of the %d ports of this process is free", size)
	return ""
}
