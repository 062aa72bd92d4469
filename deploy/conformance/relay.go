package conformance

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Relay stands between a suite, which knows no keys, and Warder. It adds a key to each request and sends it to one of
// some nodes, chosen at random. All else passes as it is, streams unbuffered, the client's Host and Origin too.
type Relay struct {
	// URL is where it listens: on a port of its own, on loopback.
	URL string

	server *http.Server
	nodes  []*url.URL
	key    string

	mu     sync.Mutex
	random *rand.Rand
	served []int // by node
	noise  bytes.Buffer
}

// NewRelay starts a relay to the nodes at some base URLs, without path. The seed decides which request goes to which. The
// caller closes it.
func NewRelay(key string, seed uint64, nodes ...string) (*Relay, error) {
	r := &Relay{key: key, random: rand.New(rand.NewPCG(seed, 0)), served: make([]int, len(nodes))}
	for _, node := range nodes {
		u, err := url.Parse(node)
		if err != nil {
			return nil, fmt.Errorf("parse the address of a node: %w", err)
		}
		r.nodes = append(r.nodes, u)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the suite: %w", err)
	}
	r.URL = "http://" + listener.Addr().String()
	proxy := &httputil.ReverseProxy{
		Rewrite:       r.rewrite,
		FlushInterval: -1,
		ErrorLog:      log.New(r, "", log.Lmicroseconds),
		// A connection of its own for each request: one that was kept may be closed by the node as the relay uses it, and
		// the relay could not say that to the suite.
		Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
	}
	r.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: whole(proxy)}
	go r.server.Serve(listener) // It ends with Close.
	return r, nil
}

// whole reads a request's body before it is passed on. ReverseProxy does not: if the node answers before its own
// transport has seen the end of the body, closing the one breaks off the other.
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "the body was cut short", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func (r *Relay) rewrite(p *httputil.ProxyRequest) {
	host := p.In.Host
	p.SetURL(r.pick())
	p.Out.Host = host
	p.Out.Header.Set("Authorization", "Bearer "+r.key)
}

func (r *Relay) pick() *url.URL {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.random.IntN(len(r.nodes))
	r.served[i]++
	return r.nodes[i]
}

// Served returns how many requests each node got.
func (r *Relay) Served() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int(nil), r.served...)
}

// Write is for the log of what went wrong.
func (r *Relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noise.Write(p)
}

// Noise is what went wrong between the suite and the nodes. The suites break off streams when they have seen enough, so
// that some of it is to be expected.
func (r *Relay) Noise() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noise.String()
}

// Close ends the relay and what passes through it.
func (r *Relay) Close() error { return r.server.Close() }
