package tunnel

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

var errCut = errors.New("cut")

// pipe is one end of a connection in memory. Sent messages wait in a channel; cutting one end cuts both.
type pipe struct {
	in, out chan *tunnelv1.Frames
	cut     chan struct{}
	once    *sync.Once
	delay   time.Duration // of each message that this end receives
}

func newPipe(depth int) (a, b *pipe) {
	one, two := make(chan *tunnelv1.Frames, depth), make(chan *tunnelv1.Frames, depth)
	cut, once := make(chan struct{}), new(sync.Once)
	return &pipe{one, two, cut, once, 0}, &pipe{two, one, cut, once, 0}
}

func (p *pipe) close() { p.once.Do(func() { close(p.cut) }) }

func (p *pipe) Send(f *tunnelv1.Frames) error {
	select {
	case <-p.cut:
		return errCut
	default:
	}
	select {
	case p.out <- f:
		return nil
	case <-p.cut:
		return errCut
	}
}

func (p *pipe) Recv() (*tunnelv1.Frames, error) {
	select {
	case f := <-p.in:
		time.Sleep(p.delay)
		return f, nil
	case <-p.cut:
		return nil, errCut
	}
}

// end is a tunnel that runs.
type end struct {
	*Tunnel
	pipe *pipe
	stop context.CancelFunc
	err  chan error
}

func start(t *testing.T, p *pipe, c Config) *end {
	t.Helper()
	c.Close = p.close
	ctx, stop := context.WithCancel(context.Background())
	e := &end{Tunnel: New(p, c), pipe: p, stop: stop, err: make(chan error, 1)}
	go func() { e.err <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		e.wait()
	})
	return e
}

// wait waits for the end of Run and returns why it ended.
func (e *end) wait() error {
	err := <-e.err
	e.err <- err
	return err
}

// connect returns two ends, of which each has its configuration.
func connect(t *testing.T, a, b Config) (*end, *end) {
	t.Helper()
	one, two := newPipe(4)
	return start(t, one, a), start(t, two, b)
}

type handlerFunc func(ctx context.Context, r *Incoming, w Answer)

func (f handlerFunc) Serve(ctx context.Context, r *Incoming, w Answer) { f(ctx, r, w) }

// echo answers with the request's body and header.
var echo = handlerFunc(func(_ context.Context, r *Incoming, w Answer) {
	body, err := r.ReadAll(1 << 30)
	if err != nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, err.Error())
		return
	}
	_ = w.Reply(200, r.Header, body)
})

func post(ctx context.Context, t *Tunnel, body []byte) ([]byte, error) {
	r, err := t.Do(ctx, &Request{Server: "echo", Method: "POST", Body: body})
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}
