package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
)

// serveEcho is an MCP server of both eras with one tool, which answers with its
// argument. The path says how: /legacy/json, /legacy/sse, /modern/json or
// /modern/sse. In the legacy era it has sessions, as most servers do.
//
// It speaks just enough HTTP/1.1 by itself: it shares its core with the load,
// so that what it does not spend is left to show what the product can do.
func serveEcho(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			// The client hangs up when it has enough; there is nobody to tell.
			_ = echoConnection(conn)
		}()
	}
}

// echoRequest is what matters of an HTTP request.
type echoRequest struct {
	method, path string
	body         []byte
}

func echoConnection(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 32<<10)
	var request echoRequest
	var out []byte
	for {
		if err := request.read(in); err != nil {
			return err
		}
		var err error
		if out, err = request.answer(out[:0]); err != nil {
			return err
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

func (r *echoRequest) read(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	r.method, r.path = string(method), string(path)
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if cap(r.body) < length {
		r.body = make([]byte, length)
	}
	r.body = r.body[:length]
	_, err = io.ReadFull(in, r.body)
	return err
}

func (r *echoRequest) answer(out []byte) ([]byte, error) {
	switch {
	case r.method == "GET" && r.path == "/metrics": // whoever waits for the server to be there
		return append(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"...), nil
	case r.method == "GET": // the stream of a session, on which nothing is ever said
		return append(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"...), nil
	case r.method != "POST":
		return append(out, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"...), nil
	}
	reply, err := r.reply()
	switch {
	case err != nil:
		return nil, err
	case reply.message == nil:
		return append(out, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"...), nil
	}
	out = append(out, "HTTP/1.1 200 OK\r\n"...)
	if reply.session != "" {
		out = append(out, "Mcp-Session-Id: "+reply.session+"\r\n"...)
	}
	if !reply.event {
		out = fmt.Appendf(out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(reply.message))
		return append(out, reply.message...), nil
	}
	out = fmt.Appendf(out, "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s",
		len(eventBegin)+len(reply.message)+len(eventEnd), eventBegin)
	return append(append(out, reply.message...), eventEnd+"\r\n0\r\n\r\n"...), nil
}

// What is around a message that is sent as an event.
const eventBegin, eventEnd = "event: message\ndata: ", "\n\n"

// echoReply is what a POST is answered with.
type echoReply struct {
	message []byte // nil: the request was none that is answered
	session string // its id, where one is opened
	event   bool   // whether the message goes as an event
}

func (r *echoRequest) reply() (echoReply, error) {
	var request mcp.Request
	if err := mcp.ScanRequest(r.body, mcp.Limits{}, &request); err != nil {
		return echoReply{}, err
	}
	if request.ID.Empty() {
		return echoReply{}, nil
	}
	result, err := r.result(&request)
	if err != nil {
		return echoReply{}, err
	}
	reply := echoReply{message: mcp.WriteResult(make([]byte, 0, len(result)+64), request.ID.Of(r.body), result)}
	if request.Method == mcp.MethodInitialize {
		reply.session = "5d1f3a52-7a0e-4c9b-9d5c-6f1a0c1b2d3e"
	}
	reply.event = strings.HasSuffix(r.path, "/sse") && request.Method == mcp.MethodToolsCall
	return reply, nil
}

// standardPrefix is what the paths of the echo server of net/http begin with.
const standardPrefix = "/standard"

// standardEcho is the same server as a handler of net/http: what a server in Go
// usually is, and what the targets mean by "direct".
func standardEcho(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The client is gone.
	}
	request := echoRequest{method: r.Method, path: strings.TrimPrefix(r.URL.Path, standardPrefix), body: body}
	reply, err := request.reply()
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case reply.message == nil:
		w.WriteHeader(http.StatusAccepted)
		return
	}
	header := w.Header()
	if reply.session != "" {
		header.Set("Mcp-Session-Id", reply.session)
	}
	if reply.event {
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-cache")
		_, _ = w.Write(slices.Concat([]byte(eventBegin), reply.message, []byte(eventEnd)))
		return
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(reply.message)))
	_, _ = w.Write(reply.message) // A client that cannot be written to is gone.
}

func (r *echoRequest) result(request *mcp.Request) ([]byte, error) {
	modern := strings.HasPrefix(r.path, "/modern/")
	switch request.Method {
	case mcp.MethodInitialize:
		return []byte(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}`), nil
	case mcp.MethodDiscover:
		return []byte(`{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"public"}`), nil
	case mcp.MethodToolsCall:
		return echoText(r.body, request, modern)
	}
	return []byte(`{}`), nil
}

// echoText is the result of the tool: its argument text, whose bytes it does not
// look at.
func echoText(body []byte, request *mcp.Request, modern bool) ([]byte, error) {
	arguments := request.Arguments.Of(body)
	var text []byte
	err := mcp.Members(arguments, func(_ string, value mcp.Span) error {
		text = value.Of(arguments)
		return nil
	})
	if err != nil || text == nil {
		return nil, errors.Join(err, errors.New("no text"))
	}
	result := make([]byte, 0, len(text)+96)
	result = append(result, '{')
	if modern {
		result = append(result, `"resultType":"complete",`...)
	}
	result = append(append(result, `"content":[{"type":"text","text":`...), text...)
	return append(result, `}]}`...), nil
}
