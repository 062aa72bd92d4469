//go:build !race

package token

// slack is what the race detector would allocate on top.
const slack = 0
