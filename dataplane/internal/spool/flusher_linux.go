package spool

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
)

// flusher brings the file of a ring to the disk, and has the kernel wait for that:
//
//	io_submit ──▶ a thread of the kernel: fdatasync ──▶ eventfd ──▶ the goroutine goes on
//
// A system call that waits holds a processor until the monitor of Go's runtime takes it away, and as long as that happens often,
// the monitor looks each 20 µs. With calls of the disk all the time that was a tenth of a core, and threads that wake and sleep more.
// Where the kernel does not take such requests (sandboxes, file systems), the goroutine makes the system call.
//
// It is used by one goroutine at a time.
type flusher struct {
	context uintptr  // of io_setup
	done    *os.File // an eventfd; nil: nothing was asked of the kernel yet, or it does not take requests
	refused bool     // it does not
}

// request is struct iocb of linux/aio_abi.h, up to its end what a fdatasync needs.
type request struct {
	_          uint64 // what the outcome is to have of it
	_, _       uint32 // a key of the kernel's, flags of reads and writes
	command    uint16
	_          int16 // its priority
	file       uint32
	_, _, _, _ uint64 // buffer, bytes, offset, reserved
	flags      uint32
	eventfd    uint32
}

// outcome is struct io_event.
type outcome struct {
	_, _   uint64 // what the request had for it, and where that was
	result int64
	_      int64
}

const (
	commandDatasync = 3 // IOCB_CMD_FDSYNC
	flagEventfd     = 1 // IOCB_FLAG_RESFD
)

// flush returns when what was written to a mapping before is on the disk.
func (f *flusher) flush(m *mapping) error {
	if f.ready() {
		err := f.submit(m)
		if err == nil {
			return f.wait()
		}
		if _, refused := errors.AsType[*os.SyscallError](err); !refused {
			return err // The file is closed.
		}
		f.refused = true
	}
	var err error
	turns.WaitOften(func() { err = m.sync() })
	return err
}

// ready reports whether the kernel can be asked.
func (f *flusher) ready() bool {
	if f.refused || f.done != nil {
		return !f.refused
	}
	eventfd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		f.refused = true
		return false
	}
	f.done = os.NewFile(uintptr(eventfd), "eventfd") // The runtime's poller waits for it, since it does not block.
	if _, _, errno := syscall.Syscall(syscall.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&f.context)), 0); errno != 0 {
		f.refused = true
	}
	return !f.refused
}

// submit asks the kernel for a fdatasync. It holds the file from then on, whoever closes it.
func (f *flusher) submit(m *mapping) error {
	file, err := m.file.SyscallConn()
	if err != nil {
		return err
	}
	signal, err := f.done.SyscallConn()
	if err != nil {
		return err
	}
	ask := &request{command: commandDatasync, flags: flagEventfd}
	var refused error
	failed := file.Control(func(fd uintptr) {
		ask.file = uint32(fd)
		err = signal.Control(func(fd uintptr) {
			ask.eventfd = uint32(fd)
			if _, _, errno := syscall.RawSyscall(syscall.SYS_IO_SUBMIT, f.context, 1, uintptr(unsafe.Pointer(&ask))); errno != 0 {
				refused = os.NewSyscallError("io_submit", errno)
			}
		})
	})
	return errors.Join(failed, err, refused)
}

// wait returns what came of the request.
func (f *flusher) wait() error {
	var count [8]byte
	if _, err := f.done.Read(count[:]); err != nil {
		return fmt.Errorf("wait for the disk: %w", err)
	}
	var came outcome
	n, _, errno := syscall.RawSyscall6(syscall.SYS_IO_GETEVENTS, f.context, 0, 1, uintptr(unsafe.Pointer(&came)), 0, 0)
	if n != 1 {
		return fmt.Errorf("the disk has answered, but io_getevents gives %d: %w", int(n), errno)
	}
	return came.err()
}

// err is what the system call would have returned.
func (o *outcome) err() error {
	if o.result < 0 {
		return os.NewSyscallError("fdatasync", syscall.Errno(-o.result))
	}
	return nil
}

// close gives back what the kernel holds. Nobody may wait.
func (f *flusher) close() {
	if f.done == nil {
		return
	}
	if f.context != 0 {
		_, _, _ = syscall.Syscall(syscall.SYS_IO_DESTROY, f.context, 0, 0)
	}
	_ = f.done.Close() // It holds nothing.
	f.done, f.refused = nil, true
}
