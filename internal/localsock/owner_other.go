//go:build !unix

package localsock

import "errors"

// ownerOf fails: a long path has no substitute on this system.
func ownerOf(string) (int, error) { return -1, errors.ErrUnsupported }
