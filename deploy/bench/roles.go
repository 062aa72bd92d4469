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
	"path/filepath"
	"strconv"
	"strings"
	"sync"

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
		mux.Handle(heldPrefix, http.StripPrefix(heldPrefix, &heldFiles{dir: target}))
		return http.Serve(l, mux)
	}
	return fmt.Errorf("no part %q", role)
}

// heldPrefix is what the paths of files begin with that are sent from memory.
const heldPrefix = "/held/"

// heldFiles sends files from memory, as whoever makes what he sends has to: the kernel
// copies them, while it sends a file as it lies in its own memory.
type heldFiles struct {
	dir  string
	held sync.Map // of []byte, by name
}

func (h *heldFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kept, ok := h.held.Load(r.URL.Path)
	if !ok {
		data, err := os.ReadFile(filepath.Join(h.dir, filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		kept, _ = h.held.LoadOrStore(r.URL.Path, data)
	}
	data := kept.([]byte)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // A client that cannot be written to is gone.
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
