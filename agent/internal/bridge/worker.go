package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Peer is a connection to the server that is one worker's alone: a process (process.Process), or the event stream of a
// server of 2024-11-05. It may be used from many goroutines. The first methods are those of wire.Conn.
type Peer interface {
	Begin(ctx context.Context, body []byte, req *mcp.Request) (*wire.Call, error)
	Send(ctx context.Context, body []byte) error
	Tell(body []byte) bool
	Sole(pick func(*wire.Call) bool) *wire.Call
	Busy() int
	// Dead is closed when it has ended and its calls have failed. Err says why then: wire.ErrStopped after Stop,
	// wire.ErrOver where the server may be well. The text is redacted.
	Dead() <-chan struct{}
	Err() error
	// Stop ends it, and returns when nothing of it is left. It may be called again.
	Stop()
	Started() time.Time
	// PID is that of the process; 0: there is none.
	PID() int
	// Redact takes the server's secrets out of a text.
	Redact(text string) string
	// LastWords is what it said last besides its messages, redacted.
	LastWords() string
}

// worker is a process that serves. What is not its own is guarded by its Server.
type worker struct {
	Peer
	server *Server
	caller string // for whom it was started
	// disposable ones are for a question only: how they end says nothing.
	disposable bool
	// ready ones have completed the handshake.
	ready       bool
	initialized []byte    // of a shared one of the legacy era: the raw result of initialize
	audience    *audience // of one of the modern era
	sessions    map[*session]bool
	followed    chan struct{} // closed when the server has forgotten it
	streams     int           // calls and streams that are open
	retired     bool          // it ends, because nobody used it
	used        time.Time
}

// inUse reports whether somebody waits for the worker.
func (w *worker) inUse() bool { return w.streams > 0 }

// enter notes that somebody uses the worker, until leave. It reports false if the worker is about to end.
func (w *worker) enter() bool {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if w.retired {
		return false
	}
	w.streams++
	w.used = time.Now()
	return true
}

// retire has nobody use the worker any more, which is to be stopped. It reports false if somebody does, or it is retired.
func (w *worker) retire() bool {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if w.inUse() || w.retired {
		return false
	}
	w.retired = true
	return true
}

func (w *worker) leave() {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.streams--
	w.used = time.Now()
}

// hearer hears a process, and is told which it is, once, while the server's mu is held.
type hearer interface {
	wire.Hearer
	attach(w *worker)
}

// start starts a process for a caller. It is to be told by served that its handshake is complete, and to be stopped.
func (s *Server) start(ears hearer, caller string) (*worker, error) {
	return s.launch(&worker{server: s, caller: caller}, ears)
}

// probe starts a process for a question of our own, which is to be stopped.
func (s *Server) probe() (*worker, error) {
	return s.launch(&worker{server: s, disposable: true}, silence{})
}

// launch starts the process of a worker.
func (s *Server) launch(w *worker, ears hearer) (*worker, error) {
	if err := s.admit(w.caller); err != nil {
		return nil, err
	}
	defer s.all.Done()
	s.config.Changed()
	w.sessions, w.followed, w.used = make(map[*session]bool), make(chan struct{}), time.Now()
	var err error
	w.Peer, err = s.config.Dial(ears)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started(w.caller)
	if err != nil {
		s.config.Places.give()
		s.failed(0, err.Error())
		return nil, &startFailure{err.Error()}
	}
	ears.attach(w)
	s.workers[w], s.latest = true, w
	if s.closed {
		go w.Stop()
	}
	s.all.Go(func() { s.follow(w) })
	s.config.Log.Debug("process started", "pid", w.PID())
	return w, nil
}

// served notes that a worker has completed its handshake.
func (s *Server) served(w *worker) {
	s.mu.Lock()
	if !w.ready && s.workers[w] {
		w.ready = true
		s.away = false
	}
	s.mu.Unlock()
	s.config.Changed()
}

// follow waits for the end of a worker, and forgets it with its sessions.
func (s *Server) follow(w *worker) {
	<-w.Dead()
	err := w.Err()
	crashed := !w.disposable && !errors.Is(err, wire.ErrStopped) && !errors.Is(err, wire.ErrOver)
	s.mu.Lock()
	delete(s.workers, w)
	s.config.Places.give()
	s.sweep(w.caller)
	for session := range w.sessions {
		delete(s.sessions, session.id)
		session.box.Close()
	}
	if crashed {
		up := time.Since(w.Started())
		if !w.ready {
			up = 0
		}
		s.failed(up, err.Error())
	}
	s.mu.Unlock()
	close(w.followed)
	if crashed {
		s.config.Log.Warn("server failed", "error", err)
	}
	s.config.Changed()
	w.Stop() // What it left behind is gone then.
}

