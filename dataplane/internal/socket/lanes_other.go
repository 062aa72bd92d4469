//go:build !linux || race

package socket

import "net"

// lanes are of no use here: other systems have no such calls, and the race detector has to know of each.
type lanes struct{}

func (lanes) prepare(*net.TCPConn) {}
