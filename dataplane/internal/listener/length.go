package listener

import (
	"strconv"
	"sync/atomic"
)

// maxKnownLength bounds the sizes of answers whose Content-Length is made once,
// in bytes: most answers are shorter. All of them together take 250 KiB.
const maxKnownLength = 4 << 10

// knownLengths are values of Content-Length, shared by all answers of a listener;
// net/http does not change them.
type knownLengths [maxKnownLength]atomic.Pointer[[1]string]

// of returns the values of the header for a size.
func (k *knownLengths) of(size int) []string {
	if size >= len(k) {
		return []string{strconv.Itoa(size)}
	}
	known := k[size].Load()
	if known == nil {
		known = &[1]string{strconv.Itoa(size)}
		k[size].Store(known)
	}
	return known[:]
}
