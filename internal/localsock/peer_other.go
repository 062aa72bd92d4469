//go:build !linux && !darwin

package localsock

import (
	"errors"
	"net"
)

// peerUID fails: this system does not tell who the peer is, so nobody may.
func peerUID(*net.UnixConn) (int, error) { return -1, errors.ErrUnsupported }
