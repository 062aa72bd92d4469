//go:build !race

package handle_test

// slack is what the race detector would allocate on top.
const slack = 0
