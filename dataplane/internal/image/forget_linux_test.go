package image

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// smaps is what the system says of a small program, whose code is at the address that is put in. A linker wrote to the next two of its areas that
// can only be read, one of which was swapped out since; of the one behind these nothing is told.
const smaps = `00400000-00500000 r--p 00000000 fe:00 4711                               /opt/a program
Size:               1024 kB
Rss:                 512 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
%x-%x r-xp 00100000 fe:00 4711                               /opt/a program
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00200000 fe:00 4711                               /opt/a program
Anonymous:             4 kB
7f0000001000-7f0000002000 r--p 00200000 fe:00 4711                               /opt/a program
Anonymous:             0 kB
Swap:                  4 kB
7f0000001000-7f0000002000 r--p 00200000 fe:00 4711                               /opt/a program
7f0000001000-7f0000002000 rw-p 00201000 fe:00 4711                               /opt/a program
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 fe:00 4712                               /usr/lib/libc.so.6
Anonymous:             0 kB
7f0000003000-7f0000004000 r--s 00000000 fe:00 4711                               /opt/a program
Anonymous:             0 kB
7f0000004000-7f0000005000 rw-p 00000000 00:00 0
Anonymous:             4 kB
`

func TestOnlyWhatNobodyWroteToOfTheProgramIsForgotten(t *testing.T) {
	here := address()
	areas, err := read(strings.NewReader(fmt.Sprintf(smaps, here-64, here+64)))
	if err != nil || len(areas) != 9 {
		t.Fatalf("%d areas, %v", len(areas), err)
	}
	want := []area{
		{from: 0x400000, to: 0x500000, modes: "r--p", file: "fe:00/4711", told: true},
		{from: here - 64, to: here + 64, modes: "r-xp", file: "fe:00/4711", told: true},
	}
	if diff := cmp.Diff(want, ofProgram(areas), cmp.AllowUnexported(area{})); diff != "" {
		t.Error(diff)
	}
	if own := ofProgram(areas[2:]); len(own) != 0 {
		t.Errorf("of a program that is not found: %v", own)
	}
	for _, text := range []string{"nonsense here\n", "00400000-00500000 r--p 00000000 fe:00 4711 /a\nAnonymous: many kB\n"} {
		if _, err := read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), `line "`) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAProgramThatForgotItselfIsSmallerAndGoesOn(t *testing.T) {
	before := resident(t)
	if err := Forget(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); before == 0 || after >= before {
		t.Errorf("%d KiB of the file were mapped, then %d", before, after)
	}
}

// resident is how much of the program's file is mapped, in KiB.
func resident(t *testing.T) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssFile:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
