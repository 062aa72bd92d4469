//go:build !race

package listener

// slack is what the race detector would allocate on top.
const slack = 0
