package bridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

// maxVerdicts bounds what is remembered; when there are more, all are forgotten, and asked for again.
const maxVerdicts = 1024

// Verdicts remembers which commands speak which era, for as long as the agent runs. It may be used from many goroutines.
type Verdicts struct {
	mu   sync.Mutex
	eras map[[sha256.Size]byte]mcp.Era
}

// NewVerdicts returns an empty memory.
func NewVerdicts() *Verdicts { return &Verdicts{eras: make(map[[sha256.Size]byte]mcp.Era)} }

// get returns the era of a command, or 0.
func (v *Verdicts) get(digest [sha256.Size]byte) mcp.Era {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.eras[digest]
}

func (v *Verdicts) set(digest [sha256.Size]byte, era mcp.Era) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.eras) >= maxVerdicts {
		clear(v.eras)
	}
	v.eras[digest] = era
}

// finding is an attempt to find out which era a server speaks.
type finding struct {
	done chan struct{}
	era  mcp.Era // valid, as err, once done is closed
	err  error
}

// era returns which era the server speaks. To find out, it asks a process that is thrown away, which is also how it shows
// that the command works. The first start may take long, and ends with nobody's patience.
func (s *Server) era(ctx context.Context) (mcp.Era, error) {
	if era := s.known(); era != 0 {
		return era, nil
	}
	f := s.find()
	patience := time.NewTimer(s.config.WaitTime)
	defer patience.Stop()
	select {
	case <-f.done:
		return f.era, f.err
	case <-patience.C:
		return 0, errStarts
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// known returns which era the server speaks, or 0.
func (s *Server) known() mcp.Era {
	return cmp.Or(s.config.Era, s.config.Verdicts.get(s.config.Spec.Digest()))
}

// find begins to find out, if nobody does already.
func (s *Server) find() *finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finding != nil {
		return s.finding
	}
	f := &finding{done: make(chan struct{})}
	if s.closed {
		f.err = errClosed
		close(f.done)
		return f
	}
	s.finding = f
	s.all.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.FirstTime)
		defer cancel()
		if f.era, f.err = s.findOut(ctx); f.err == nil {
			s.config.Verdicts.set(s.config.Spec.Digest(), f.era)
			s.config.Log.Debug("server was asked for its era", "era", f.era.String())
		} else {
			f.err = fmt.Errorf("find out which protocol version the server speaks: %w", f.err)
		}
		s.mu.Lock()
		s.finding = nil
		s.mu.Unlock()
		close(f.done)
		s.config.Changed()
	})
	return f
}

// findOut asks for the modern era. Servers of the other one answer with an error, say nothing, or exit; the last may mean
// that nothing works at all, so a handshake has to prove that it does.
func (s *Server) findOut(ctx context.Context) (mcp.Era, error) {
	era, err := s.discover(ctx)
	if err == nil || !errors.Is(err, errExited) {
		return era, err
	}
	w, err := s.probe()
	if err != nil {
		return 0, err
	}
	if _, err := s.initialize(ctx, w); err != nil {
		return 0, s.unfit(w, err)
	}
	w.Stop()
	return mcp.Legacy, nil
}

// silenceTime is how long a server that answers a ping may be silent about discover before that counts as an answer.
const silenceTime = 2 * time.Second

var (
	errExited = errors.New("the server exits when it is asked")
	errMute   = errors.New("the server does not answer")
)

// discover asks one process. A ping behind the question shows when it is up.
func (s *Server) discover(ctx context.Context) (mcp.Era, error) {
	w, err := s.probe()
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	question, err1 := begin(ctx, w, mcp.MethodDiscover, s.modernParams())
	ping, err2 := begin(ctx, w, mcp.MethodPing, nil)
	if err1 != nil || err2 != nil {
		return 0, errExited
	}
	defer question.Release()
	defer ping.Release()
	up, patience := ping.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case <-question.Done():
			return eraOf(question)
		case <-up:
			up, patience = nil, time.After(silenceTime)
		case <-patience:
			return mcp.Legacy, nil
		case <-ctx.Done():
			return 0, s.unfit(w, errMute)
		}
	}
}

// eraOf reads the answer to discover.
func eraOf(question *wire.Call) (mcp.Era, error) {
	answer, err := question.Answer()
	if errors.Is(err, wire.ErrGarbage) || errors.Is(err, wire.ErrTooLarge) {
		return mcp.Legacy, nil
	}
	if err != nil {
		return 0, errExited
	}
	result, err := resultOf(answer)
	switch {
	case err == nil && speaksModern(result):
		return mcp.Modern, nil
	case question.ErrorCode() == mcp.CodeHeaderMismatch || question.ErrorCode() == mcp.CodeMissingCapability:
		return mcp.Modern, nil // Only a modern server can answer so.
	}
	return mcp.Legacy, nil
}

// speaksModern reports whether a result of discover names the version that we speak.
func speaksModern(result []byte) bool {
	found := false
	err := mcp.Members(result, func(name string, value mcp.Span) error {
		raw := value.Of(result)
		if name != "supportedVersions" || len(raw) == 0 || raw[0] != '[' {
			return nil
		}
		return mcp.Elements(raw, func(element mcp.Span) error {
			version, err := mcp.String(element.Of(raw))
			found = found || err == nil && mcp.EraOf(version) == mcp.Modern
			return nil
		})
	})
	return found && err == nil
}

// modernParams are those of a modern request of ours that has none of its own.
func (s *Server) modernParams() []byte {
	params := append([]byte(`{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+mcp.Version20260728+
		`","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":`), s.clientInfo()...)
	return append(params, "}}"...)
}
