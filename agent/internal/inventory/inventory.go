package inventory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/agent/internal/bridge"
	"github.com/warder-gateway/warder/agent/internal/endpoint"
	"github.com/warder-gateway/warder/agent/internal/manifest"
	"github.com/warder-gateway/warder/agent/internal/process"
	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/launch"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Inventory is the servers of an agent. It is a tunnel.Handler. It may be used from many goroutines, and must be closed.
type Inventory struct {
	log      *slog.Logger
	version  string
	verdicts *bridge.Verdicts
	changed  chan struct{}
	budget   *budget.Budget
	places   *bridge.Places

	applying sync.Mutex // one Apply at a time

	mu      sync.RWMutex
	entries map[string]*entry
	closed  bool
}

// entry is one server. All of it is immutable.
type entry struct {
	name  string
	local bool
	what  string
	// warning says that the command fetches whatever is newest; else it is empty.
	warning string
	digest  [sha256.Size]byte
	server  server // nil: refused says why
	// refused is why nothing runs.
	refused error
}

// server is what runs behind a name.
type server interface {
	tunnel.Handler
	report(to *enrollv1.ServerReport) (ready bool)
	Close()
}

// What messages may hold in memory until they were passed on, in bytes: those of all servers, and those of one.
const (
	messageBytes = 256 << 20
	serverBytes  = messageBytes / 2
)

// processes is how many may run, of all servers. When there are more, the one that has been quiet for longest ends, and if
// none has been for a minute, the newcomer gets HTTP 503.
const processes = 256

// New returns an inventory without servers. Version is what servers are told of the agent.
func New(version string, log *slog.Logger) *Inventory {
	return &Inventory{
		log: log, version: version, verdicts: bridge.NewVerdicts(),
		budget: budget.New(messageBytes), places: bridge.NewPlaces(processes), changed: make(chan struct{}, 1), entries: make(map[string]*entry),
	}
}

// Changed is sent to when Reports or States may have changed since it was last received from.
func (v *Inventory) Changed() <-chan struct{} { return v.changed }

func (v *Inventory) notify() {
	select {
	case v.changed <- struct{}{}:
	default: // Whoever listens has been told.
	}
}

// Apply makes the inventory what the file and the orders say. Servers that are no more, or others than before, are closed
// when it returns, with the calls that run there; all others go on. The orders' secrets are kept in memory alone.
func (v *Inventory) Apply(file *manifest.File, assigned []*enrollv1.AssignedServer) {
	v.applying.Lock()
	defer v.applying.Unlock()
	wanted := v.wanted(file, assigned)
	var over []*entry
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return
	}
	for name, old := range v.entries {
		if now := wanted[name]; now == nil || now.digest != old.digest {
			over = append(over, old)
			delete(v.entries, name)
		}
	}
	v.mu.Unlock()
	closeAll(over) // Before another takes its place: it may hold a file or a port.
	v.mu.Lock()
	for name, now := range wanted {
		if old := v.entries[name]; old != nil {
			now.server, now.refused = old.server, old.refused
		} else {
			now.open(v)
		}
		v.entries[name] = now.entry
	}
	v.mu.Unlock()
	v.notify()
}

// want is an entry, and how to make its server.
type want struct {
	*entry
	make func() (server, error)
}

// open makes the server.
func (w *want) open(v *Inventory) {
	if w.refused == nil {
		w.server, w.refused = w.make()
	}
	if w.warning != "" && w.refused == nil {
		v.log.Warn("server runs what its publisher releases", "server", w.name, "warning", w.warning)
	}
	if w.refused != nil {
		w.server = nil
		v.log.Warn("server is not served", "server", w.name, "reason", w.refused)
	}
}

// wanted lists what there has to be.
func (v *Inventory) wanted(file *manifest.File, assigned []*enrollv1.AssignedServer) map[string]*want {
	wanted := make(map[string]*want)
	for _, s := range assigned {
		d := manifest.Server{
			Name: s.GetName(), Command: s.GetCommand(), Directory: s.GetDirectory(), Environment: s.GetEnvironment(),
			Shared: s.GetShared(), URL: s.GetUrl(),
		}
		w := v.want(&d, false)
		if w.refused = file.Allows(s); w.refused != nil {
			w.digest = sha256.Sum256([]byte("refused: " + w.refused.Error()))
		}
		wanted[d.Name] = w
	}
	for i := range file.Servers {
		wanted[file.Servers[i].Name] = v.want(&file.Servers[i], true)
	}
	return wanted
}

