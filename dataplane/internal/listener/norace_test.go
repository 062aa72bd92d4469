//go:build !race

package listener

// slack is what the race detector would allocate on top.
const slack = 0

// restHolds is what a connection at rest may hold, with the other end of it, in bytes.
const restHolds = 6 << 10
