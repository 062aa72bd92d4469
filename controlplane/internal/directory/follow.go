package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/environment"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// tunnels is how many nodes an agent is to have tunnels to.
	tunnels = 2
	// reportEvery is how often what an agent reports is written, at most, and movesEvery if
	// its tunnels are others, which nodes are told of. That doubles each time in a row, for
	// an agent whose tunnels come and go without end not to keep everybody busy.
	reportEvery = time.Second
	movesEvery  = 10 * time.Millisecond
	// hearPause is the least time between two messages of an agent, which has no reason
	// to say more: what it says takes a lock that all agents share.
	hearPause = 5 * time.Millisecond
	// heartbeat is how often a row says that its stream lives.
	heartbeat = 15 * time.Second
	// writeTimeout bounds one write of a row.
	writeTimeout = 5 * time.Second
	// dealRetry is the pause after orders could not be read.
	dealRetry = time.Second

	// Bounds of a report; what is beyond is cut off.
	maxReported = 1000
	maxTunnels  = 64
	maxText     = 500 // bytes
)

// follower is one stream with one agent. The directory's lock guards what is below it.
type follower struct {
	name   string
	stream string // in rows: distinct for each stream of each replica
	end    context.CancelCauseFunc
	log    *slog.Logger
	wake   chan struct{} // capacity 1: orders may be others now
	news   chan struct{} // capacity 1: there is a report
	moves  chan struct{} // capacity 1: it has other tunnels than the one before

	rows     []db.ListOrdersRow
	revision uint64 // that rows are of, or of a later one
	dealt    bool   // rows were read
	// number is that of the orders that were sent last, and sent the revision from which
	// they are in force; ordered is what they say of each server.
	number, sent uint64
	ordered      map[string]string
	taken        uint64 // the number of those that the agent has in force
	reported     uint64 // taken, when the report came
	report       *enrollv1.AgentReport
}

// poke has the orders looked at again.
func (f *follower) poke() { signal(f.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // Whoever waits has been told.
	}
}

// Follow serves one agent until either side ends the stream.
func (d *Directory) Follow(stream enrollv1.AgentService_FollowServer) error {
	peer, err := identity.FromContext(stream.Context())
	if err != nil {
		return fault.GRPC(err)
	}
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	f := &follower{
		name: peer.Name, stream: d.config.Replica + "/" + rand.Text()[:8], end: end,
		log: d.config.Log.With("agent", peer.Name), wake: make(chan struct{}, 1),
		news: make(chan struct{}, 1), moves: make(chan struct{}, 1),
	}
	if err := d.enter(f); err != nil {
		return fault.GRPC(err)
	}
	defer d.leave(f)
	// Both end with the stream, which ends when this returns.
	go d.hear(ctx, f, stream)
	go d.order(ctx, f, stream)
	d.keep(ctx, f)
	cause := context.Cause(ctx)
	f.log.Info("agent disconnected", "reason", cause)
	return fault.GRPC(cause)
}

// enter makes f the stream of its agent. An earlier one is ended.
func (d *Directory) enter(f *follower) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return errShutdown
	}
	a := d.of(f.name)
	if a.follower != nil {
		a.follower.end(errSuperseded)
	}
	a.follower = f
	d.moved(f.name, a)
	return nil
}

// leave forgets f, unless a later stream took its place.
func (d *Directory) leave(f *follower) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.agents[f.name]; a != nil && a.follower == f {
		a.follower = nil
		d.moved(f.name, a)
	}
}

// hear reads what the agent says until the stream breaks, and then ends it.
func (d *Directory) hear(ctx context.Context, f *follower, stream enrollv1.AgentService_FollowServer) {
	for ctx.Err() == nil {
		request, err := stream.Recv()
		if err != nil {
			f.end(fault.Wrap(fault.Unavailable, "the stream to the agent ended", err))
			return
		}
		report := request.GetReport()
		if report != nil {
			tidy(report) // Which takes time that others need not wait for.
		}
		d.mu.Lock()
		if taken := request.GetTaken(); taken > f.taken && taken <= f.number {
			f.taken = taken
		}
		if report != nil {
			if !slices.Equal(tunnelled(report), tunnelled(f.report)) {
				signal(f.moves)
			}
			f.report, f.reported = report, f.taken
			signal(f.news)
		}
		if a := d.agents[f.name]; a != nil && a.follower == f {
			d.moved(f.name, a)
		}
		d.mu.Unlock()
		pause(ctx, hearPause)
	}
}