// want returns the entry of a definition.
func (v *Inventory) want(d *manifest.Server, local bool) *want {
	log := v.log.With("server", d.Name)
	if d.URL != "" {
		text := fmt.Sprintf("url %q", d.URL)
		for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
			text += fmt.Sprintf(" %q %q", name, d.Headers[name])
		}
		e := &entry{name: d.Name, local: local, what: d.URL, digest: sha256.Sum256([]byte(text))}
		return &want{e, func() (server, error) {
			s, err := endpoint.New(endpoint.Config{Name: d.Name, URL: d.URL, Header: d.Headers, Changed: v.notify, Log: log, Budget: v.budget.Share(serverBytes)})
			if err != nil {
				return nil, err
			}
			return beside{s}, nil
		}}
	}
	spec := d.Spec()
	inner := spec.Digest()
	e := &entry{name: d.Name, local: local, what: spec.String(), warning: launch.Warning(d.Command), digest: sha256.Sum256(fmt.Appendf(inner[:], "shared %v", d.Shared))}
	return &want{e, func() (server, error) {
		if err := spec.Check(); err != nil {
			return nil, err
		}
		return stdio{bridge.New(bridge.Config{
			Name: d.Name, Spec: spec, Shared: d.Shared, Verdicts: v.verdicts, Changed: v.notify, Log: v.log, Version: v.version,
			Process: process.Options{Log: log}, Budget: v.budget.Share(serverBytes), Places: v.places,
		})}, nil
	}}
}

// Serve implements tunnel.Handler. A server that is not there is refused: nothing was done.
func (v *Inventory) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	v.mu.RLock()
	e := v.entries[r.Server]
	v.mu.RUnlock()
	if e == nil || e.server == nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "this agent does not serve it")
		return
	}
	e.server.Serve(ctx, r, w)
}

// Reports returns what people see of the servers, by name.
func (v *Inventory) Reports() []*enrollv1.ServerReport {
	reports, _ := v.look()
	return reports
}

// States returns what nodes are told, by name. Refused servers are not among them.
func (v *Inventory) States() []*tunnelv1.ServerState {
	_, states := v.look()
	return states
}

func (v *Inventory) look() (reports []*enrollv1.ServerReport, states []*tunnelv1.ServerState) {
	v.mu.RLock()
	entries := slices.SortedFunc(maps.Values(v.entries), func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	v.mu.RUnlock()
	for _, e := range entries {
		report := &enrollv1.ServerReport{Name: e.name, Local: e.local, What: e.what}
		if e.server == nil {
			report.Phase, report.LastError = enrollv1.ServerPhase_SERVER_PHASE_REFUSED, e.refused.Error()
		} else {
			states = append(states, &tunnelv1.ServerState{Name: e.name, Ready: e.server.report(report)})
		}
		reports = append(reports, report)
	}
	return reports, states
}

// Close closes all servers. It returns when nothing is left of them.
func (v *Inventory) Close() {
	v.applying.Lock()
	defer v.applying.Unlock()
	v.mu.Lock()
	v.closed = true
	entries := slices.Collect(maps.Values(v.entries))
	clear(v.entries)
	v.mu.Unlock()
	closeAll(entries)
}

func closeAll(entries []*entry) {
	var closing sync.WaitGroup
	for _, e := range entries {
		if e.server != nil {
			closing.Go(e.server.Close)
		}
	}
	closing.Wait()
}

// stdio is a server that the agent runs.
type stdio struct{ *bridge.Server }

var phases = map[bridge.Phase]enrollv1.ServerPhase{
	bridge.Idle:     enrollv1.ServerPhase_SERVER_PHASE_IDLE,
	bridge.Starting: enrollv1.ServerPhase_SERVER_PHASE_STARTING,
	bridge.Running:  enrollv1.ServerPhase_SERVER_PHASE_RUNNING,
	bridge.Waiting:  enrollv1.ServerPhase_SERVER_PHASE_WAITING,
}

func (s stdio) report(to *enrollv1.ServerReport) bool {
	status := s.Status()
	to.Phase, to.Pid, to.Processes = phases[status.Phase], int32(status.PID), uint32(status.Processes)
	to.Restarts, to.LastError, to.LastLine = status.Restarts, status.LastError, status.LastLine
	if !status.Started.IsZero() {
		to.StartedAt = timestamppb.New(status.Started.Truncate(time.Microsecond))
	}
	return status.Ready
}

// beside is a server that speaks HTTP.
type beside struct{ *endpoint.Server }

func (s beside) report(to *enrollv1.ServerReport) bool {
	status := s.Status()
	to.Phase, to.LastError = enrollv1.ServerPhase_SERVER_PHASE_RUNNING, status.LastError
	if !status.Ready {
		to.Phase = enrollv1.ServerPhase_SERVER_PHASE_WAITING
	}
	return status.Ready
}
