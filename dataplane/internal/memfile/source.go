package memfile

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
)

const (
	// Least is how many bytes a part has at least that is lent. From half of that on it is sent faster than it is copied, but
	// then it saves little.
	Least = 128 << 10
	// worth is after how many times there is a file: what one costs (up to milliseconds, as long as the system takes to find
	// one piece of memory) is about what so many copies do.
	worth = 100

	// maxBytes and maxFiles bound the files of a process. Where they are full, the others are sent from the heap.
	maxBytes = 64 << 20
	maxFiles = 128
)

// Source is bytes that do not change, and perhaps a file with the same. It is safe for concurrent use.
type Source struct {
	bytes []byte
	shelf *shelf
	sent  atomic.Uint32 // times without a file, since the last attempt to make one
	file  atomic.Pointer[File]
}

// NewSource returns a Source of bytes that nobody changes from then on; nil: they are fewer than Least.
func NewSource(bytes []byte) *Source {
	if len(bytes) < Least {
		return nil
	}
	return ours.source(bytes)
}

// Lend is asked before p is sent. If p is a part of the bytes, in the same memory, and a file has them, it returns the
// file and where p lies in it; else nil, and p is to be sent as it is. A nil Source has no file.
func (s *Source) Lend(p []byte) (file *File, at int64) {
	if s == nil || len(p) < Least {
		return nil, 0
	}
	from := cap(s.bytes) - cap(p) // as it is for every part that was cut out, and for little else
	if from < 0 || from+len(p) > len(s.bytes) || &s.bytes[from] != &p[0] {
		return nil, 0
	}
	if file = s.file.Load(); file == nil && s.sent.Add(1) == worth {
		go s.lay() // Nobody waits for it.
	}
	return file, int64(from)
}

// lay makes the file. Where that fails, it is tried again when the bytes were sent so often once more; it is no error for
// anybody.
func (s *Source) lay() {
	if file := s.shelf.lay(s.bytes); file != nil {
		s.file.Store(file)
		return
	}
	s.sent.Store(0)
}

// File is a file of memory that has all bytes of a Source. It is open for as long as somebody knows it.
type File struct {
	descriptor int
	// shelf has it. It also keeps File from the memory that the runtime shares among small things without pointers, whose
	// cleanups wait for one another.
	shelf *shelf
}

// Descriptor returns the descriptor of the file, for reading at offsets. Whoever uses it keeps the File alive
// (runtime.KeepAlive) until he is done.
func (f *File) Descriptor() int { return f.descriptor }

// shelf has the files of a process, and their bounds.
type shelf struct {
	create   func([]byte) (descriptor int, err error)
	maxBytes int
	maxFiles int

	mu    sync.Mutex
	bytes int
	files int
}

var ours = shelf{create: create, maxBytes: maxBytes, maxFiles: maxFiles}

func (s *shelf) source(bytes []byte) *Source { return &Source{bytes: bytes, shelf: s} }

// lay returns a new file with these bytes; nil: there is no room, or the system has none.
func (s *shelf) lay(bytes []byte) *File {
	if !s.take(len(bytes)) {
		return nil
	}
	var descriptor int
	var err error
	turns.Wait(func() { descriptor, err = s.create(bytes) })
	if err != nil {
		s.give(len(bytes))
		return nil
	}
	file := &File{descriptor, s}
	size := len(bytes)
	runtime.AddCleanup(file, func(descriptor int) {
		remove(descriptor)
		s.give(size)
	}, descriptor)
	return file
}

func (s *shelf) take(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == s.maxFiles || s.bytes+size > s.maxBytes {
		return false
	}
	s.files++
	s.bytes += size
	return true
}

func (s *shelf) give(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files--
	s.bytes -= size
}
