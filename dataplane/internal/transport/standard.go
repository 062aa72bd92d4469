package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// writeBuffer holds most requests whole, in bytes, so that they leave in one packet.
const writeBuffer = 18 << 10

// standard is net/http behind the API of this package.
type standard struct {
	url  *url.URL
	host string
	http *http.Transport
}

func newStandard(config *Config, d *dialer) *standard {
	target := *config.URL
	target.User, target.Fragment = nil, ""
	return &standard{url: &target, host: config.Host, http: &http.Transport{
		Proxy:                  config.Proxy,
		DialContext:            d.dial,
		TLSClientConfig:        &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    config.DialTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    config.IdleConnections,
		IdleConnTimeout:        config.IdleTime,
		MaxResponseHeaderBytes: maxHead,
		WriteBufferSize:        writeBuffer,
	}}
}

// do is Transport.Do for a request that was checked.
func (s *standard) do(ctx context.Context, r *Request) (*Response, error) {
	var sent atomic.Bool
	request, err := s.request(ctx, r, &sent)
	if err != nil {
		return nil, &Error{Err: err}
	}
	response, err := s.http.RoundTrip(request)
	if err != nil {
		return nil, &Error{Sent: sent.Load(), Err: causeOf(ctx, err)}
	}
	x := &standardExchange{ctx: ctx, response: response}
	return &Response{Status: response.StatusCode, ContentLength: response.ContentLength, Body: x, exchange: x}, nil
}

// request returns the same request for net/http, which is handed over with a note of whether any of it was written.
func (s *standard) request(ctx context.Context, r *Request, sent *atomic.Bool) (*http.Request, error) {
	target := s.url
	if r.Path != "" {
		path, err := url.ParseRequestURI(r.Path)
		if err != nil {
			return nil, invalid("the path cannot be parsed")
		}
		path.Scheme, path.Host = s.url.Scheme, s.url.Host
		target = path
	}
	note := &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { sent.Store(true) }}
	request := (&http.Request{
		Method: r.Method, URL: target, Host: s.host, Header: header(r),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(httptrace.WithClientTrace(ctx, note))
	if len(r.Body) > 0 {
		// net/http may read a body after RoundTrip has returned.
		body := bytes.Clone(r.Body)
		// It asks for the body again only where nothing of the request was written, or a server that speaks HTTP/2 said
		// that it did not look at it.
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = int64(len(body))
	}
	return request, nil
}

// header returns the fields of a request. A nil value of User-Agent keeps net/http from sending its own.
func header(r *Request) http.Header {
	h := make(http.Header, 8+len(r.Header))
	h["User-Agent"] = nil
	if r.Common != nil {
		addFields(h, r.Common.fields)
	}
	addFields(h, r.Header)
	return h
}

func addFields(h http.Header, fields []Field) {
	for i := range fields {
		h.Add(fields[i].Name, fields[i].Value)
	}
}

func (s *standard) closeIdle() { s.http.CloseIdleConnections() }

type standardExchange struct {
	ctx      context.Context
	response *http.Response
	closed   bool
}

func (x *standardExchange) Read(p []byte) (int, error) {
	if x.closed {
		return 0, &Error{Sent: true, Err: ErrClosed}
	}
	n, err := x.response.Body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &Error{Sent: true, Err: causeOf(x.ctx, err)}
	}
	return n, err
}

func (x *standardExchange) Close() error {
	x.closed = true
	x.response.Body.Close()
	return nil
}

// Header implements Exchange.
func (x *standardExchange) Header(name string) string { return x.response.Header.Get(name) }

// Finish does not wait: where HTTP/2 is spoken, closing costs one stream and no connection.
func (x *standardExchange) Finish() { x.Close() }
