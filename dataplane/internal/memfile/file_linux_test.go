package memfile

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// open returns the number of descriptors of this process, and that of its mappings of files like ours.
func open(t *testing.T) (descriptors, mappings int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries), bytes.Count(maps, []byte("memfd:"))
}

func TestAFileHasTheBytesAndNobodyCanChangeIt(t *testing.T) {
	for _, size := range []int{1, 4095, Least + 1, huge, huge + 1} {
		want := pattern(size)
		file, err := create(want)
		if err != nil {
			t.Fatal(err)
		}
		defer remove(file)
		got := make([]byte, size+1)
		n, err := unix.Pread(file, got, 0)
		if err != nil || !bytes.Equal(got[:n], want) {
			t.Errorf("%d bytes: %d are in the file, or others (%v)", size, n, err)
		}
		_, written := unix.Pwrite(file, []byte("x"), 0)
		_, mapped := unix.Mmap(file, 0, size, unix.PROT_WRITE, unix.MAP_SHARED)
		_, sealed := unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, 0)
		for what, err := range map[string]error{
			"written": written, "mapped": mapped, "sealed": sealed,
			"cut": unix.Ftruncate(file, 0), "made longer": unix.Ftruncate(file, int64(size)+1),
		} {
			if !errors.Is(err, unix.EPERM) {
				t.Errorf("%d bytes: the file could be %s: %v", size, what, err)
			}
		}
		if flags, err := unix.FcntlInt(uintptr(file), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("children inherit the file: %#x, %v", flags, err)
		}
	}
}

// TestAFileTakesTheMemoryOfItsBytes holds that what joining its pages takes is given back.
func TestAFileTakesTheMemoryOfItsBytes(t *testing.T) {
	const size = 600 << 10
	file, err := create(pattern(size))
	if err != nil {
		t.Fatal(err)
	}
	defer remove(file)
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil || stat.Blocks*512 > size+int64(os.Getpagesize()) {
		t.Errorf("%d bytes of memory, %v", stat.Blocks*512, err)
	}
}

func TestNoDescriptorAndNoMappingStaysOfAThousandFiles(t *testing.T) {
	descriptors, mappings := open(t)
	quick := func([]byte) (int, error) { return unix.MemfdCreate("quick", unix.MFD_CLOEXEC) }
	for i, s := 0, (&shelf{maxBytes: maxBytes, maxFiles: maxFiles}); i < 1000; {
		if s.create = quick; i%50 == 0 {
			s.create = create
		}
		if s.lay(pattern(Least)) != nil {
			i++
		} else {
			runtime.GC() // It is full.
		}
		if now, _ := open(t); now > descriptors+maxFiles {
			t.Fatalf("%d descriptors, once %d", now, descriptors)
		}
	}
	until(t, "none of them is left", func() bool {
		d, m := open(t)
		return d == descriptors && m == mappings
	})
}
