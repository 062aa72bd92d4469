package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

func TestAnExchangeOfAnySizeGoesThrough(t *testing.T) {
	for _, size := range []int{0, 1, 256, 16 << 10, 100_000, 1 << 20, 20 << 20} {
		synctest.Test(t, func(t *testing.T) {
			a, b := connect(t, Config{}, Config{Handler: echo})
			want := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
			got, err := post(t.Context(), a.Tunnel, want)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
			}
			synctest.Wait()
			checkIdle(t, a.Tunnel, b.Tunnel)
		})
	}
}

func TestAnEndThatDrainsTakesNoMoreAndFinishesWhatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish := make(chan struct{})
		a, b := connect(t, Config{Handler: echo}, Config{Handler: handlerFunc(func(_ context.Context, _ *Incoming, w Answer) {
			<-finish
			_ = w.Reply(200, nil, []byte("done"))
		})})
		before := make(chan string, 1)
		go func() {
			got, err := post(t.Context(), a.Tunnel, nil)
			if err != nil {
				t.Error(err)
			}
			before <- string(got)
		}()
		synctest.Wait()
		if a.Draining() {
			t.Error("it drains already")
		}
		b.Drain()
		<-a.PeerDrains()
		if !a.Draining() || b.Draining() {
			t.Errorf("the other drains: %v at one end, %v at the one that does", a.Draining(), b.Draining())
		}
		_, err := a.Do(t.Context(), &Request{Server: "s", Method: "GET"})
		wantError(t, err, false, ErrDraining)
		if _, err := post(t.Context(), b.Tunnel, nil); err != nil {
			t.Errorf("the end that drains cannot call: %v", err)
		}
		close(finish)
		if got := <-before; got != "done" {
			t.Errorf("what was open got %q", got)
		}
	})
}

// TestAStreamThatCrossesADrainIsRefused: it can be made elsewhere.
func TestAStreamThatCrossesADrainIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := against(t, Config{Handler: echo})
		e.Drain()
		p.expect(&tunnelv1.Frame{Kind: &tunnelv1.Frame_Drain{Drain: &tunnelv1.Drain{}}})
		p.send(open(2, post1("")))
		p.expect(reset(3, refused, "draining"))
	})
}

func TestASilentEndIsLost(t *testing.T) {
	for name, test := range map[string]struct {
		play func(*scripted)
		lost time.Duration
	}{
		"says nothing":          {func(*scripted) {}, 25 * time.Second},
		"talks and never hears": {(*scripted).babble, 35 * time.Second}, // the ping after 10 s is not answered
		"answers six times":     {func(p *scripted) { p.answer(6) }, 85 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				e, p := against(t, Config{})
				p.send(&tunnelv1.Frame{Kind: &tunnelv1.Frame_Pong{Pong: 1}})
				go test.play(p)
				err := e.wait()
				if took := time.Since(begin); !errors.Is(err, ErrSilent) || took != test.lost {
					t.Errorf("lost after %v: %v, want after %v", took, err, test.lost)
				}
			})
		})
	}
}

// babble sends something each second, until the pipe is cut.
func (p *scripted) babble() {
	for p.pipe.Send(&tunnelv1.Frames{}) == nil {
		select {
		case <-p.pipe.cut:
		case <-time.After(time.Second):
		}
	}
}

// answer answers some pings.
func (p *scripted) answer(pings int) {
	for range pings {
		for _, f := range p.receive() {
			p.send(&tunnelv1.Frame{Kind: &tunnelv1.Frame_Pong{Pong: f.GetPing()}})
		}
	}
}

func TestIdleEndsStayConnectedAndKnowTheirRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newPipe(0)
		one.delay, two.delay = 20*time.Millisecond, 30*time.Millisecond
		a, b := start(t, one, Config{}), start(t, two, Config{})
		if a.RoundTrip() != 0 {
			t.Errorf("a round trip of %v before the first", a.RoundTrip())
		}
		time.Sleep(time.Hour)
		select {
		case <-a.done:
			t.Errorf("lost: %v", a.cause)
		case <-b.done:
			t.Errorf("lost: %v", b.cause)
		default:
		}
		for _, e := range []*end{a, b} {
			// Both ping at the same time, so that a pong waits while a ping is received.
			if got := e.RoundTrip(); got < 50*time.Millisecond || got > 61*time.Millisecond {
				t.Errorf("a round trip of %v, want 50 ms and a little", got)
			}
		}
	})
}

func TestThePeerIsToldOfServersAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan string, 10)
		_, b := connect(t, Config{Servers: func(s []*tunnelv1.ServerState) {
			names := []string{}
			for _, one := range s {
				names = append(names, one.GetName())
			}
			told <- strings.Join(names, " ")
		}}, Config{})
		for _, names := range []string{"a b", "", "c"} {
			var states []*tunnelv1.ServerState
			for _, name := range strings.Fields(names) {
				states = append(states, &tunnelv1.ServerState{Name: name})
			}
			if err := b.Announce(states); err != nil {
				t.Fatal(err)
			}
			if got := <-told; got != names {
				t.Errorf("told of %q, want %q", got, names)
			}
		}
		if err := b.Announce(make([]*tunnelv1.ServerState, maxServers+1)); !errors.Is(err, ErrInvalid) {
			t.Errorf("too many servers: %v", err)
		}
	})
}

func TestARoundTripperIsAClientOfOneServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := connect(t, Config{}, Config{Handler: handlerFunc(func(_ context.Context, r *Incoming, w Answer) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if r.Server != "files" || r.Method != "POST" || string(body) != "question" {
				t.Errorf("%s of %s: %q", r.Method, r.Server, body)
			}
			_ = w.Reply(202, append(r.Header, Field{"x-twice", "1"}, Field{"X-Twice", "2"}), []byte("answer"))
		})})
		client := &http.Client{Transport: RoundTripper(a.Tunnel, "files")}
		request, err := http.NewRequestWithContext(t.Context(), "POST", "http://anything/mcp", strings.NewReader("question"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Mcp-Session-Id", "7")
		request.Header.Set("Connection", "close")
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "answer" || r.StatusCode != 202 || r.ContentLength != 6 {
			t.Errorf("%d, %d bytes: %q, %v", r.StatusCode, r.ContentLength, body, err)
		}
		if got := r.Header.Values("X-Twice"); len(got) != 2 || r.Header.Get("Mcp-Session-Id") != "7" || r.Header.Get("Connection") != "" {
			t.Errorf("header %v", r.Header)
		}
	})
}
