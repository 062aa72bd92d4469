package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// roleVariable names the part that a child process of this program plays;
// listenVariable where it listens, targetVariable what it forwards to.
const (
	roleVariable   = "WARDER_BENCH_ROLE"
	listenVariable = "WARDER_BENCH_LISTEN"
	targetVariable = "WARDER_BENCH_TARGET"
)

// play runs a child's part until it is killed.
func play(role string) error {
	var handler http.Handler
	switch role {
	case "echo":
		handler = http.HandlerFunc(echo)
	case "proxy":
		handler = proxy(os.Getenv(targetVariable))
	default:
		return fmt.Errorf("no part %q", role)
	}
	l, err := net.Listen("tcp", os.Getenv(listenVariable))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	mux.Handle("/", handler)
	go endWithParent()
	return http.Serve(l, mux)
}

// endWithParent ends the child when the pipe from its parent does.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// echo is an MCP server of the legacy era, without sessions, with one tool that
// answers with its argument.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result, err := echoResult(body, &request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if request.ID.Empty() {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer := mcp.WriteResult(make([]byte, 0, len(body)+256), request.ID.Of(body), result)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // The caller may be gone.
}

func echoResult(body []byte, request *mcp.Request) ([]byte, error) {
	switch request.Method {
	case "initialize":
		return []byte(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}`), nil
	case "tools/call":
		var text []byte
		err := mcp.Members(request.Arguments.Of(body), func(name string, value mcp.Span) error {
			text = value.Of(request.Arguments.Of(body))
			return nil
		})
		if err != nil || text == nil {
			return nil, errors.Join(err, errors.New("no text"))
		}
		return fmt.Appendf(nil, `{"content":[{"type":"text","text":%s}]}`, text), nil
	default:
		return []byte(`{}`), nil
	}
}

// proxy is the baseline: the standard library's proxy and nothing else, with as
// many idle connections as there are callers.
func proxy(target string) http.Handler {
	to, err := url.Parse(target)
	if err != nil {
		panic(err) // This program wrote it.
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 1024
	transport.DialContext = (&net.Dialer{}).DialContext
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		},
	}
}
