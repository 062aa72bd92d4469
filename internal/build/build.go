// Package build says what this binary is.
package build

// Version is the release, set by the linker ('make build').
var Version = "0.1.0-dev"
