//go:build !race

package spool

// slack is what the race detector would allocate on top.
const slack = 0
