package transport

import (
	"bytes"
	"math"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxHead bounds the head of an answer, with the interim ones before it, in bytes.
	maxHead = 64 << 10
	// maxLine bounds one line of it.
	maxLine = 32 << 10
	// maxInterim bounds how many interim answers (1xx) may come before the answer.
	maxInterim = 8
)

// head is what the head of an answer says about its frame.
type head struct {
	status int
	minor  int // of the HTTP version
	length int64
	digits int // of the length, as written
	// start and end of the fields in the source's buffer, each field with its CRLF.
	start, end int

	hasLength, chunked, closing bool
	// keep is for how long the server says that it keeps the connection when idle; negative: it does not say.
	keep time.Duration
}

// readHead reads up to the head of the final answer. It consumes the head, which stays in the buffer.
func (s *source) readHead(h *head) error {
	left := maxHead
	for range maxInterim {
		n, err := s.readOneHead(h, left)
		switch {
		case err != nil:
			return err
		case h.status == 101:
			return malformed("it switches protocols, which was not asked for")
		case h.status >= 200:
			s.base = s.r
			return nil
		}
		left -= n
	}
	return malformed("there are too many interim answers")
}

// readOneHead reads a head of at most limit bytes and returns its size.
func (s *source) readOneHead(h *head, limit int) (int, error) {
	*h = head{length: -1, keep: -1}
	at, searched := 0, 0 // where the line begins and where to look for its end, from s.r
	for first := true; ; {
		unread := s.buf.bytes[s.r:s.w]
		i := bytes.IndexByte(unread[searched:], '\n')
		if i < 0 {
			if searched = len(unread); searched > limit || searched-at > maxLine+1 {
				return 0, malformed("its head is too large")
			}
			if err := s.fill(); err != nil {
				return 0, err
			}
			continue
		}
		end := searched + i
		line, err := cutLine(unread[at:end], maxLine)
		if err != nil {
			return 0, err
		}
		if end+1 > limit {
			return 0, malformed("its head is too large")
		}
		switch {
		case first:
			err = h.parseStatus(line)
			first = false
			h.start = end + 1
		case len(line) == 0:
			h.start, h.end = s.r+h.start, s.r+at
			s.r += end + 1
			return end + 1, h.check()
		default:
			err = h.parseField(line)
		}
		if err != nil {
			return 0, err
		}
		at, searched = end+1, end+1
	}
}

var errStatus = malformed("its status line is not one")

// parseStatus reads "HTTP/1.x 200 Reason". The blank before an empty reason may be missing, as some servers have it.
func (h *head) parseStatus(line []byte) error {
	const prefix = "HTTP/1."
	if len(line) < len(prefix)+5 || string(line[:len(prefix)]) != prefix || line[8] != ' ' {
		return errStatus
	}
	switch line[7] {
	case '0':
	case '1':
		h.minor = 1
	default:
		return errStatus
	}
	for _, digit := range line[9:12] {
		if digit < '0' || digit > '9' {
			return errStatus
		}
		h.status = 10*h.status + int(digit-'0')
	}
	reason := line[12:]
	if h.status < 100 || h.status > 599 || len(reason) > 0 && reason[0] != ' ' || !validValue(reason) {
		return errStatus
	}
	return nil
}

var errField = malformed("a header field is not one")

// parseField checks one line and takes from it what is about the frame.
func (h *head) parseField(line []byte) error {
	name, value, err := cutField(line)
	if err != nil {
		return err
	}
	switch {
	case foldedEqual(name, "content-length"):
		return h.parseLength(value)
	case foldedEqual(name, "transfer-encoding"):
		if h.chunked || !foldedEqual(value, "chunked") {
			return malformed("its transfer coding is not just chunked")
		}
		h.chunked = true
	case foldedEqual(name, "connection"):
		h.closing = h.closing || hasToken(value, "close")
	case foldedEqual(name, "keep-alive"):
		h.keep = keepTime(value)
	}
	return nil
}

// cutField splits a line that is a field. A folded one begins with a blank, and so has no valid name.
func cutField(line []byte) (name, value []byte, err error) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || !validName(name) || !validValue(value) {
		return nil, nil, errField
	}
	return name, bytes.Trim(value, " \t"), nil
}

func validName(name []byte) bool {
	if len(name) == 0 {
		return false
	}
	for _, c := range name {
		if !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return true
}

// validValue refuses control characters other than the tab.
func validValue(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func (h *head) parseLength(value []byte) error {
	n, ok := decimal(value)
	if !ok {
		return malformed("its Content-Length is not a number")
	}
	if h.hasLength && (h.length != n || h.digits != len(value)) {
		return malformed("it has two different Content-Lengths")
	}
	h.hasLength, h.length, h.digits = true, n, len(value)
	return nil
}

// decimal reads a number of digits alone, if it is one that fits.
func decimal(digits []byte) (n int64, ok bool) {
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// check finds contradictions between the fields.
func (h *head) check() error {
	switch {
	case h.chunked && h.hasLength:
		return malformed("it has both a Content-Length and a transfer coding")
	case h.chunked && h.minor == 0:
		return malformed("it has a transfer coding in HTTP/1.0")
	}
	return nil
}

// reusable reports whether the server lets the connection be used again. One of HTTP/1.0 would have to be asked first.
func (h *head) reusable() bool { return h.minor == 1 && !h.closing }

// bodyless reports whether an answer ends with its head, whatever its fields say.
func (h *head) bodyless(method string) bool {
	return method == "HEAD" || h.status == 204 || h.status == 304
}

// hasToken reports whether a list of tokens has one.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var element []byte
		element, list, _ = bytes.Cut(list, []byte{','})
		if foldedEqual(bytes.Trim(element, " \t"), token) {
			return true
		}
	}
	return false
}

// keepTime reads the timeout of a Keep-Alive field, which is in seconds.
func keepTime(value []byte) time.Duration {
	for len(value) > 0 {
		var element []byte
		element, value, _ = bytes.Cut(value, []byte{','})
		name, number, _ := bytes.Cut(bytes.Trim(element, " \t"), []byte{'='})
		if !foldedEqual(name, "timeout") {
			continue
		}
		if seconds, ok := decimal(number); ok {
			return time.Duration(min(seconds, math.MaxInt32)) * time.Second
		}
	}
	return -1
}

// foldedEqual reports whether b is a word of lower-case letters and dashes, in whatever case.
func foldedEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// find returns the first value of a field in a block of checked ones.
func find(fields []byte, name string) []byte {
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && asciiFold(line[:len(name)], name) {
			return bytes.Trim(line[len(name)+1:], " \t")
		}
	}
	return nil
}

// asciiFold reports whether two names are the same in whatever case.
func asciiFold(b []byte, name string) bool {
	for i := range b {
		if lower(b[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
