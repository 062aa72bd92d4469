package tunnel

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// scripted is the other end of a tunnel, played by a test frame by frame.
type scripted struct {
	t    *testing.T
	pipe *pipe
}

// against starts an end, says hello to it, and takes its hello and its first ping.
func against(t *testing.T, c Config) (*end, *scripted) {
	t.Helper()
	one, two := newPipe(0)
	e, p := start(t, one, c), &scripted{t, two}
	if got := p.receive(); len(got) != 1 || got[0].GetHello() == nil {
		t.Fatalf("an end begins with %v", got)
	}
	p.send(&tunnelv1.Frame{Kind: &tunnelv1.Frame_Hello{Hello: greeting()}})
	if got := p.receive(); len(got) != 1 || got[0].GetPing() == 0 {
		t.Fatalf("an end that was greeted sends %v", got)
	}
	return e, p
}

func greeting() *tunnelv1.Hello {
	return &tunnelv1.Hello{MinRevision: 1, MaxRevision: 1, MaxFrames: 64 << 10, MaxStreams: 10, StreamCredit: 1 << 10, TunnelCredit: 8 << 10}
}

func (p *scripted) send(frames ...*tunnelv1.Frame) {
	p.t.Helper()
	if err := p.pipe.Send(&tunnelv1.Frames{Frames: frames}); err != nil && !errors.Is(err, errCut) {
		p.t.Fatal(err)
	}
}

func (p *scripted) receive() []*tunnelv1.Frame {
	p.t.Helper()
	f, err := p.pipe.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	return f.GetFrames()
}

func (p *scripted) expect(want ...*tunnelv1.Frame) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.receive(), protocmp.Transform()); diff != "" {
		p.t.Fatalf("frames (-want +got):\n%s", diff)
	}
}

// The frames of scripts.

func open(stream uint64, o *tunnelv1.Open) *tunnelv1.Frame {
	return &tunnelv1.Frame{Stream: stream, Kind: &tunnelv1.Frame_Open{Open: o}}
}

func head(stream uint64, h *tunnelv1.Head) *tunnelv1.Frame {
	return &tunnelv1.Frame{Stream: stream, Kind: &tunnelv1.Frame_Head{Head: h}}
}

func data(stream uint64, bytes string, end bool) *tunnelv1.Frame {
	return &tunnelv1.Frame{Stream: stream, Kind: &tunnelv1.Frame_Data{Data: &tunnelv1.Data{Bytes: []byte(bytes), End: end}}}
}

func reset(stream uint64, code tunnelv1.ResetCode, reason string) *tunnelv1.Frame {
	return &tunnelv1.Frame{Stream: stream, Kind: &tunnelv1.Frame_Reset_{Reset_: &tunnelv1.Reset{Code: code, Reason: reason}}}
}

func creditOf(stream, n uint64) *tunnelv1.Frame {
	return &tunnelv1.Frame{Stream: stream, Kind: &tunnelv1.Frame_Credit{Credit: n}}
}

func post1(body string) *tunnelv1.Open {
	return &tunnelv1.Open{Server: "s", Method: "POST", Body: []byte(body), End: true}
}

const (
	cancelled = tunnelv1.ResetCode_RESET_CODE_CANCELLED
	refused   = tunnelv1.ResetCode_RESET_CODE_REFUSED
	failed    = tunnelv1.ResetCode_RESET_CODE_FAILED
)

