package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/internal/budget"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// waiting is a handler that waits for the end of its stream, and says why that came.
func waiting(ended chan<- error) Handler {
	return handlerFunc(func(ctx context.Context, _ *Incoming, _ Answer) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
	})
}

// wantError checks an error of a call.
func wantError(t *testing.T, err error, sent bool, cause error) {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) || failure.Sent != sent || !errors.Is(err, cause) {
		t.Errorf("a call failed with %v (%+v), want sent %v and %q", err, failure, sent, cause)
	}
}

func TestACallWhoseContextEndsIsResetAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		a, b := connect(t, Config{}, Config{Handler: waiting(ended)})
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		time.AfterFunc(time.Second, cancel)
		_, err := a.Do(ctx, &Request{Server: "s", Method: "POST"})
		wantError(t, err, true, context.Canceled)
		if err := <-ended; !errors.Is(err, ErrCancelled) {
			t.Errorf("the handler's context ended with %v", err)
		}
		synctest.Wait()
		if took := time.Since(begin); took != time.Second || a.Busy() != 0 || b.Busy() != 0 {
			t.Errorf("after %v, with %d and %d streams left", took, a.Busy(), b.Busy())
		}
	})
}

// TestAnAnswerWhoseCallEndsIsResetAtOnce: also if nobody is reading it just then, or ever closes it.
func TestAnAnswerWhoseCallEndsIsResetAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		a, b := connect(t, Config{}, Config{Handler: handlerFunc(func(ctx context.Context, _ *Incoming, w Answer) {
			if err := w.Head(200, nil); err != nil {
				t.Error(err)
			}
			_, err := w.Write(make([]byte, 1<<20)) // waits for credit
			ended <- err
		})})
		ctx, cancel := context.WithCancel(t.Context())
		r, err := a.Do(ctx, &Request{Server: "s", Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, ErrCancelled) {
			t.Errorf("the handler's Write returned %v", err)
		}
		synctest.Wait()
		if a.Busy() != 0 || b.Busy() != 0 {
			t.Errorf("%d and %d streams are left", a.Busy(), b.Busy())
		}
		_, err = r.Body.Read(make([]byte, 1))
		wantError(t, err, true, context.Canceled)
		r.Body.Close()
		_, err = r.Body.Read(make([]byte, 1))
		wantError(t, err, true, ErrClosed)
	})
}

func TestTheDeadlineGoesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan time.Duration, 1)
		a, _ := connect(t, Config{}, Config{Handler: handlerFunc(func(ctx context.Context, _ *Incoming, w Answer) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			<-ctx.Done()
		})})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := a.Do(ctx, &Request{Server: "s", Method: "POST"})
		wantError(t, err, true, context.DeadlineExceeded)
		if got := <-left; got != 3*time.Second {
			t.Errorf("the handler has %v left", got)
		}
	})
}

func TestALostTunnelFailsAllCallsAtOnceAndSaysWhichWereSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := against(t, Config{})
		calls := make(chan error, 2)
		call := func(server string) {
			_, err := e.Do(t.Context(), &Request{Server: server, Method: "GET"})
			calls <- err
		}
		go call("sent")
		p.expect(open(2, &tunnelv1.Open{Server: "sent", Method: "GET", End: true}))
		go call("stuck") // the writer waits in Send
		synctest.Wait()
		go func() { p.pipe.close() }()
		begin := time.Now()
		// What was given to Send may have arrived, and counts as sent.
		for range 2 {
			wantError(t, <-calls, true, ErrLost)
		}
		if time.Since(begin) != 0 {
			t.Error("they did not fail at once")
		}
		_, err := e.Do(t.Context(), &Request{Server: "late", Method: "GET"})
		wantError(t, err, false, ErrLost)
	})
}

