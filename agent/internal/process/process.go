package process

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/budget"
)

// Options are how a program is run. The zero value of each field means its default.
type Options struct {
	// LeaveTime is how long it may take to end after its stdin was closed, and TermTime after SIGTERM. Default 1 s and 4 s.
	LeaveTime, TermTime time.Duration
	// DeafTime is how long it may leave its stdin unread while there is something to read. Default 1 min.
	DeafTime time.Duration
	// Log gets what it says, at level debug, and what becomes of it. Default: nowhere.
	Log *slog.Logger
	// Budget bounds what is kept for callers. Nil: it has no bound.
	Budget *budget.Budget
}

func (o Options) withDefaults() Options {
	o.LeaveTime = cmp.Or(o.LeaveTime, time.Second)
	o.TermTime = cmp.Or(o.TermTime, 4*time.Second)
	o.DeafTime = cmp.Or(o.DeafTime, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Process is a running program, and the connection to it. It may be used from many goroutines.
type Process struct {
	*wire.Conn
	// Log is what it said on stderr.
	Log *Log

	options Options
	tag     string
	cmd     *exec.Cmd
	group   group
	guard   guard
	started time.Time
	pipes   pipes

	queue   chan []byte
	leaving chan struct{} // closed when stdin is to be closed
	asked   atomic.Bool   // Stop was called
	stop    sync.Once
	broken  atomic.Pointer[error] // why it was ended, where it did not end by itself
	dead    chan struct{}         // closed when the program has ended
	gone    chan struct{}         // closed when all that it started has ended, too
	err     error                 // valid once dead is closed
}

// Start runs a program. What it sends unasked goes to hearer. The process is to be ended with Stop, unless it ends by
// itself.
func Start(spec *Spec, hearer wire.Hearer, options Options) (*Process, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	path, err := spec.path()
	if err != nil {
		return nil, err
	}
	if err := checkArguments(path, spec.Command[1:]); err != nil {
		return nil, err
	}
	p := &Process{
		options: options.withDefaults(), tag: rand.Text(), queue: make(chan []byte, queueLength),
		leaving: make(chan struct{}), dead: make(chan struct{}), gone: make(chan struct{}),
	}
	p.Conn, p.Log = wire.New(stdin{p}, hearer, p.options.Budget), newLog(spec, p.options.Log)
	p.cmd = &exec.Cmd{Path: path, Args: spec.Command, Dir: spec.Directory, Env: spec.environment(p.tag)}
	if p.pipes, err = openPipes(p.cmd); err != nil {
		return nil, err
	}
	if err := p.spawn(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Command[0], err)
	}
	return p, nil
}

// spawn starts the program on a thread that does nothing else and lasts as long as the program: the kernel ties the
// signal of a parent's death, and no_new_privs, to the thread.
func (p *Process) spawn() error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	p.group.prepare(p.cmd.SysProcAttr)
	started := make(chan error, 1)
	go onThread(func() {
		err := restrict()
		if err == nil {
			err = p.cmd.Start()
		}
		p.pipes.closeTheirs()
		if err == nil {
			if err = p.group.adopt(p.cmd.Process); err != nil {
				err = errors.Join(err, p.cmd.Process.Kill(), p.cmd.Wait())
			}
		}
		if err != nil {
			p.pipes.closeOurs()
			started <- err
			return
		}
		p.started = time.Now()
		if err := p.guard.start(p.PID(), p.tag); err != nil { // A machine need not have a shell.
			p.options.Log.Debug("nobody watches over the process", "pid", p.PID(), "error", err)
		}
		started <- nil
		p.run()
	})
	return <-started
}

// onThread runs do on a thread that ends with it. The main thread never ends, so it is not taken.
func onThread(do func()) {
	runtime.LockOSThread() // Never unlocked, but for the main thread.
	if !isMainThread() {
		do()
		return
	}
	other := make(chan struct{})
	go func() {
		runtime.LockOSThread() // The main one is taken.
		close(other)
		do()
	}()
	<-other
	runtime.UnlockOSThread()
}

// run lasts as long as the program, and cleans up behind it.
func (p *Process) run() {
	read := make(chan struct{})
	go func() {
		var readers sync.WaitGroup
		readers.Go(p.read)
		readers.Go(p.readLog)
		readers.Wait()
		close(read)
	}()
	go p.write()

	signal := p.group.await(p.cmd)
	drain(read)
	p.err = p.cause(signal)
	p.Fail(p.err)
	close(p.dead)

	p.group.end(p.cmd, p.tag)
	p.guard.stop()
	p.group.reap(p.cmd)
	p.pipes.closeOurs()
	<-read
	p.options.Log.Debug("process ended", "pid", p.PID(), "state", p.cmd.ProcessState, "asked", p.asked.Load())
	close(p.gone)
}

