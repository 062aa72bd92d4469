package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/warder-gateway/warder/internal/httpserver"
)

// TestTheOnePortHasTheConnectionsOfANode asks for the connection that a handler has, and for what else the port serves.
func TestTheOnePortHasTheConnectionsOfANode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "public_test.go") })
	mux.HandleFunc("/connection", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		name := fmt.Sprintf("%T", conn)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
	})
	server, socket := publicServer(mux, l, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- httpserver.Serve(server, socket) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	get := func(path string) string {
		response, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, response.Status, err)
		}
		return string(text)
	}
	if got := get("/connection"); got != "*listener.connection" || server.ConnContext == nil {
		t.Errorf("the connection is a %s; handlers are told of it: %v", got, server.ConnContext != nil)
	}
	if got := get("/file"); len(got) < 1000 {
		t.Errorf("a file of the dashboard's kind comes as %q", got)
	}
}
