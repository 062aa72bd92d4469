package turns

import "runtime"

// few is how many processors a process may have for Gather to do anything.
const few = 2

// gathers is what the process had at its start: what is lent does not count.
var gathers = runtime.GOMAXPROCS(0) <= few

// Gather has whoever could run come as far as the caller before that goes on:
//
//	without   read a, decide a, write a, read b, decide b, write b
//	with      read a, decide a, read b, decide b, write a, write b
//
// A call that is about to write does so. The writes of many calls then follow one another: the code of each step is in the processor's
// caches when the next call comes to it, and whom the first of them wakes, on another processor, is awake for the rest. With 16 to 64
// callers that is a tenth of what a node can do. With nobody waiting it costs a tenth of a microsecond.
//
// With many processors it does nothing: who steps back waits in a queue that all processors share, and one that idles would be woken
// for him. More than two were not measured.
func Gather() {
	if gathers {
		runtime.Gosched()
	}
}
