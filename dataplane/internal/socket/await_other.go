//go:build !unix

package socket

import "errors"

// CanAwait says whether there is an Await.
const CanAwait = false

// Await cannot be had here.
func (*Conn) Await() error { return errors.ErrUnsupported }
