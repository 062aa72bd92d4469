package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// secure starts a server with TLS.
func secure(t *testing.T, h2 bool, handler http.HandlerFunc) (*httptest.Server, *url.URL) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = h2
	server.StartTLS()
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	return server, address
}

func TestHTTPSSpeaksHTTP2WhereTheServerDoes(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		server, address := secure(t, h2, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Header.Get("Mcp-Method") != "x" || r.Header.Get("User-Agent") != "" || r.Header.Get("Accept-Encoding") != "" {
				t.Errorf("%v, %v", err, r.Header)
			}
			w.Header().Set("X-Proto", r.Proto)
			w.Write(body)
		})
		tr := newTransport(t, Config{URL: address, Private: true, RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
		body := []byte("hello")
		response, err := tr.Do(t.Context(), &Request{Method: "POST", Header: []Field{{"Mcp-Method", "x"}}, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		copy(body, "XXXXX") // ours again
		got, err := io.ReadAll(response.Body)
		want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
		if err != nil || string(got) != "hello" || response.Header("x-proto") != want || response.Status != 200 {
			t.Errorf("%d %q over %s, not %s: %v", response.Status, got, response.Header("X-Proto"), want, err)
		}
		response.Finish()
	}
}

func TestAnHTTPSCallEndsWithItsContext(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(t.Context())
		server, address := secure(t, h2, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			cancel(errEnough)
			<-r.Context().Done()
		})
		tr := newTransport(t, Config{URL: address, Private: true, RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
		response, err := tr.Do(ctx, &Request{Method: "POST", Body: []byte("{}")})
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if !errors.Is(err, errEnough) || !wantError(t, err).Sent {
			t.Errorf("the error is %v", err)
		}
	}
}

// TestAFailureBeforeTheRequestSaysThatNothingWasSent, and the causes are those of net and tls.
func TestAFailureBeforeTheRequestSaysThatNothingWasSent(t *testing.T) {
	server, address := secure(t, true, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	server.Config.ErrorLog = nil
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refused := &url.URL{Scheme: "http", Host: closed.Addr().String()}
	secureRefused := &url.URL{Scheme: "https", Host: closed.Addr().String()}
	unknown := &url.URL{Scheme: "http", Host: "no-such-host.invalid"}
	isDial := func(err error) bool { op, ok := errors.AsType[*net.OpError](err); return ok && op.Op == "dial" }
	isDNS := func(err error) bool { _, ok := errors.AsType[*net.DNSError](err); return ok }
	isTLS := func(err error) bool { _, ok := errors.AsType[*tls.CertificateVerificationError](err); return ok }
	isGuard := func(err error) bool { return errors.Is(err, ErrForbiddenAddress) }
	tests := map[string]struct {
		config Config
		is     func(error) bool
	}{
		"refused":                           {Config{URL: refused, Private: true}, isDial},
		"refused, https":                    {Config{URL: secureRefused, Private: true}, isDial},
		"unknown host":                      {Config{URL: unknown, Private: true}, isDNS},
		"unknown authority":                 {Config{URL: address, Private: true}, isTLS},
		"address that is not public":        {Config{URL: refused}, isGuard},
		"address that is not public, https": {Config{URL: address}, isGuard},
		"name of such an address":           {Config{URL: &url.URL{Scheme: "http", Host: "localhost:1"}}, isGuard},
		"metadata of a cloud":               {Config{URL: &url.URL{Scheme: "http", Host: "169.254.169.254"}}, isGuard},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newTransport(t, test.config).Do(t.Context(), &Request{Method: "POST", Body: []byte("{}")})
			if err == nil || !test.is(err) || wantError(t, err).Sent {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestDiallingIsBounded(t *testing.T) {
	tr := newTransport(t, Config{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:9"}, Private: true, DialTimeout: time.Nanosecond})
	_, err := tr.Do(t.Context(), &Request{Method: "POST"})
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "dial" || !op.Timeout() || wantError(t, err).Sent {
		t.Errorf("the error is %v", err)
	}
}

// TestAProxyIsUsed has one that answers in place of the server, and one that connects.
func TestAProxyIsUsed(t *testing.T) {
	server, address := secure(t, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "server") })
	var tunnels atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			io.WriteString(w, "proxy for "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
			return
		}
		tunnels.Add(1)
		tunnel(t, w, r.Host)
	}))
	defer proxy.Close()
	via, err := url.Parse(strings.Replace(proxy.URL, "://", "://u:p@", 1))
	if err != nil {
		t.Fatal(err)
	}
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for target, want := range map[string]string{
		"http://server.test/mcp?a=b": "proxy for http://server.test/mcp?a=b Basic dTpw",
		address.String():             "server",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		tr := newTransport(t, Config{URL: u, Private: true, RootCAs: roots, Proxy: http.ProxyURL(via)})
		if got, err := call(t, tr); err != nil || got.Body != want {
			t.Errorf("%s: %v, %v", target, got, err)
		}
	}
	if tunnels.Load() != 1 {
		t.Errorf("%d tunnels", tunnels.Load())
	}
}

// tunnel joins a client with a server.
func tunnel(t *testing.T, w http.ResponseWriter, host string) {
	out, err := net.Dial("tcp", host)
	if err != nil {
		t.Error(err)
		return
	}
	defer out.Close()
	// The connection is taken over before the client is told to go on: what it
	// says then is for the server, and nobody else may have read of it.
	in, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer in.Close()
	if _, err := io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		t.Error(err)
		return
	}
	go func() {
		io.Copy(out, buffered)
		out.Close()
	}()
	io.Copy(in, out)
}
