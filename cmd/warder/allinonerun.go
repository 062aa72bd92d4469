package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/internal/httpserver"
)

const (
	// drainTime bounds how long a stop waits for calls in flight.
	drainTime = 30 * time.Second
	// bearings bounds how long clients wait at the start for the node to know what the agent
	// serves, as those of a node apart wait until it knows where agents are. Their
	// connections wait in the backlog of the socket.
	bearings = 3 * time.Second
	// nodePatience bounds how long 'warder up' waits after that for its node, before it says
	// that it is up.
	nodePatience = 7 * time.Second
	// look is how often it is asked whether what is awaited has come.
	look = 10 * time.Millisecond
)

// run serves until ctx ends or a part fails, then stops in order. It calls up once
// clients are served, too.
func (u *allInOne) run(ctx context.Context, up func()) error {
	group, failed := errgroup.WithContext(ctx)
	background := context.WithoutCancel(ctx)

	control := begin(background, group, u.control.Run, u.serveNodes, u.serveMetrics)
	node := begin(background, group, u.node.Run)
	agent := begin(background, group, u.runAgent)
	local := httpserver.New(u.control.LocalHandler(), u.log)
	public, socket := publicServer(u.handler(), u.public, u.log)
	public.RegisterOnShutdown(u.control.Drain) // Else a live view would hold up the end.

	group.Go(func() error { return httpserver.Serve(local, u.local) })
	group.Go(func() error { _ = await(failed, bearings, u.met); return httpserver.Serve(public, socket) })
	group.Go(func() error { u.welcome(failed, up); return nil })
	group.Go(func() error { return u.watchDatabase(failed) })
	group.Go(func() error {
		<-failed.Done()
		drain, cancel := context.WithTimeout(background, drainTime)
		defer cancel()
		u.node.Drain() // Notification streams end by nothing else.
		shutdown(drain, public)
		agent.end() // No call needs its servers any more.
		node.end()  // It flushes its audit while the control plane is there.
		shutdown(drain, local)
		control.end()
		return nil
	})
	err := group.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil // Asked to stop, and stopped: Ctrl-C is no failure here.
	}
	return err
}

// part is what works until it is told to end.
type part struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

// begin has the loops of a part run, and fails the group with what they return. Each
// must return when its context, one of ctx, ends.
func begin(ctx context.Context, group *errgroup.Group, loops ...func(context.Context) error) *part {
	p := new(part)
	ctx, p.stop = context.WithCancel(ctx)
	for _, loop := range loops {
		p.running.Add(1)
		group.Go(func() error { defer p.running.Done(); return loop(ctx) })
	}
	return p
}

// end tells the part to end, and returns when it has.
func (p *part) end() {
	p.stop()
	p.running.Wait()
}

func (u *allInOne) serveNodes(ctx context.Context) error { return u.control.ServeNodes(ctx, u.nodes) }

// runAgent runs the agent, if there is one, until ctx ends. An error is one of its start,
// and ends everything: people who start a gateway with a file that cannot be used are told
// so, and do not find out by calls that fail. Later nothing of the agent takes the gateway
// down, which serves more than the agent's servers: a server that crashes is started
// again, a file that becomes wrong leaves in force what was read before, and a lost tunnel
// is dialled again.
func (u *allInOne) runAgent(ctx context.Context) error {
	if u.agent == nil {
		return nil
	}
	if err := agent.Run(ctx, *u.agent); err != nil {
		return startError(fmt.Errorf("start the agent %s: %s", localName, reason(err)))
	}
	return nil
}

// met returns nil once the node serves, and lists what the agent serves.
func (u *allInOne) met() error {
	if err := u.node.Ready(); err != nil {
		return err
	}
	if u.agent != nil && !u.node.Heard(localName) {
		return errors.New("the agent is not attached yet")
	}
	return nil
}

// welcome calls up once the node serves, unless ctx ends before. One that cannot serve
// for long is no reason to hide the dashboard, where people see why.
func (u *allInOne) welcome(ctx context.Context, up func()) {
	late := await(ctx, bearings, u.met)
	if late != nil {
		late = await(ctx, nodePatience, u.node.Ready)
	}
	if ctx.Err() != nil {
		return
	}
	if late != nil {
		u.log.Error("the node does not serve yet", "error", late)
	}
	up()
}

// await asks until the answer is nil, for that long or until ctx ends, and returns the
// last answer.
func await(ctx context.Context, patience time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return err
		}
	}
}

// watchDatabase ends everything when the private PostgreSQL does.
func (u *allInOne) watchDatabase(ctx context.Context) error {
	if u.database == nil {
		return nil
	}
	select {
	case err := <-u.database.Done():
		return err
	case <-ctx.Done():
		return nil
	}
}
