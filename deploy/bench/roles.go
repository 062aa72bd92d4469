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
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// roleVariable names the part that a child process of this program plays;
// listenVariable where it listens, targetVariable what it forwards to: the two
// echo servers with a space in between, or the folder that it serves.
const (
	roleVariable   = "WARDER_BENCH_ROLE"
	listenVariable = "WARDER_BENCH_LISTEN"
	targetVariable = "WARDER_BENCH_TARGET"
)

// play runs a child's part until it is killed.
func play(role string) error {
	l, err := net.Listen("tcp", os.Getenv(listenVariable))
	if err != nil {
		return err
	}
	go endWithParent()
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	switch target := os.Getenv(targetVariable); role {
	case "echo":
		return serveEcho(l)
	case "standard echo":
		mux.HandleFunc("/", standardEcho)
		return http.Serve(l, mux)
	case "proxy": // in front of both
		raw, standard, _ := strings.Cut(target, " ")
		mux.Handle("/", proxy(raw))
		mux.Handle(standardPrefix+"/", proxy(standard))
		return http.Serve(l, mux)
	case "files":
		mux.Handle("/", http.FileServer(http.Dir(target)))
		return http.Serve(l, mux)
	}
	return fmt.Errorf("no part %q", role)
}

// endWithParent ends the child when the pipe from its parent does.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
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
