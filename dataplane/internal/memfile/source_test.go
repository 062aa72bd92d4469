package memfile

import (
	"bytes"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// pattern is n bytes of which none can be exchanged for another unnoticed.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// until waits for something that others do, which may need the collector.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); runtime.GC() {
		if time.Now().After(end) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// often asks for p as often as it takes until a file could be there.
func often(s *Source, p []byte) {
	for range worth {
		s.Lend(p)
	}
}

// counting returns a shelf without system, and how often it made a file.
func counting(failure error, files int) (*shelf, *atomic.Int32) {
	var made atomic.Int32
	create := func([]byte) (int, error) { made.Add(1); return -1, failure }
	return &shelf{create: create, maxBytes: 1 << 30, maxFiles: files}, &made
}

func TestWhatIsSentSeldomHasNoFile(t *testing.T) {
	s, made := counting(nil, 1)
	source := s.source(pattern(Least))
	for range worth - 1 {
		if file, _ := source.Lend(source.bytes); file != nil {
			t.Fatal("there is a file")
		}
	}
	if made.Load() != 0 || s.files != 0 {
		t.Errorf("%d files were made", made.Load())
	}
	source.Lend(source.bytes)
	until(t, "there is a file", func() bool { file, _ := source.Lend(source.bytes); return file != nil })
	often(source, source.bytes)
	if made.Load() != 1 {
		t.Errorf("%d files were made", made.Load())
	}
}

func TestOnlyALargePartOfTheBytesIsLent(t *testing.T) {
	s, _ := counting(nil, 1)
	whole := pattern(3 * Least)
	source := s.source(whole[:2*Least+10])
	often(source, source.bytes)
	until(t, "there is a file", func() bool { file, _ := source.Lend(source.bytes); return file != nil })
	for name, test := range map[string]struct {
		p  []byte
		at int64
		ok bool
	}{
		"all":               {source.bytes, 0, true},
		"all but the end":   {source.bytes[:2*Least], 0, true},
		"the end":           {source.bytes[Least+10:], Least + 10, true},
		"the middle":        {source.bytes[5 : 5+Least], 5, true},
		"too little":        {source.bytes[:Least-1], 0, false},
		"nothing":           {nil, 0, false},
		"the like of it":    {bytes.Clone(source.bytes), 0, false},
		"more than it":      {whole, 0, false},
		"more than its end": {whole[2*Least:], 0, false},
	} {
		if file, at := source.Lend(test.p); (file != nil) != test.ok || test.ok && at != test.at {
			t.Errorf("%s: lent %v at %d, want %v at %d", name, file != nil, at, test.ok, test.at)
		}
	}
	if file, _ := (*Source)(nil).Lend(whole); file != nil {
		t.Error("no source lends a file")
	}
}

func TestASystemWithoutFilesIsAskedSeldom(t *testing.T) {
	s, made := counting(errors.New("no descriptor is free"), 1)
	source := s.source(pattern(Least))
	for want := range int32(3) {
		until(t, "it can be tried again", func() bool { return source.sent.Load() == 0 })
		often(source, source.bytes)
		until(t, "it was tried", func() bool { return made.Load() == want+1 })
	}
	until(t, "the last try is over", func() bool { return source.sent.Load() == 0 })
	if file, _ := source.Lend(source.bytes); file != nil || s.files != 0 || s.bytes != 0 {
		t.Errorf("there is a file, or room is taken by none: %v, %d files, %d bytes", file, s.files, s.bytes)
	}
}

func TestFilesAreBoundedAndMakeRoomWhenNobodyKnowsThem(t *testing.T) {
	for name, s := range map[string]*shelf{
		"by number": {maxBytes: 1 << 30, maxFiles: 2},
		"by bytes":  {maxBytes: 3*Least - 1, maxFiles: 100},
	} {
		s.create = func([]byte) (int, error) { return -1, nil }
		first, second := s.lay(pattern(Least)), s.lay(pattern(Least))
		if first == nil || second == nil {
			t.Fatalf("%s: no file though there is room", name)
		}
		if s.lay(pattern(Least)) != nil {
			t.Errorf("%s: there are too many", name)
		}
		runtime.KeepAlive(first)
		until(t, "there is room", func() bool { return s.lay(pattern(Least)) != nil })
		runtime.KeepAlive(second)
	}
}
