//go:build !race

package credential

// slack is what the race detector would allocate on top.
const slack = 0
