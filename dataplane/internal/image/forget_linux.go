package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"
)

// Forget has the system unmap the pages of the program's file. They stay in its cache: one that is touched again is mapped again, in less
// than a microsecond for each 64 KiB. Code and constants only; what was ever written stays.
func Forget() error {
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("read what is mapped: %w", err)
	}
	defer file.Close()
	areas, err := read(file)
	if err != nil {
		return fmt.Errorf("read what is mapped: %w", err)
	}
	for _, a := range ofProgram(areas) {
		err = errors.Join(err, a.forget())
	}
	return err
}

// area is a range of addresses, as proc(5) says of smaps.
type area struct {
	from, to uintptr
	modes    string // such as r-xp
	file     string // device and inode
	written  uint64 // KiB that are no file's any more, in memory or swapped out
	told     bool   // that it is so much
}

// read reads smaps.
func read(smaps io.Reader) (areas []area, err error) {
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case !strings.HasSuffix(name, ":"):
			var a area
			var offset uint64
			var device string
			var inode uint64
			if _, err := fmt.Sscanf(name+" "+rest, "%x-%x %s %x %s %d", &a.from, &a.to, &a.modes, &offset, &device, &inode); err != nil {
				return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
			}
			a.file = fmt.Sprintf("%s/%d", device, inode)
			areas = append(areas, a)
		case (name == "Anonymous:" || name == "Swap:") && len(areas) > 0:
			a, kib := &areas[len(areas)-1], uint64(0)
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
			}
			a.written += kib
			a.told = a.told || name == "Anonymous:"
		}
	}
	return areas, lines.Err()
}

// ofProgram returns those of the file that this code is in which nobody has ever written to: what a linker or a debugger changed is in no
// file, and would be lost.
func ofProgram(areas []area) (own []area) {
	here := address()
	program := ""
	for _, a := range areas {
		if a.from <= here && here < a.to {
			program = a.file
		}
	}
	for _, a := range areas {
		if a.file == program && program != "" && a.told && a.written == 0 && strings.HasPrefix(a.modes, "r-") && strings.HasSuffix(a.modes, "p") {
			own = append(own, a)
		}
	}
	return own
}

// forget unmaps the pages of one. There is no slice of them to give to unix.Madvise.
func (a area) forget() error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, a.from, a.to-a.from, unix.MADV_DONTNEED); errno != 0 {
		return fmt.Errorf("unmap %x-%x: %w", a.from, a.to, errno)
	}
	return nil
}

// address is where this code is.
func address() uintptr { return reflect.ValueOf(Forget).Pointer() }
