//go:build race

package listener

// slack is what the race detector allocates on top: it empties pools at random.
const slack = 20
