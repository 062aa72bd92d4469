package memfile

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seals say that neither content nor size of a file change any more, nor what is said of that.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// create returns the descriptor of a sealed file with these bytes, at least one.
func create(bytes []byte) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	file, err := unix.MemfdCreate("warder-list", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Before Linux 6.3 all were executable.
		file, err = unix.MemfdCreate("warder-list", flags)
	}
	if err != nil {
		return 0, fmt.Errorf("create file of memory: %w", err)
	}
	if err = fill(file, bytes); err == nil {
		_, err = unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		remove(file)
		return 0, fmt.Errorf("fill file of memory: %w", err)
	}
	return file, nil
}

func fill(file int, bytes []byte) error {
	for at := 0; at < len(bytes); {
		n, err := unix.Pwrite(file, bytes[at:], int64(at))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		at += max(n, 0)
	}
	join(file, len(bytes))
	return unix.Ftruncate(file, int64(len(bytes))) // gives the rest back, if it was joined
}

// huge is the size of a large page, in bytes, on the machines that matter here. Elsewhere nothing is joined.
const huge = 2 << 20

// join has the pages of a file lie side by side, if the system can: from Linux 6.1 on, whatever it is set to do of its
// own accord. Then many are sent as one; page by page, sending costs nearly half of what is saved. The system joins what
// makes a whole large page, so the file becomes as long as some, and has to be cut: what is cut off is free again.
func join(file, size int) {
	whole := (size + huge - 1) &^ (huge - 1)
	if unix.Ftruncate(file, int64(whole)) != nil {
		return
	}
	// A large page has an address that is a multiple of its size: a range that has one is reserved first.
	room, err := unix.MmapPtr(-1, 0, nil, uintptr(whole+huge), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return
	}
	defer func() { _ = unix.MunmapPtr(room, uintptr(whole+huge)) }() // It is there.
	start := unsafe.Add(room, -uintptr(room)&(huge-1))
	at, err := unix.MmapPtr(file, 0, start, uintptr(whole), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
	if err == nil {
		_ = unix.Madvise(unsafe.Slice((*byte)(at), whole), unix.MADV_COLLAPSE) // It is as right, if slower, without.
	}
}

func remove(file int) { _ = unix.Close(file) } // Nothing is in it that has to be kept.