// drainTime is how long the last words of a program that ended are waited for. They are in the pipe already; but what it
// started may hold the pipe open.
const drainTime = 250 * time.Millisecond

func drain(read <-chan struct{}) {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-read:
	case <-timer.C:
	}
}

// cause words why the program is no more. Signal is what killed it; 0: it ended otherwise.
func (p *Process) cause(signal int) error {
	if broken := p.broken.Load(); broken != nil {
		return *broken
	}
	if p.asked.Load() {
		return wire.ErrStopped
	}
	text := "the process ended by itself"
	if signal != 0 {
		text = fmt.Sprintf("the process was killed by signal %d (%v)", signal, syscall.Signal(signal))
	}
	if last := p.Log.last(); last != "" {
		text += "; its last line: " + last
	}
	return errors.New(text)
}

// PID returns the id of the program's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Redact takes the program's secrets out of a text, and all but its first line.
func (p *Process) Redact(text string) string { return p.Log.Redact(text) }

// LastWords returns its last line on stderr, redacted; empty if there is none.
func (p *Process) LastWords() string { return p.Log.last() }

// Started returns when it was started.
func (p *Process) Started() time.Time { return p.started }

// Dead is closed when the program has ended and its calls have failed.
func (p *Process) Dead() <-chan struct{} { return p.dead }

// Err returns why it ended, once Dead is closed: wire.ErrStopped after Stop. The text is redacted.
func (p *Process) Err() error { return p.err }

// Stop ends the program and all that it started: it closes stdin, then asks with SIGTERM, then kills. It returns when
// nothing of it is left, and may be called again.
func (p *Process) Stop() {
	p.asked.Store(true)
	p.stop.Do(func() { close(p.leaving) })
	if p.within(p.options.LeaveTime) {
		return
	}
	p.group.terminate(p.cmd)
	if p.within(p.options.TermTime) {
		return
	}
	p.group.kill(p.cmd)
	<-p.gone
}

// within waits for the end of everything, and reports whether it came in time.
func (p *Process) within(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.gone:
		return true
	case <-p.dead:
		<-p.gone // That takes no longer than it is bounded by.
		return true
	case <-timer.C:
		return false
	}
}

// breakOff ends a program that does not keep to the protocol.
func (p *Process) breakOff(err error) {
	if p.asked.Load() || !p.broken.CompareAndSwap(nil, &err) {
		return
	}
	p.Fail(err)
	p.group.kill(p.cmd)
}

// queueLength is how many messages may wait for the program to read them. Who has one more waits.
const queueLength = 64

// stdin is a program's input as a wire.Sender.
type stdin struct{ *Process }

func (p stdin) Send(ctx context.Context, message []byte) error {
	select {
	case p.queue <- message:
		return nil
	case <-p.dead:
		return p.err
	case <-p.leaving:
		if p.asked.Load() {
			return wire.ErrStopped
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// It closed its output, as one does that ends by itself, and is ended if it does not. Then it is known why.
	select {
	case <-p.dead:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p stdin) TrySend(message []byte) bool {
	select {
	case p.queue <- message:
		return true
	default:
		return false
	}
}

// write writes the queue to stdin until the program is to leave or has ended.
func (p *Process) write() {
	defer p.pipes.stdin.Close()
	for {
		select {
		case message := <-p.queue:
			// Where pipes know no deadline, a deaf program is ended by Stop alone.
			_ = p.pipes.stdin.SetWriteDeadline(time.Now().Add(p.options.DeafTime))
			if _, err := p.pipes.stdin.Write(append(message, '\n')); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					p.breakOff(fmt.Errorf("the process has not read its input for %v", p.options.DeafTime))
				}
				// Else it has closed its stdin, which it may: it may still answer. What is sent now is lost.
				p.discard()
				return
			}
		case <-p.leaving:
			return
		case <-p.dead:
			return
		}
	}
}

// discard empties the queue until the program ends.
func (p *Process) discard() {
	for {
		select {
		case <-p.queue:
		case <-p.leaving:
			return
		case <-p.dead:
			return
		}
	}
}

// readLog reads stderr to its end.
func (p *Process) readLog() {
	lines := lineWriter{take: p.Log.add}
	_, _ = io.Copy(&lines, p.pipes.stderr) // It ends when we close it, too.
	lines.flush()
}