// TestACallThatWaitsForItsTurnWasNotSent: while the connection is stuck, what was not given to it can be made elsewhere.
func TestACallThatWaitsForItsTurnWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := against(t, Config{})
		first, second := make(chan error, 1), make(chan error, 1)
		call := func(ctx context.Context, result chan error) {
			_, err := e.Do(ctx, &Request{Server: "s", Method: "GET"})
			result <- err
		}
		go call(t.Context(), first)
		synctest.Wait() // now the writer waits in Send
		go call(t.Context(), second)
		ctx, cancel := context.WithCancel(t.Context())
		third := make(chan error, 1)
		go call(ctx, third)
		synctest.Wait()
		cancel()
		wantError(t, <-third, false, context.Canceled)
		p.pipe.close()
		wantError(t, <-first, true, ErrLost)
		wantError(t, <-second, false, ErrLost)
	})
}

func TestResetsSayWhetherTheServerMayHaveGotTheRequest(t *testing.T) {
	for _, test := range []struct {
		code tunnelv1.ResetCode
		sent bool
		want error
	}{
		{refused, false, ErrRefused}, {failed, true, ErrFailed}, {cancelled, true, ErrCancelled}, {99, true, ErrFailed}, {0, true, ErrFailed},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, p := against(t, Config{})
			go func() {
				p.receive()
				p.send(reset(3, test.code, "because"))
			}()
			_, err := a.Do(t.Context(), &Request{Server: "s", Method: "POST"})
			wantError(t, err, test.sent, test.want)
		})
	}
}

func TestHandlersEndTheirStreams(t *testing.T) {
	for name, test := range map[string]struct {
		serve handlerFunc
		sent  bool
		want  error
	}{
		"refuses":             {func(_ context.Context, _ *Incoming, w Answer) { w.Reset(refused, "not mine") }, false, ErrRefused},
		"gives up":            {func(_ context.Context, _ *Incoming, w Answer) { w.Reset(failed, "") }, true, ErrFailed},
		"returns":             {func(context.Context, *Incoming, Answer) {}, true, ErrFailed},
		"panics":              {func(context.Context, *Incoming, Answer) { panic("oops") }, true, ErrFailed},
		"gives up later":      {func(_ context.Context, _ *Incoming, w Answer) { _ = w.Head(200, nil); w.Reset(failed, "") }, true, ErrFailed},
		"panics later":        {func(_ context.Context, _ *Incoming, w Answer) { _ = w.Reply(200, nil, []byte("a")); panic("oops") }, true, ErrFailed},
		"writes without head": {func(_ context.Context, _ *Incoming, w Answer) { _, _ = w.Write(nil) }, true, ErrFailed},
		"sends a bad head":    {func(_ context.Context, _ *Incoming, w Answer) { _ = w.Head(200, []Field{{"a", "\xff"}}) }, true, ErrFailed},
		"sends a large head":  {func(_ context.Context, _ *Incoming, w Answer) { _ = w.Head(200, make([]Field, 300)) }, true, ErrFailed},
		"sends a bad status":  {func(_ context.Context, _ *Incoming, w Answer) { _ = w.Head(100, nil) }, true, ErrFailed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := connect(t, Config{}, Config{Handler: test.serve})
				_, err := post(t.Context(), a.Tunnel, []byte("x"))
				wantError(t, err, test.sent, test.want)
				synctest.Wait()
				if a.Busy() != 0 || b.Busy() != 0 {
					t.Errorf("%d and %d streams are left", a.Busy(), b.Busy())
				}
				if _, err := post(t.Context(), b.Tunnel, nil); !errors.Is(err, ErrRefused) {
					t.Errorf("an end without a handler answers %v", err)
				}
			})
		})
	}
}

func TestACallerIsToldAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan []byte, 1)
		a, _ := connect(t, Config{}, Config{Handler: handlerFunc(func(_ context.Context, r *Incoming, w Answer) {
			told <- bytes.Clone(r.Caller)
			_ = w.Head(204, nil)
		})})
		for _, caller := range [][]byte{nil, {0xff}, bytes.Repeat([]byte{0, 0xff}, maxCaller/2)} {
			response, err := a.Do(t.Context(), &Request{Server: "s", Method: "GET", Caller: caller})
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if got := <-told; !bytes.Equal(got, caller) {
				t.Errorf("%x came as %x", caller, got)
			}
		}
	})
}

func TestWhatCannotBeSentIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := connect(t, Config{}, Config{Handler: echo})
		for name, r := range map[string]*Request{
			"method":     {Server: "s", Method: "PATCH"},
			"no method":  {Server: "s"},
			"text":       {Server: "s", Method: "GET", Header: []Field{{"a", "\xc3\x28"}}},
			"slug":       {Server: "\xff", Method: "GET"},
			"large":      {Server: "s", Method: "GET", Header: []Field{{"a", strings.Repeat("x", maxHead)}}},
			"many":       {Server: "s", Method: "GET", Header: make([]Field, maxFields+1)},
			"caller":     {Server: "s", Method: "GET", Caller: make([]byte, maxCaller+1)},
			"large name": {Server: strings.Repeat("s", maxHead+1), Method: "GET"},
		} {
			_, err := a.Do(t.Context(), r)
			t.Log(name)
			wantError(t, err, false, ErrInvalid)
		}
		if got, err := post(t.Context(), a.Tunnel, []byte("x")); err != nil || string(got) != "x" {
			t.Errorf("a call afterwards: %q, %v", got, err)
		}
	})
}

func TestNoMoreStreamsAreOpenedThanTheOtherEndAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 3)
		a, _ := connect(t, Config{}, Config{MaxStreams: 2, Handler: waiting(ended)})
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go func() {
				_, err := a.Do(ctx, &Request{Server: "s", Method: "GET"})
				wantError(t, err, true, context.Canceled)
			}()
		}
		synctest.Wait()
		_, err := a.Do(ctx, &Request{Server: "s", Method: "GET"})
		wantError(t, err, false, ErrFull)
		cancel()
		synctest.Wait()
		if a.Busy() != 0 {
			t.Fatalf("%d streams are left", a.Busy())
		}
		last, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.Do(last, &Request{Server: "s", Method: "GET"})
		wantError(t, err, true, context.DeadlineExceeded)
	})
}

// TestTheEndOfAContextIsToldWhateverCameFirst: the other end may give up a call whose time is over before this end has, and the caller
// hears of his time all the same.
func TestTheEndOfAContextIsToldWhateverCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := connect(t, Config{}, Config{Handler: handlerFunc(func(context.Context, *Incoming, Answer) {})})
		for range 50 { // Both are there at once, and either may be seen.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			s, err := a.open(ctx, &Request{Server: "s", Method: "GET"})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // It has failed.
			<-ctx.Done()
			_, err = s.await(ctx)
			wantError(t, err, true, context.DeadlineExceeded)
			wantError(t, err, true, ErrFailed)
			cancel()
		}
	})
}

// TestHandlersThatLingerAreCounted: those that have not returned are no more than MaxStreams, even if nobody waits for them any more.
func TestHandlersThatLingerAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		a, _ := connect(t, Config{}, Config{MaxStreams: 1, Handler: handlerFunc(func(context.Context, *Incoming, Answer) { <-leave })})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.Do(ctx, &Request{Server: "s", Method: "GET"})
		wantError(t, err, true, context.DeadlineExceeded)
		_, err = a.Do(t.Context(), &Request{Server: "s", Method: "GET"})
		wantError(t, err, false, ErrRefused)
		close(leave)
	})
}

