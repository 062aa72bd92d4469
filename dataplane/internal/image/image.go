// Package image is about the pages of the program's own file that the process has mapped.
//
// A program that starts touches much of its file once: each package prepares itself. The system maps what was touched, with its
// neighbours, and takes it away only when memory is short. Until then it counts as the process's:
//
//	file   ████████████████████████   50 MB
//	mapped ▒▒▒▒▒▒  ▒▒▒▒▒▒▒  ▒▒▒▒▒▒▒   after the start
//	mapped ▒    ▒    ▒▒ ▒     ▒       after Forget, and some calls
package image
