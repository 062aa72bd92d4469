package spool

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

// mapping is a file as memory, or memory alone. What is written into it survives the process if there is a file.
type mapping struct {
	file  *os.File // nil: memory alone
	bytes []byte
}

// inMemory returns a mapping without a file.
func inMemory(size int) *mapping { return &mapping{bytes: make([]byte, size)} }

// change gives n bytes from an offset on to whoever writes into them. A disk that fails is an error.
func (m *mapping) change(offset, n int, write func(to []byte)) error {
	if err := touching(func() { write(m.bytes[offset : offset+n]) }); err != nil {
		return err
	}
	return m.written(offset, n)
}

// touching runs work that touches a mapping, in which memory may be missing: pages that the disk does not give back, or a
// file that somebody else made shorter. The kernel tells by a signal, and the runtime by a panic, which is returned here.
func touching(work func()) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		switch failure := recover().(type) {
		case nil:
		case interface {
			error
			Addr() uintptr
		}:
			err = fmt.Errorf("%w: %w", errDisk, failure)
		default:
			panic(failure)
		}
	}()
	work()
	return nil
}

// errDisk says that the memory of a mapped file is not there.
var errDisk = errors.New("the disk does not give the file's pages, or the file was made shorter")
