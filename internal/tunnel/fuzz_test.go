package tunnel

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// hostile are Frames that a peer might send after its hello, well-formed and not.
func hostile(f *testing.F) (all [][]byte) {
	for _, frames := range [][]*tunnelv1.Frame{
		{open(2, post1("body")), data(2, "x", true), creditOf(3, 7), reset(2, cancelled, "gone")},
		{open(2, &tunnelv1.Open{Server: "s", Method: "GET", Caller: []byte("\xff1"), Header: []*tunnelv1.Field{{Name: "a", Value: "b"}, {}}, Timeout: 1e6}), data(2, "abc", false), data(2, "d", true)},
		{head(3, &tunnelv1.Head{Status: 200, Header: []*tunnelv1.Field{{Name: "a", Value: "b"}}, Body: []byte("x")}), data(3, "y", true), data(3, "z", true)},
		{head(3, &tunnelv1.Head{Status: 200, End: true}), reset(3, refused, "")},
		{creditOf(0, 1<<20), creditOf(3, 1<<20), {Kind: &tunnelv1.Frame_Ping{Ping: 1 << 60}}, {Kind: &tunnelv1.Frame_Pong{Pong: 1}}},
		{{Kind: &tunnelv1.Frame_Drain{Drain: &tunnelv1.Drain{}}}, {Kind: &tunnelv1.Frame_Servers{Servers: &tunnelv1.Servers{Servers: []*tunnelv1.ServerState{{Name: "a", Ready: true}}}}}},
		{{Kind: &tunnelv1.Frame_Hello{Hello: greeting()}}, {Stream: 1 << 63}},
	} {
		message, err := proto.Marshal(&tunnelv1.Frames{Frames: frames})
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, message)
	}
	return append(all, nil, []byte{10, 0}, []byte{10, 4, 8, 2, 26, 0}, []byte{10, 255, 255, 255, 255, 15}, []byte{8, 1}, []byte("\xf8\x98\x80\x9800"))
}

// FuzzFramesAreReadAsTheGeneratedCodeReadsThem: what we accept, that accepts, and reads the same.
func FuzzFramesAreReadAsTheGeneratedCodeReadsThem(f *testing.F) {
	for _, message := range hostile(f) {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var ours []*tunnelv1.Frame
		err := eachField(message, func(n protowire.Number, typ protowire.Type, _ uint64, bytes []byte) error {
			if n != 1 {
				return nil
			}
			var one frame
			if err := wrongType(typ, protowire.BytesType); err != nil {
				return err
			}
			if err := one.parse(bytes); err != nil {
				return err
			}
			frame, err := one.generated()
			ours = append(ours, frame)
			return err
		})
		if err != nil {
			return
		}
		theirs := new(tunnelv1.Frames)
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(message, theirs); err != nil {
			t.Fatalf("we read what the generated code does not: %v", err)
		}
		if diff := cmp.Diff(theirs.GetFrames(), ours, protocmp.Transform()); diff != "" {
			t.Fatalf("the generated code reads (-) something else than we (+):\n%s", diff)
		}
	})
}

// generated is a frame as the generated code has it.
func (f *frame) generated() (*tunnelv1.Frame, error) {
	g := &tunnelv1.Frame{Stream: f.stream}
	var header []*tunnelv1.Field
	for _, one := range f.fields {
		header = append(header, &tunnelv1.Field{Name: string(one.name), Value: string(one.value)})
	}
	options := proto.UnmarshalOptions{DiscardUnknown: true}
	switch f.kind {
	case kindHello:
		hello := new(tunnelv1.Hello)
		g.Kind = &tunnelv1.Frame_Hello{Hello: hello}
		return g, options.Unmarshal(f.message, hello)
	case kindServers:
		servers := new(tunnelv1.Servers)
		g.Kind = &tunnelv1.Frame_Servers{Servers: servers}
		return g, options.Unmarshal(f.message, servers)
	case kindOpen:
		g.Kind = &tunnelv1.Frame_Open{Open: &tunnelv1.Open{Server: string(f.server), Method: string(f.method), Header: header, Body: f.body, End: f.end,
			Timeout: f.timeout, Agent: string(f.agent), Errand: string(f.errand), Caller: f.caller}}
	case kindHead:
		g.Kind = &tunnelv1.Frame_Head{Head: &tunnelv1.Head{Status: uint32(f.status), Header: header, Body: f.body, End: f.end}}
	case kindData:
		g.Kind = &tunnelv1.Frame_Data{Data: &tunnelv1.Data{Bytes: f.body, End: f.end}}
	case kindReset:
		g.Kind = &tunnelv1.Frame_Reset_{Reset_: &tunnelv1.Reset{Code: tunnelv1.ResetCode(f.code), Reason: string(f.reason)}}
	case kindCredit:
		g.Kind = &tunnelv1.Frame_Credit{Credit: f.number}
	case kindPing:
		g.Kind = &tunnelv1.Frame_Ping{Ping: f.number}
	case kindPong:
		g.Kind = &tunnelv1.Frame_Pong{Pong: f.number}
	case kindDrain:
		g.Kind = &tunnelv1.Frame_Drain{Drain: &tunnelv1.Drain{}}
	}
	return g, nil
}

// rawPipe gives an end bytes of a fuzzer, after a hello, and takes all that it sends.
type rawPipe struct {
	messages chan []byte
	cut      chan struct{}
}

func (p *rawPipe) send([]byte) error { return nil }

func (p *rawPipe) receive() ([]byte, error) {
	select {
	case m := <-p.messages:
		return m, nil
	case <-p.cut:
		return nil, io.EOF
	}
}

// FuzzAHostilePeer: whatever it sends, nothing panics, bounds hold, the call that waits gets an answer or an error, and in the end nothing
// is left: no goroutine, no stream, no byte.
func FuzzAHostilePeer(f *testing.F) {
	all := hostile(f)
	for i, message := range all {
		f.Add(message, all[(i+1)%len(all)], all[(i+2)%len(all)])
	}
	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		synctest.Test(t, func(t *testing.T) {
			p := &rawPipe{messages: make(chan []byte), cut: make(chan struct{})}
			e := New(nil, Config{MaxStreams: 3, StreamCredit: 100, TunnelCredit: 200, Handler: echo, Servers: func([]*tunnelv1.ServerState) {}})
			e.carrier = p
			ran := make(chan error, 1)
			go func() { ran <- e.Run(t.Context()) }()
			called := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := post(ctx, e, []byte("question"))
				called <- err
			}()
			greet, err := proto.Marshal(&tunnelv1.Frames{Frames: []*tunnelv1.Frame{{Kind: &tunnelv1.Frame_Hello{Hello: greeting()}}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, message := range [][]byte{greet, first, second, third} {
				select {
				case p.messages <- message:
				case <-e.done:
				}
				synctest.Wait()
				e.mu.Lock()
				if held := e.gauge.received.Load() - e.gauge.read.Load(); len(e.theirs) > 3 || held > 200 || held < 0 || e.copied > 200 || e.serving > 3 {
					t.Errorf("%d streams, %d handlers, %d bytes held, %d kept", len(e.theirs), e.serving, held, e.copied)
				}
				e.mu.Unlock()
			}
			<-called
			close(p.cut)
			if err := <-ran; err == nil {
				t.Error("the tunnel ended without a reason")
			}
			synctest.Wait()
			checkIdle(t, e)
		})
	})
}
