//go:build race

package token

// slack is what the race detector allocates on top: it empties pools at random.
const slack = 10
