//go:build race

package listener

// slack is what the race detector allocates on top: it empties pools at random.
const slack = 20

// restHolds is what a connection at rest may hold, with the other end of it, in bytes. The race detector has larger stacks.
const restHolds = 12 << 10
