package spool

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// TestTheKernelWaitsForTheDiskIfItTakesRequests flushes a file again and again, and looks that no goroutine made the system call.
func TestTheKernelWaitsForTheDiskIfItTakesRequests(t *testing.T) {
	var context uintptr
	_, _, errno := syscall.Syscall(syscall.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&context)), 0)
	if errno == 0 {
		syscall.Syscall(syscall.SYS_IO_DESTROY, context, 0, 0)
	}
	f := &flusher{}
	defer f.close()
	m := mappedFile(t)
	for i := range 10 {
		m.bytes[i] = 1
		if err := f.flush(m); err != nil {
			t.Fatal(err)
		}
	}
	if taken := !f.refused; taken != (errno == 0) {
		t.Errorf("the kernel waited: %v; it says of its requests: %v", taken, errno)
	}
}

// TestWhatTheKernelTakesNoRequestForIsFlushedAllTheSame begins with a pipe, for which there is no such request, and whose
// system call says so.
func TestWhatTheKernelTakesNoRequestForIsFlushedAllTheSame(t *testing.T) {
	_, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	f := &flusher{}
	defer f.close()
	if err := f.flush(&mapping{file: pipe}); !errors.Is(err, syscall.EINVAL) || !f.refused {
		t.Errorf("a pipe: %v, refused: %v", err, f.refused)
	}
	if err := f.flush(mappedFile(t)); err != nil {
		t.Errorf("a file afterwards: %v", err)
	}
}

func TestWhatTheDiskSaysToTheKernelIsTheError(t *testing.T) {
	if err := (&outcome{result: -int64(syscall.EIO)}).err(); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	if err := (&outcome{}).err(); err != nil {
		t.Errorf("%v", err)
	}
}

// TestAFileThatIsClosedIsNotWaitedFor has the file gone, as when a queue ends while somebody waits.
func TestAFileThatIsClosedIsNotWaitedFor(t *testing.T) {
	f, m := &flusher{}, mappedFile(t)
	defer f.close()
	if err := f.flush(m); err != nil {
		t.Fatal(err)
	}
	if err := m.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.flush(m); err == nil || f.refused {
		t.Errorf("%v, refused: %v", err, f.refused)
	}
}

// mappedFile returns the mapping of a file of one page.
func mappedFile(t *testing.T) *mapping {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(pageLen); err != nil {
		t.Fatal(err)
	}
	m, err := mapFile(file, pageLen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.close() }) // The file may be closed.
	return m
}
