package e2e_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// stream is an event stream, as a raw client hears it.
type stream struct {
	messages chan string // data of events; closed with the stream
	close    func()
}

// openStream makes a request that is answered by a stream. A session that is empty
// is left out; header pairs are added.
func openStream(t *testing.T, method, url, key, session, body string, header ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer "+key)
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%s %s is answered %s of %s", method, url, response.Status, response.Header.Get("Content-Type"))
	}
	s := &stream{messages: make(chan string, 1024), close: cancel}
	go func() {
		defer close(s.messages)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok && strings.TrimSpace(data) != "" {
				s.messages <- strings.TrimSpace(data)
			}
		}
	}()
	return s
}

// next returns the next message.
func (s *stream) next(t *testing.T) string {
	t.Helper()
	select {
	case message, ok := <-s.messages:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return message
	case <-time.After(within):
		t.Fatal("nothing comes on the stream")
	}
	return ""
}

// heard returns the messages that have come.
func (s *stream) heard() (all []string) {
	for {
		select {
		case message, ok := <-s.messages:
			if !ok {
				return all
			}
			all = append(all, message)
		default:
			return all
		}
	}
}
