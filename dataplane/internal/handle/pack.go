package handle

import (
	"encoding/binary"
	"encoding/hex"
	"time"
)

// layout is the number of the layout, the first byte of everything that is sealed.
const layout = 1

// packer appends fields.
type packer struct{ out []byte }

// begin starts a layout: its number, and when what follows expires.
func begin(room []byte, expires time.Time) packer {
	p := packer{append(room[:0], layout)}
	p.time(expires)
	return p
}

func (p *packer) raw(b []byte)  { p.out = append(p.out, b...) }
func (p *packer) uint(v uint64) { p.out = binary.AppendUvarint(p.out, v) }

// time keeps whole seconds.
func (p *packer) time(t time.Time) { p.out = binary.AppendVarint(p.out, t.Unix()) }

func (p *packer) text(s string) {
	p.uint(uint64(len(s)))
	p.out = append(p.out, s...)
}

// bytes tells nil from empty.
func (p *packer) bytes(b []byte) {
	if b == nil {
		p.uint(0)
		return
	}
	p.uint(uint64(len(b)) + 1)
	p.raw(b)
}

// versions are the protocol versions that take one byte. The list only grows at its end.
var versions = [...]string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}

// version takes one byte for what is known: its place, counted from 1.
func (p *packer) version(s string) {
	for i, known := range versions {
		if s == known {
			p.uint(uint64(i) + 1)
			return
		}
	}
	p.uint(0)
	p.text(s)
}

// The forms in which an id of a server is packed. Most are hexadecimal, and take half of their length.
const (
	formRaw = iota
	formHex
	formUUID
)

// id packs an id that a server gave. Its form is in the lowest two bits of its length.
func (p *packer) id(s string) {
	var form uint64
	switch {
	case isUUID(s):
		form, s = formUUID, s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]
	case len(s)%2 == 0 && isHex(s):
		form = formHex
	default:
		p.uint(uint64(len(s)) << 2) // formRaw
		p.out = append(p.out, s...)
		return
	}
	p.uint(uint64(len(s)/2)<<2 | form)
	for i := 0; i < len(s); i += 2 {
		p.out = append(p.out, nibble(s[i])<<4|nibble(s[i+1]))
	}
}

// isUUID reports whether s is a UUID in lower case.
func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
}

// isHex reports whether s is made of hexadecimal digits in lower case, which is the case that unpacking gives.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func nibble(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

// unpacker reads fields. After the first that is not there it reads nothing but zeros, and end says so.
type unpacker struct {
	in  []byte
	bad bool
}

// resume reads what begin wrote. Of another layout it reads nothing.
func resume(plain []byte) (unpacker, time.Time) {
	u := unpacker{in: plain}
	if number := u.raw(1); number == nil || number[0] != layout {
		u.fail()
	}
	return u, u.time()
}

// end reports whether every field was there and nothing is left.
func (u *unpacker) end() error {
	if u.bad || len(u.in) > 0 {
		return ErrOpen
	}
	return nil
}

func (u *unpacker) fail() { u.in, u.bad = nil, true }

// raw returns the next n bytes, or nil. They are the unpacker's memory.
func (u *unpacker) raw(n uint64) []byte {
	if u.bad || n > uint64(len(u.in)) {
		u.fail()
		return nil
	}
	b := u.in[:n:n]
	u.in = u.in[n:]
	return b
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.in)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.in = u.in[n:]
	return v
}

func (u *unpacker) time() time.Time {
	v, n := binary.Varint(u.in)
	if n <= 0 {
		u.fail()
		return time.Time{}
	}
	u.in = u.in[n:]
	return time.Unix(v, 0).UTC()
}

// view returns a text in the unpacker's memory.
func (u *unpacker) view() []byte { return u.raw(u.uint()) }

func (u *unpacker) text() string { return string(u.view()) }

// bytes returns a copy, which is nil where nil was packed.
func (u *unpacker) bytes() []byte {
	n := u.uint()
	if n == 0 {
		return nil
	}
	return append([]byte{}, u.raw(n-1)...)
}

func (u *unpacker) version() string {
	switch n := u.uint(); {
	case n == 0:
		return u.text()
	case n <= uint64(len(versions)):
		return versions[n-1]
	}
	u.fail()
	return ""
}

// id appends an id to dst.
func (u *unpacker) id(dst []byte) []byte {
	n := u.uint()
	packed := u.raw(n >> 2)
	switch n & 3 {
	case formRaw:
		return append(dst, packed...)
	case formHex:
		return hex.AppendEncode(dst, packed)
	case formUUID:
		if len(packed) == 16 {
			return appendUUID(dst, packed)
		}
	}
	u.fail()
	return dst
}

func appendUUID(dst, packed []byte) []byte {
	dst = append(hex.AppendEncode(dst, packed[:4]), '-')
	dst = append(hex.AppendEncode(dst, packed[4:6]), '-')
	dst = append(hex.AppendEncode(dst, packed[6:8]), '-')
	dst = append(hex.AppendEncode(dst, packed[8:10]), '-')
	return hex.AppendEncode(dst, packed[10:])
}
