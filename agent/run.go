package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/warder-gateway/warder/agent/internal/inventory"
	"github.com/warder-gateway/warder/agent/internal/manifest"
	"github.com/warder-gateway/warder/agent/internal/uplink"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/filelock"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// reload is how often the agent's file is looked at.
const reload = time.Second

// Run is the agent as a process: it joins if it has to, and serves until ctx ends. Then it tells the nodes, lets running
// calls finish, and ends the servers that it started.
func Run(ctx context.Context, config Config) error {
	config, err := config.withDefaults()
	if err != nil {
		return err
	}
	if err := config.validate(); err != nil {
		return err
	}
	file, err := config.load()
	if err != nil {
		return err
	}
	lock, err := config.claim()
	if err != nil {
		return err
	}
	defer lock.Release()
	view := config.open()
	who, err := config.identity(ctx)
	if who == nil || fault.Is(err, fault.Precondition) {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	if err != nil { // The control plane is away: the agent waits for it, as it does when it goes away later.
		config.Log.Warn("the agent is not connected until the control plane is back", "error", fault.Text(err))
	}
	servers := inventory.New(config.Version, config.Log)
	defer servers.Close()
	duties := &duties{file: file, wake: make(chan struct{}, 1)}
	link := uplink.New(uplink.Config{
		Identity: who, ControlPlane: config.ControlPlane, Dir: config.DataDir, Servers: view.watch(servers), Asked: servers, Assigned: duties.assign,
		DrainTime: config.DrainTime, Version: config.Version, Log: config.Log,
	})

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { who.Run(running) })
	if !config.AllowAny {
		all.Go(func() { manifest.Watch(running, config.File, reload, config.reloaded(duties)) })
	}
	duties.apply(servers)
	all.Go(func() { duties.run(running, servers) })
	config.Log.Info("agent is up", "agent", who.Peer().Name, "region", who.Region(), "control_plane", config.ControlPlane, "version", config.Version)
	var showing sync.WaitGroup
	showing.Go(func() { view.show(ctx, quit, &config, who, servers, link, duties.broken) })
	link.Run(ctx)
	showing.Wait() // What is logged from now on is seen.
	config.Log.Info("agent is going down")
	return nil
}

// load reads the agent's file for the first time.
func (c *Config) load() (*manifest.File, error) {
	if c.AllowAny {
		return &manifest.File{AllowAny: true}, nil
	}
	return manifest.Load(c.File)
}

// reloaded returns what to do when the file is another, or cannot be used.
func (c *Config) reloaded(d *duties) func(*manifest.File, error) {
	first := true
	return func(file *manifest.File, err error) {
		d.mend(err)
		switch {
		case err != nil:
			c.Log.Error("the agent's file cannot be used; what was read before stays in force", "file", c.File, "error", fault.Text(err))
		case !first:
			c.Log.Info("the agent's file was read again", "file", c.File)
			d.declare(file)
		default:
			d.declare(file)
		}
		first = false
	}
}

// claim takes the data directory for this process. Two with one identity would take each other's stream in turns.
func (c *Config) claim() (*filelock.Lock, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Precondition, "the data directory cannot be made: "+err.Error(), err)
	}
	lock, err := filelock.Take(filepath.Join(c.DataDir, "lock"))
	if held, ok := errors.AsType[*filelock.HeldError](err); ok {
		return nil, fault.Wrap(fault.Exists, fmt.Sprintf("another agent (%s) uses the data directory %s; stop it, or name another directory with --data-dir",
			cmp.Or(held.Who, "it does not say who"), c.DataDir), err)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "the data directory cannot be written to: "+err.Error(), err)
	}
	return lock, nil
}

// identity returns who the agent is; it joins where that is not known.
func (c *Config) identity(ctx context.Context) (*identity.Identity, error) {
	if c.Identity != nil {
		return c.Identity, nil
	}
	token, err := identity.GivenToken(c.JoinToken, c.JoinTokenFile)
	if err != nil {
		return nil, err
	}
	return identity.Obtain(ctx, identity.Config{
		Kind: identity.Agent, Dir: filepath.Join(c.DataDir, "identity"), ControlPlane: c.ControlPlane, Version: c.Version, Log: c.Log,
	}, token)
}

// duties are what the agent is to run: by its file, and by its orders. They are applied one after another, and only the
// latest.
type duties struct {
	wake chan struct{}

	mu       sync.Mutex
	file     *manifest.File
	assigned []*enrollv1.AssignedServer
	wrong    string // why the file as it is now cannot be used; empty: it can
	applied  func() // says that assigned is applied; nil: nobody asks
}

// declare sets what the file says.
func (d *duties) declare(file *manifest.File) {
	d.mu.Lock()
	d.file = file
	d.mu.Unlock()
	d.due()
}

// mend notes why the file cannot be used; nil: it can.
func (d *duties) mend(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrong = ""
	if err != nil {
		d.wrong = fault.Text(err)
	}
}

// broken is what was noted last.
func (d *duties) broken() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wrong
}

// assign sets what the orders say, and whom to tell when that is so.
func (d *duties) assign(servers []*enrollv1.AssignedServer, applied func()) {
	d.mu.Lock()
	d.assigned, d.applied = servers, applied
	d.mu.Unlock()
	d.due()
}

func (d *duties) due() {
	select {
	case d.wake <- struct{}{}:
	default: // They will be applied anyhow, and these with them.
	}
}

// run applies duties whenever they change, until ctx ends. That may take a while: servers that are over are ended.
func (d *duties) run(ctx context.Context, servers *inventory.Inventory) {
	for {
		select {
		case <-d.wake:
			d.apply(servers)
		case <-ctx.Done():
			return
		}
	}
}

func (d *duties) apply(servers *inventory.Inventory) {
	d.mu.Lock()
	file, assigned, applied := d.file, d.assigned, d.applied
	d.applied = nil
	d.mu.Unlock()
	servers.Apply(file, assigned)
	if applied != nil {
		applied()
	}
}