// TestAPeerThatBreaksARuleLosesTheTunnel plays each rule's breach to an end that has one stream of its own open, number 1, of which the
// head came, and serves another, number 1, whose handler waits.
func TestAPeerThatBreaksARuleLosesTheTunnel(t *testing.T) {
	manyFields := make([]*tunnelv1.Field, maxFields+1)
	for i := range manyFields {
		manyFields[i] = &tunnelv1.Field{Name: "a"}
	}
	manyServers := make([]*tunnelv1.ServerState, maxServers+1)
	for i := range manyServers {
		manyServers[i] = &tunnelv1.ServerState{Name: "a"}
	}
	large := &tunnelv1.Field{Name: "a", Value: strings.Repeat("x", maxHead)}
	get := func(o *tunnelv1.Open) *tunnelv1.Open { o.Method = "GET"; return o }
	for name, test := range map[string]struct {
		frames []*tunnelv1.Frame
		rule   string
	}{
		"a second hello":              {[]*tunnelv1.Frame{{Kind: &tunnelv1.Frame_Hello{Hello: greeting()}}}, "hello first, and once"},
		"hello on a stream":           {[]*tunnelv1.Frame{{Stream: 2, Kind: &tunnelv1.Frame_Hello{Hello: greeting()}}}, "hello first"},
		"a frame of no kind":          {[]*tunnelv1.Frame{{Stream: 2}}, "of a kind"},
		"open on the tunnel":          {[]*tunnelv1.Frame{open(0, post1(""))}, "of a stream, or of the tunnel"},
		"a number twice":              {[]*tunnelv1.Frame{open(2, post1(""))}, "without gaps"},
		"a number left out":           {[]*tunnelv1.Frame{open(6, post1(""))}, "without gaps"},
		"a number of the other end":   {[]*tunnelv1.Frame{open(5, post1(""))}, "without gaps"},
		"too many streams":            {[]*tunnelv1.Frame{open(4, post1("")), open(6, post1(""))}, "no more streams"},
		"another method":              {[]*tunnelv1.Frame{open(4, &tunnelv1.Open{Method: "CONNECT"})}, "a method is"},
		"no method":                   {[]*tunnelv1.Frame{open(4, &tunnelv1.Open{Server: "s"})}, "a method is"},
		"too many fields":             {[]*tunnelv1.Frame{open(4, get(&tunnelv1.Open{Header: manyFields}))}, "no more fields"},
		"a large head":                {[]*tunnelv1.Frame{open(4, get(&tunnelv1.Open{Header: []*tunnelv1.Field{large}}))}, "64 KiB"},
		"a long caller":               {[]*tunnelv1.Frame{open(4, get(&tunnelv1.Open{Caller: make([]byte, maxCaller+1)}))}, "a caller is named"},
		"data of no stream":           {[]*tunnelv1.Frame{data(4, "x", false)}, "opened before"},
		"data of no stream here":      {[]*tunnelv1.Frame{data(5, "x", false)}, "opened before"},
		"data of stream nought":       {[]*tunnelv1.Frame{data(1, "x", false)}, "opened before"},
		"a head by who asks":          {[]*tunnelv1.Frame{head(2, &tunnelv1.Head{Status: 200})}, "from who serves"},
		"a second head":               {[]*tunnelv1.Frame{head(3, &tunnelv1.Head{Status: 200})}, "one head"},
		"more after the end":          {[]*tunnelv1.Frame{data(2, "x", true), data(2, "x", false)}, "follows the end"},
		"more than the stream's":      {[]*tunnelv1.Frame{data(3, strings.Repeat("x", 1001), false)}, "stream has credit"},
		"more than the tunnel's":      {[]*tunnelv1.Frame{data(3, strings.Repeat("x", 1000), false), open(4, post1(strings.Repeat("x", 1000))), data(2, "x", false)}, "tunnel has credit"},
		"an open of more than its":    {[]*tunnelv1.Frame{open(4, post1(strings.Repeat("x", 1001)))}, "stream has credit"},
		"an open of more than all":    {[]*tunnelv1.Frame{data(3, strings.Repeat("x", 1000), false), data(2, strings.Repeat("x", 900), false), open(4, post1(strings.Repeat("x", 200)))}, "tunnel has credit"},
		"no credit":                   {[]*tunnelv1.Frame{creditOf(3, 0)}, "credit is from"},
		"much credit":                 {[]*tunnelv1.Frame{creditOf(3, maxCredit)}, "credit is from"},
		"much credit of the tunnel":   {[]*tunnelv1.Frame{creditOf(0, maxCredit)}, "credit is from"},
		"a pong that nobody asked":    {[]*tunnelv1.Frame{{Kind: &tunnelv1.Frame_Pong{Pong: 99}}}, "a pong"},
		"too many servers":            {[]*tunnelv1.Frame{{Kind: &tunnelv1.Frame_Servers{Servers: &tunnelv1.Servers{Servers: manyServers}}}}, "1,000 servers"},
		"more than fits into Frames":  {[]*tunnelv1.Frame{{Kind: &tunnelv1.Frame_Drain{}}, open(4, get(&tunnelv1.Open{Body: make([]byte, 300<<10)}))}, "no larger"},
		"a ping on a stream":          {[]*tunnelv1.Frame{{Stream: 3, Kind: &tunnelv1.Frame_Ping{Ping: 1}}}, "of a stream, or of the tunnel"},
		"a drain on a stream":         {[]*tunnelv1.Frame{{Stream: 2, Kind: &tunnelv1.Frame_Drain{}}}, "of a stream, or of the tunnel"},
		"a reset of the tunnel":       {[]*tunnelv1.Frame{reset(0, failed, "")}, "of a stream, or of the tunnel"},
		"data of the tunnel":          {[]*tunnelv1.Frame{data(0, "", false)}, "of a stream, or of the tunnel"},
		"a head of a stream not open": {[]*tunnelv1.Frame{head(7, &tunnelv1.Head{Status: 200})}, "opened before"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, p := against(t, Config{MaxStreams: 2, StreamCredit: 1000, TunnelCredit: 2000,
					Handler: handlerFunc(func(ctx context.Context, _ *Incoming, _ Answer) { <-ctx.Done() })})
				answer := make(chan error, 1)
				go func() {
					r, err := e.Do(t.Context(), &Request{Server: "s", Method: "GET"})
					if err == nil {
						_, err = io.Copy(io.Discard, r.Body)
					}
					answer <- err
				}()
				p.expect(open(2, &tunnelv1.Open{Server: "s", Method: "GET", End: true}))
				p.send(head(3, &tunnelv1.Head{Status: 200}), open(2, &tunnelv1.Open{Server: "s", Method: "POST"}))
				synctest.Wait()
				p.send(test.frames...)
				if err := e.wait(); !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), test.rule) {
					t.Errorf("the tunnel ended with %v, want the rule %q", err, test.rule)
				}
				var failure *Error
				if err := <-answer; !errors.As(err, &failure) || !failure.Sent || !errors.Is(err, ErrRule) {
					t.Errorf("the stream ended with %v", err)
				}
				if e.Busy() != 0 {
					t.Errorf("%d streams are left", e.Busy())
				}
			})
		})
	}
}

