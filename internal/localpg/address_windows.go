package localpg

import (
	"fmt"
	"net"
)

// address picks a free port of loopback: there are no Unix sockets to rely on
// here, and the password keeps other users out.
func (c Config) address(cluster, identity) (address, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return address{}, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return address{host: "127.0.0.1", port: port}, l.Close()
}