// order sends orders whenever they are others, until ctx ends.
func (d *Directory) order(ctx context.Context, f *follower, stream enrollv1.AgentService_FollowServer) {
	for d.deal(ctx, d.config.Feed.Revision(), []string{f.name}) != nil {
		if pause(ctx, dealRetry); ctx.Err() != nil {
			return
		}
	}
	var last *enrollv1.Orders
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		next, ordered, revision, err := d.orders(f, last)
		if err != nil {
			f.log.Error("cannot tell an agent its orders; the last ones stay in force", "error", err)
			continue
		}
		if next == nil {
			continue
		}
		fresh := last == nil || next.GetNumber() != last.GetNumber()
		d.mu.Lock()
		f.number, f.sent, f.ordered = next.GetNumber(), revision, ordered
		if a := d.agents[f.name]; a != nil && a.follower == f {
			d.moved(f.name, a)
		}
		d.mu.Unlock()
		last = next
		if !fresh {
			continue
		}
		if err := stream.Send(&enrollv1.FollowResponse{Orders: next}); err != nil {
			f.end(fault.Wrap(fault.Unavailable, "the stream to the agent broke", err))
			return
		}
	}
}

// orders returns what an agent is to know now, and the revision that it is of: the last
// orders, if they say so already. It is nil before there is anything to say.
func (d *Directory) orders(f *follower, last *enrollv1.Orders) (*enrollv1.Orders, map[string]string, uint64, error) {
	nodes, _, version, _ := d.world.now()
	d.mu.Lock()
	rows, revision, dealt := f.rows, f.revision, f.dealt
	d.mu.Unlock()
	if !dealt || version == 0 {
		return nil, nil, 0, nil
	}
	next := &enrollv1.Orders{Nodes: nodes, Tunnels: tunnels, Number: last.GetNumber()}
	ordered := make(map[string]string, len(rows))
	for _, row := range rows {
		next.Allowed = append(next.Allowed, row.Name)
		ordered[row.Name] = fmt.Sprintf("%q %q %x %q %v", row.URL, row.Command, row.EnvironmentSealed, row.Directory, row.Shared)
		if row.URL == "" && len(row.Command) == 0 {
			continue // Its own file declares it.
		}
		variables, err := environment.Open(d.config.Keys, row.Name, row.EnvironmentSealed)
		if err != nil {
			return nil, nil, 0, err
		}
		next.Servers = append(next.Servers, &enrollv1.AssignedServer{
			Name: row.Name, Command: row.Command, Environment: variables, Directory: row.Directory, Shared: row.Shared, Url: row.URL,
		})
	}
	if last == nil || !proto.Equal(next, last) {
		next.Number++
	}
	return next, ordered, revision, nil
}

// keep writes what the agent reports until ctx ends, the latest alone, and no more often
// than reportEvery and movesEvery say. What could not be written is tried again.
func (d *Directory) keep(ctx context.Context, f *follower) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var known kept
	for least := movesEvery; ; least = f.rest(ctx, least) {
		select {
		case <-f.news:
		case <-beat.C:
		case <-ctx.Done():
			d.write(f, func(ctx context.Context) error {
				return d.config.Store.DisconnectAgent(ctx, db.DisconnectAgentParams{Name: f.name, ConnectedTo: f.stream})
			})
			return
		}
		if !d.write(f, func(ctx context.Context) error { return d.keepReport(ctx, f, &known) }) {
			signal(f.news)
		}
	}
}

