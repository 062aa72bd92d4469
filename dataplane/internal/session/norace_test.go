//go:build !race

package session_test

// slack is what the race detector would allocate on top.
const slack = 0
