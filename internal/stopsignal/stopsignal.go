// Package stopsignal says by which signals a process that serves is asked to stop in order, and what it outlives.
//
//	Ctrl-C, SIGTERM, a terminal that closes ──▶ All ──▶ the context of Run ends ──▶ drain, deliver, exit 0
//	whoever reads the output goes           ──▶ OutliveReaders ──▶ what is written there goes nowhere
//	a terminal that closes says so again    ──▶ OutliveTerminal
//
// Nothing of it is inherited by the processes that an agent starts: a signal that is caught is in its default state in them,
// and one that is ignored would not be.
package stopsignal

import (
	"os"
	"os/signal"
	"syscall"
)

// All are those that ask to stop in order. A terminal that closes is one of them, unless nohup said to go on without.
func All() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// OutliveReaders keeps the process alive when whoever reads its output has gone: Ctrl-C ends 'tee' as well, and the next line
// of the log would end this process in the middle of its work.
func OutliveReaders() { outlive(syscall.SIGPIPE) }

// OutliveTerminal keeps a process alive that stops because its terminal closed, while a second signal of another kind is to
// end it at once: the shell says so to it, and the kernel again when the shell has ended.
func OutliveTerminal() {
	if !signal.Ignored(syscall.SIGHUP) {
		outlive(syscall.SIGHUP)
	}
}

// outlive catches a signal for nobody.
func outlive(s os.Signal) { signal.Notify(make(chan os.Signal, 1), s) }