// rest waits for reportEvery, or until tunnels are others than those that were written, and
// for that time at least. It returns what that is to be the next time.
func (f *follower) rest(ctx context.Context, least time.Duration) (next time.Duration) {
	pause(ctx, least)
	rested := time.NewTimer(reportEvery - least)
	defer rested.Stop()
	select {
	case <-f.moves:
		return min(2*least, reportEvery)
	case <-rested.C:
	case <-ctx.Done():
	}
	return movesEvery
}

// write runs one write under a limit of its own, and reports whether it was done: it is
// about a stream, and must not end with it.
func (d *Directory) write(f *follower, fn func(context.Context) error) (done bool) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err := fn(ctx)
	if errors.Is(err, errSuperseded) {
		f.end(err)
	} else if err != nil {
		f.log.Warn("cannot write the state of an agent; its stream goes on", "error", err)
	}
	return err == nil
}

// kept is what of the reports of a stream is written.
type kept struct {
	stream  bool     // it is the one that the agent has
	tunnels []string // to nodes, by name
}

// keepReport writes the latest report. The first one makes the stream that of the
// agent; after it, a row that says otherwise means that a later one took over. If its
// tunnels are others, replicas are woken.
func (d *Directory) keepReport(ctx context.Context, f *follower, known *kept) error {
	d.mu.Lock()
	report := f.report
	select {
	case <-f.moves: // Which is of this report, or of one before.
	default:
	}
	d.mu.Unlock()
	if report == nil {
		return nil
	}
	text, err := protojson.Marshal(report)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	next := kept{stream: true, tunnels: tunnelled(report)}
	params := db.UpdateAgentParams{
		Name: f.name, ConnectedTo: f.stream, Version: report.GetVersion(), Platform: report.GetPlatform(), Report: text, Tunnels: next.tunnels,
	}
	if !known.stream {
		err = d.move(ctx, func(tx *store.Tx) error {
			return tx.ConnectAgent(ctx, db.ConnectAgentParams{
				Name: f.name, ConnectedTo: f.stream, Version: params.Version, Platform: params.Platform, Report: text, Tunnels: next.tunnels,
			})
		})
	} else if !slices.Equal(next.tunnels, known.tunnels) {
		err = d.move(ctx, func(tx *store.Tx) error { return held(tx.UpdateAgent(ctx, params)) })
	} else {
		err = held(d.config.Store.UpdateAgent(ctx, params))
	}
	if err != nil {
		return err
	}
	if !known.stream {
		f.log.Info("agent connected", "version", report.GetVersion(), "platform", report.GetPlatform())
	}
	*known = next
	return nil
}

// held is the error of an update that affects no row where another stream took over.
func held(rows int64, err error) error {
	if err == nil && rows == 0 {
		return errSuperseded
	}
	return err
}

// tunnelled returns the nodes that a report names, by name, each once.
func tunnelled(r *enrollv1.AgentReport) []string {
	nodes := make([]string, 0, len(r.GetTunnels()))
	for _, t := range r.GetTunnels() {
		nodes = append(nodes, t.GetNode())
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// tidy makes a report fit for a row: cut, and without control characters.
func tidy(r *enrollv1.AgentReport) {
	r.Version, r.Platform = clean(r.GetVersion()), clean(r.GetPlatform())
	r.Servers = r.GetServers()[:min(len(r.GetServers()), maxReported)]
	for _, s := range r.GetServers() {
		s.Name, s.What, s.LastError, s.LastLine = clean(s.GetName()), clean(s.GetWhat()), clean(s.GetLastError()), clean(s.GetLastLine())
		if s.GetStartedAt() != nil && s.GetStartedAt().CheckValid() != nil {
			s.StartedAt = nil
		}
	}
	r.Tunnels = r.GetTunnels()[:min(len(r.GetTunnels()), maxTunnels)]
	for _, t := range r.GetTunnels() {
		t.Node = clean(t.GetNode())
		if t.GetRoundTrip() != nil && t.GetRoundTrip().CheckValid() != nil {
			t.RoundTrip = nil
		}
	}
}

func clean(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxText)], "\uFFFD")
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
}