// startFailure is why a server could not be started. The text is redacted, as that of a Peer's errors is.
type startFailure struct{ text string }

func (f *startFailure) Error() string { return f.text }

// unfit ends a worker whose handshake failed, and returns why for people.
func (s *Server) unfit(w *worker, err error) error {
	noted := false
	select {
	case <-w.Dead(): // It failed of that; follow notes it of those that serve.
		err, noted = w.Err(), !w.disposable
	default:
	}
	failure := &startFailure{w.Redact(err.Error())}
	if !noted {
		s.mu.Lock()
		s.failed(0, failure.text)
		s.mu.Unlock()
	}
	w.Stop()
	return failure
}

// failed notes a failure, and sees to it that the server comes back, if nothing of it runs any more. Up is how long the
// process had served; 0: it came to no handshake. It is called with s.mu held.
//
// What one session does to its own process keeps no other session from getting one: the pace is for a server of which
// nothing runs, or which does not start.
func (s *Server) failed(up time.Duration, text string) {
	s.crashes++
	s.failure, s.failedAt = text, time.Now()
	if up == 0 || !s.anyReady() {
		s.pace.Failed(time.Now(), up)
	}
	if !s.anyReady() && !s.away && !s.closed {
		s.away = true
		s.all.Go(s.revive)
	}
}

// revive tries, at the pace of crashes, whether a process can be started again. A shared one is kept.
func (s *Server) revive() {
	for {
		timer := time.NewTimer(s.pace.Wait(time.Now()))
		select {
		case <-s.ending:
			timer.Stop()
			return
		case <-timer.C:
		}
		err := s.tryOne()
		s.mu.Lock()
		back := !s.away || s.closed
		s.mu.Unlock()
		if back {
			return
		}
		s.config.Log.Debug("server is still away", "error", err)
		if s.pace.Wait(time.Now()) == 0 { // It did not even come to a start.
			s.pace.Failed(time.Now(), 0)
		}
	}
}

// tryOne starts a process and completes a handshake with it.
func (s *Server) tryOne() error {
	era := s.known()
	if era == 0 {
		f := s.find()
		<-f.done // In bounded time.
		if f.err != nil {
			return f.err
		}
		era = f.era
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StartTime)
	defer cancel()
	switch {
	case era == mcp.Modern:
		_, err := s.modernWorker(ctx, nobody)
		return err
	case s.config.Shared:
		_, err := s.sharedWorker(ctx)
		return err
	}
	w, err := s.start(silence{}, nobody)
	if err != nil {
		return err
	}
	if _, err := s.initialize(ctx, w); err != nil {
		return s.unfit(w, err)
	}
	s.served(w)
	w.Stop()
	return nil
}

// initialize completes the handshake of the legacy era as a client that can be asked nothing, and returns the raw result.
func (s *Server) initialize(ctx context.Context, w *worker) ([]byte, error) {
	params := append([]byte(`{"protocolVersion":"`+mcp.Version20251125+`","capabilities":{},"clientInfo":`), s.clientInfo()...)
	result, err := ask(ctx, w, mcp.MethodInitialize, append(params, '}'))
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	if err := w.Send(ctx, mcp.WriteNotification(nil, mcp.MethodInitialized, nil)); err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	return result, nil
}

// clientInfo is what servers are told of us where no client stands behind the question.
func (s *Server) clientInfo() []byte {
	return append(mcp.AppendString([]byte(`{"name":"warder-agent","version":`), s.config.Version), '}')
}

// ask makes a request of our own and returns the raw result.
func ask(ctx context.Context, w *worker, method string, params []byte) ([]byte, error) {
	call, err := begin(ctx, w, method, params)
	if err != nil {
		return nil, err
	}
	defer call.Release()
	answer, err := call.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return resultOf(answer)
}

// begin makes a request of our own.
func begin(ctx context.Context, w *worker, method string, params []byte) (*wire.Call, error) {
	body := mcp.WriteRequest(nil, []byte("1"), method, params)
	var req mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
		return nil, err
	}
	return w.Begin(ctx, body, &req)
}

// resultOf returns the raw result of an answer, or the error that it is.
func resultOf(answer []byte) ([]byte, error) {
	var scan mcp.Response
	if err := mcp.ScanResponse(answer, mcp.Limits{}, &scan); err != nil {
		return nil, err
	}
	if !scan.Error.Empty() {
		return nil, &refusal{scan.ErrorCode, scan.ErrorText}
	}
	return scan.Result.Of(answer), nil
}

// refusal is a JSON-RPC error of a server.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server answered with error %d: %s", r.code, mcp.EscapeName(r.text, 200))
}

// silence hears a process that may say what it likes.
type silence struct{}

func (silence) Hear(*wire.Message) {}
func (silence) attach(*worker)     {}
