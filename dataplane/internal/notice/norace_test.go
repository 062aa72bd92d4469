//go:build !race

package notice_test

const overhead = 1