func TestHelloComesFirstAndLeavesRoom(t *testing.T) {
	with := func(change func(*tunnelv1.Hello)) *tunnelv1.Frame {
		h := greeting()
		change(h)
		return &tunnelv1.Frame{Kind: &tunnelv1.Frame_Hello{Hello: h}}
	}
	for name, test := range map[string]struct {
		first *tunnelv1.Frame
		want  error
	}{
		"another frame":    {open(2, post1("")), ErrRule},
		"small frames":     {with(func(h *tunnelv1.Hello) { h.MaxFrames = 16<<10 - 1 }), ErrRule},
		"no streams":       {with(func(h *tunnelv1.Hello) { h.MaxStreams = 0 }), ErrRule},
		"no credit":        {with(func(h *tunnelv1.Hello) { h.StreamCredit = 0 }), ErrRule},
		"no credit in all": {with(func(h *tunnelv1.Hello) { h.TunnelCredit = 0 }), ErrRule},
		"much credit":      {with(func(h *tunnelv1.Hello) { h.TunnelCredit = maxCredit + 1 }), ErrRule},
		"only newer":       {with(func(h *tunnelv1.Hello) { h.MinRevision, h.MaxRevision = 2, 3 }), ErrRevision},
		"only older":       {with(func(h *tunnelv1.Hello) { h.MinRevision, h.MaxRevision = 0, 0 }), ErrRevision},
		"a long version":   {with(func(h *tunnelv1.Hello) { h.Version = strings.Repeat("v", maxVersion+1) }), ErrRule},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := newPipe(1)
				e, p := start(t, one, Config{}), &scripted{t, two}
				p.send(test.first)
				if err := e.wait(); !errors.Is(err, test.want) || !errors.Is(err, ErrLost) {
					t.Errorf("ended with %v, want %v", err, test.want)
				}
				_, err := e.Do(t.Context(), &Request{Method: "GET"})
				var failure *Error
				if !errors.As(err, &failure) || failure.Sent {
					t.Errorf("a call then fails with %v", err)
				}
			})
		})
	}
}

// TestAnEndThatIsNewerIsStillTalkedTo: the tunnel is of the highest revision that both speak.
func TestAnEndThatIsNewerIsStillTalkedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newPipe(0)
		e, p := start(t, one, Config{}), &scripted{t, two}
		p.receive()
		h := greeting()
		h.MaxRevision = 9
		p.send(&tunnelv1.Frame{Kind: &tunnelv1.Frame_Hello{Hello: h}})
		<-e.Ready()
	})
}
