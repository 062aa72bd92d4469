//go:build race

package notice_test

// overhead is how much more memory a stream may hold in tests with the race detector, which keeps notes of its own.
const overhead = 4
