package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// inMemory is an http.RoundTripper to one server of a handler, without a tunnel between them.
type inMemory struct {
	handler tunnel.Handler
	server  string
}

var errReset = errors.New("the server ended the exchange")

// RoundTrip implements http.RoundTripper.
func (t *inMemory) RoundTrip(request *http.Request) (*http.Response, error) {
	in := &tunnel.Incoming{Server: t.server, Method: request.Method, Body: http.NoBody}
	if request.Body != nil {
		in.Body = request.Body
	}
	for name, values := range request.Header {
		for _, value := range values {
			in.Header = append(in.Header, tunnel.Field{Name: name, Value: value})
		}
	}
	ctx, cancel := context.WithCancel(request.Context())
	body, out := io.Pipe()
	a := &pipedAnswer{head: make(chan *http.Response, 1), out: out}
	go func() {
		defer cancel()
		t.handler.Serve(ctx, in, a)
		_ = in.Body.(io.Closer).Close()
		_ = out.Close() // Without effect after a reset.
		a.once(nil)
	}()
	response := <-a.head
	if response == nil {
		return nil, errReset
	}
	response.Request, response.Body = request, &cancelledBody{body, cancel}
	return response, nil
}

// cancelledBody ends the exchange when it is closed.
type cancelledBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelledBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// pipedAnswer is a tunnel.Answer that somebody reads at the same time.
type pipedAnswer struct {
	head chan *http.Response
	sent bool
	out  *io.PipeWriter
}

// once gives the head away, if that was not done. Nil: there is none.
func (a *pipedAnswer) once(response *http.Response) {
	if !a.sent {
		a.sent = true
		a.head <- response
	}
}

func (a *pipedAnswer) Head(status int, header []tunnel.Field) error {
	response := &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: -1,
	}
	for _, field := range header {
		response.Header.Add(field.Name, field.Value)
	}
	a.once(response)
	return nil
}

func (a *pipedAnswer) Write(piece []byte) (int, error) { return a.out.Write(piece) }

func (a *pipedAnswer) Reply(status int, header []tunnel.Field, body []byte) error {
	_ = a.Head(status, header) // It cannot fail.
	_, err := a.Write(body)
	return err
}

func (a *pipedAnswer) Reset(tunnelv1.ResetCode, string) { _ = a.out.CloseWithError(errReset) }