// TestAnAnswerBeforeTheRequestIsRead: the rest of the request is not sent, and the caller's bytes are his own again.
func TestAnAnswerBeforeTheRequestIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rest := make(chan string, 1)
		a, b := connect(t, Config{}, Config{Handler: handlerFunc(func(_ context.Context, r *Incoming, w Answer) {
			if r.Server == "early" {
				_ = w.Reply(413, nil, []byte("too large"))
				return
			}
			_ = w.Head(200, nil)
			time.Sleep(time.Second)
			body, err := r.ReadAll(1 << 30)
			if err != nil {
				t.Error(err)
			}
			rest <- strings.Trim(string(body), "x")
		})})
		body := []byte(strings.Repeat("x", 1<<20))
		r, err := a.Do(t.Context(), &Request{Server: "early", Method: "POST", Body: body})
		if err != nil || r.Status != 413 {
			t.Fatal(r, err)
		}
		r.Body.Close()
		r, err = a.Do(t.Context(), &Request{Server: "late", Method: "POST", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			body[i] = 'y'
		}
		if got, err := io.ReadAll(r.Body); len(got) != 0 || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		r.Body.Close()
		if odd := <-rest; odd != "" {
			t.Errorf("the server read %d bytes that were not in the request", len(odd))
		}
		synctest.Wait()
		checkIdle(t, a.Tunnel, b.Tunnel)
	})
}

// TestBodiesAreBoundedTogetherAndGivenBackHoweverTheyEnd fills a budget with a body whose handler waits.
func TestBodiesAreBoundedTogetherAndGivenBackHoweverTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := budget.New(100)
		leave, full := make(chan struct{}), 0
		a, b := connect(t, Config{}, Config{Bodies: all, Handler: handlerFunc(func(ctx context.Context, r *Incoming, w Answer) {
			body, err := r.ReadAll(90)
			if errors.Is(err, budget.ErrFull) {
				full++
				w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "full")
				return
			}
			if err != nil {
				return
			}
			if all.Held() < len(body) {
				t.Errorf("%d bytes are read, and %d counted", len(body), all.Held())
			}
			switch r.Server {
			case "waits":
				select {
				case <-leave:
				case <-ctx.Done():
				}
			case "panics":
				panic("on purpose")
			}
			_ = w.Reply(200, nil, body)
		})})
		held := func(what string, want int) {
			t.Helper()
			if synctest.Wait(); all.Held() != want {
				t.Errorf("%s: %d bytes are held, want %d", what, all.Held(), want)
			}
		}
		do := func(ctx context.Context, server string, bytes int) error {
			r, err := a.Do(ctx, &Request{Server: server, Method: "POST", Body: make([]byte, bytes)})
			if err == nil {
				r.Body.Close()
			}
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = do(ctx, "waits", 60) }()
		held("one waits", 60)
		if err := do(t.Context(), "echo", 40); err != nil {
			t.Error(err)
		}
		held("one more was answered", 60)
		wantError(t, do(t.Context(), "echo", 41), false, ErrRefused)
		held("one more found no room", 60)
		if full != 1 {
			t.Errorf("%d found no room", full)
		}
		cancel()
		held("its caller went away", 0)
		wantError(t, do(t.Context(), "panics", 90), true, ErrFailed)
		held("its handler panicked", 0)
		wantError(t, do(t.Context(), "echo", 91), true, ErrFailed)
		held("it was too large", 0)
		go func() { _ = do(t.Context(), "waits", 60) }()
		held("one waits again", 60)
		b.stop()
		held("the tunnel was lost", 0)
	})
}

// checkIdle checks that nothing is left of any stream, and that all credit is accounted for.
func checkIdle(t *testing.T, ends ...*Tunnel) {
	t.Helper()
	for i, e := range ends {
		e.mu.Lock()
		if len(e.mine)+len(e.theirs)+int(e.calls.Load())+e.serving+e.copied+e.Busy() != 0 || e.writer.ready.first != nil || e.writer.short.first != nil {
			t.Errorf("end %d: %d and %d streams, %d calls, %d handlers, %d bytes kept, queues %v", i, len(e.mine), len(e.theirs), e.calls.Load(), e.serving,
				e.copied, e.writer.ready.first != nil || e.writer.short.first != nil)
		}
		if g := &e.gauge; g.received.Load() != g.read.Load() {
			t.Errorf("end %d holds %d bytes", i, g.received.Load()-g.read.Load())
		}
		e.mu.Unlock()
	}
}
