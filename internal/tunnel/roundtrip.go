package tunnel

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxRequest bounds the body of a request of net/http, which is sent as a whole.
const maxRequest = 16 << 20

// RoundTripper is an http.RoundTripper to one server behind the other end. Host, and path and query of URLs, are not sent: the other end
// knows the server's own. Its errors, and those of bodies, have an *Error in their chain.
func RoundTripper(t *Tunnel, server string) http.RoundTripper {
	return &roundTripper{tunnel: t, server: server}
}

type roundTripper struct {
	tunnel *Tunnel
	server string
}

// RoundTrip implements http.RoundTripper.
func (r *roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := bodyOf(request)
	if err != nil {
		return nil, &Error{Err: err}
	}
	response, err := r.tunnel.Do(request.Context(), &Request{
		Server: r.server, Method: request.Method, Header: fieldsOf(request.Header), Body: body,
	})
	if err != nil {
		return nil, err
	}
	header := make(http.Header, len(response.Header))
	for _, field := range response.Header {
		header.Add(field.Name, field.Value)
	}
	return &http.Response{
		Status:     strconv.Itoa(response.Status) + " " + http.StatusText(response.Status),
		StatusCode: response.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: response.Body, ContentLength: response.ContentLength, Request: request,
	}, nil
}

// bodyOf reads the body of a request, and closes it.
func bodyOf(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	defer request.Body.Close()
	body, err := io.ReadAll(io.LimitReader(request.Body, maxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if len(body) > maxRequest {
		return nil, ErrTooLarge
	}
	return body, nil
}

// fieldsOf returns the fields of a header but for those that are about the connection.
func fieldsOf(header http.Header) []Field {
	fields := make([]Field, 0, len(header))
	for name, values := range header {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
			continue
		}
		for _, value := range values {
			fields = append(fields, Field{Name: strings.ToLower(name), Value: value})
		}
	}
	return fields
}
