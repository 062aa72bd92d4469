package localpg

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// child is a program that this process started and that must not outlive it.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has been waited for
	err    error         // how it ended; read after exited
	asked  atomic.Bool   // somebody here asked it to end
}

// death is what becomes of a child whose parent is gone.
type death int

const (
	deathFast death = iota // it shuts down in order
	deathKill              // it is killed
)

// spawn starts cmd under the identity.
//
// The kernel ties a child's death signal to the thread that started it, not to
// the process. So the child is started and waited for on a thread that does
// nothing else: a thread that the runtime retires early would take the server
// with it.
func spawn(cmd *exec.Cmd, as identity, d death) (*child, error) {
	c := &child{cmd: cmd, exited: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	bindDeath(cmd.SysProcAttr, d)
	as.apply(cmd.SysProcAttr)
	// The children of a killed postgres hold its stderr for a moment longer.
	cmd.WaitDelay = 5 * time.Second

	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Never unlocked: the thread ends with this goroutine.
		err := cmd.Start()
		if err != nil {
			started <- err
			return
		}
		release, err := tie(cmd.Process)
		if err != nil {
			c.err = errors.Join(err, cmd.Process.Kill(), cmd.Wait())
			started <- c.err
			return
		}
		started <- nil
		c.err = cmd.Wait()
		release()
		close(c.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// wait returns how the child ended. If ctx ends first, the child is killed.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.exited:
		return c.err
	case <-ctx.Done():
		c.asked.Store(true)
		_ = c.cmd.Process.Kill() // It fails only if the child has ended.
		<-c.exited
		return ctx.Err()
	}
}

// farewell is how long postgres waits for clients that have said goodbye. Their
// connections are closed on this side, but the processes behind them may not
// have read that yet, and each that is cut off instead logs a FATAL.
const farewell = time.Second

// end asks postgres to shut down, more and more firmly: when its clients have
// gone, then in order whoever is there for as long as grace and ctx allow, then
// without a checkpoint, then not at all politely. It reports whether it ended.
func (c *child) end(ctx context.Context, grace time.Duration) bool {
	c.asked.Store(true)
	askSmart(c)
	if c.gone(ctx, farewell) {
		return true
	}
	askFast(c)
	if c.gone(ctx, grace) {
		return true
	}
	hard := context.WithoutCancel(ctx)
	askNow(c)
	if c.gone(hard, 5*time.Second) {
		return true
	}
	_ = c.cmd.Process.Kill()
	return c.gone(hard, 10*time.Second)
}

// gone waits for the child to end, and reports whether it did in time.
func (c *child) gone(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-c.exited:
		return true
	case <-ctx.Done():
		return false
	}
}
