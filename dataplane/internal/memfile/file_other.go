//go:build !linux

package memfile

import "errors"

func create([]byte) (int, error) { return 0, errors.ErrUnsupported }

func remove(int) {}
