package session

import (
	"crypto/rand"
	"encoding/hex"
)

// A traceparent (W3C Trace Context, version 00) is made of fixed parts:
//
//	00-<trace id, 32 hex>-<span id, 16 hex>-<flags, 2 hex>
const (
	traceParentLen = 55
	traceStart     = 3
	traceEnd       = 35
	spanStart      = 36
	spanEnd        = 52
)

// newSpan returns the traceparent of our own hop: a child of the client's, or
// the root of a new trace that nobody has asked to sample if the client sent
// none that is valid. The trace id is a part of it.
func newSpan(parent string) (traceParent string) {
	var random [24]byte
	rand.Read(random[:]) // never fails
	var out [traceParentLen]byte
	copy(out[:], "00-")
	copy(out[traceEnd:], "-")
	copy(out[spanEnd:], "-00")
	if validTraceParent(parent) {
		copy(out[traceStart:], parent[traceStart:traceEnd])
		copy(out[spanEnd:], parent[spanEnd:])
	} else {
		hex.Encode(out[traceStart:traceEnd], random[:16])
	}
	hex.Encode(out[spanStart:spanEnd], random[16:])
	return string(out[:])
}

// traceID returns the trace id of a traceparent that newSpan made.
func traceID(traceParent string) string { return traceParent[traceStart:traceEnd] }

func validTraceParent(s string) bool {
	return len(s) == traceParentLen && s[:traceStart] == "00-" && s[traceEnd] == '-' && s[spanEnd] == '-' &&
		isLowerHex(s[traceStart:traceEnd]) && isLowerHex(s[spanStart:spanEnd]) && isLowerHex(s[spanEnd+1:]) &&
		!isZero(s[traceStart:traceEnd]) && !isZero(s[spanStart:spanEnd])
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
