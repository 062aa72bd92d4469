package transport

import (
	"bytes"
	"errors"
	"io"
)

const (
	// maxChunkLine bounds the line with the size of a chunk; it is less than minWindow.
	maxChunkLine = 1 << 10
	// maxChunkNoise bounds what the chunked coding of one answer may add for nothing, in bytes: extensions and trailers.
	maxChunkNoise = 16 << 10
)

// body is what is left of an answer's body:
//
//	until ──────────────────────────────────────────────▶ ended   the connection's end is the body's
//	sized ──────────────────────────────────────────────▶ ended
//	chunkSize ─▶ chunkData ─▶ chunkEnd ─▶ chunkSize … ─▶ trailer ─▶ ended
type body struct {
	phase phase
	left  int64 // bytes of the body, or of its chunk
	noise int   // bytes of the chunked coding that were for nothing
}

type phase uint8

const (
	ended phase = iota
	until
	sized
	chunkSize
	chunkData
	chunkEnd
	trailer
)

// begin says how the body is framed that follows a head.
func (b *body) begin(h *head, method string) {
	*b = body{}
	switch {
	case h.bodyless(method):
	case h.chunked:
		b.phase = chunkSize
	case h.hasLength && h.length == 0:
	case h.hasLength:
		b.phase, b.left = sized, h.length
	default:
		b.phase = until
	}
}

// read returns bytes of the body, or io.EOF at its end.
func (b *body) read(s *source, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.advance(s); err != nil {
		return 0, err
	}
	switch b.phase {
	case ended:
		return 0, io.EOF
	case until:
		n, err := s.read(p)
		if errors.Is(err, io.EOF) {
			b.phase = ended
		}
		return n, err
	}
	n, err := s.read(p[:min(int64(len(p)), b.left)])
	b.took(int64(n))
	if n > 0 {
		return n, nil
	}
	return 0, unexpected(err)
}

// took notes that n bytes of the data were read.
func (b *body) took(n int64) {
	b.left -= n
	if b.left > 0 {
		return
	}
	if b.phase == sized {
		b.phase = ended
	} else {
		b.phase = chunkEnd
	}
}

// unexpected is the error for a connection that ended within a body.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// advance goes to the next data, or to the end. It can be called again if reading failed for the moment.
func (b *body) advance(s *source) error {
	for {
		var err error
		switch b.phase {
		case chunkSize:
			err = b.readSize(s)
		case chunkEnd:
			err = b.readChunkEnd(s)
		case trailer:
			err = b.readTrailer(s)
		default:
			return nil
		}
		if err != nil {
			return unexpected(err)
		}
	}
}

func (b *body) readChunkEnd(s *source) error {
	if _, err := s.line(0); err != nil {
		return err
	}
	b.phase = chunkSize
	return nil
}

func (b *body) readSize(s *source) error {
	line, err := s.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, digits, err := parseSize(line)
	if err != nil {
		return err
	}
	if b.noise += len(line) - digits; b.noise > maxChunkNoise {
		return malformed("its chunks have too many extensions")
	}
	b.left, b.phase = size, chunkData
	if size == 0 {
		b.phase = trailer
	}
	return nil
}

var errChunkSize = malformed("the size of a chunk is not a number")

// parseSize reads the hexadecimal size at the front of a line, and how many digits it has. Extensions are ignored.
func parseSize(line []byte) (size int64, digits int, err error) {
	for digits < len(line) {
		value := hexValue(line[digits])
		if value < 0 {
			break
		}
		if digits++; digits > 15 {
			return 0, 0, malformed("a chunk is too large")
		}
		size = size<<4 | value
	}
	rest := bytes.TrimRight(line[digits:], " \t") // some servers pad their sizes
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || !validValue(rest) {
		return 0, 0, errChunkSize
	}
	return size, digits, nil
}

func hexValue(c byte) int64 {
	switch c = lower(c); {
	case '0' <= c && c <= '9':
		return int64(c - '0')
	case 'a' <= c && c <= 'f':
		return int64(c-'a') + 10
	}
	return -1
}

// readTrailer skips one field of the trailer, or finds its end.
func (b *body) readTrailer(s *source) error {
	line, err := s.line(maxChunkLine)
	if err != nil {
		return err
	}
	if len(line) == 0 {
		b.phase = ended
		return nil
	}
	if b.noise += len(line); b.noise > maxChunkNoise {
		return malformed("its trailer is too large")
	}
	_, _, err = cutField(line)
	return err
}

// discard reads what is left, up to limit bytes of data. It can be called again if reading failed for the moment.
func (b *body) discard(s *source, limit int64) error {
	var scratch [512]byte
	for limit > 0 {
		n, err := b.read(s, scratch[:])
		if errors.Is(err, io.EOF) && b.phase == ended {
			return nil
		}
		if err != nil {
			return err
		}
		limit -= int64(n)
	}
	return malformed("the answer goes on")
}
