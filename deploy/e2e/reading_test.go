package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A reading is what a parser makes of a message: method, name, URI and arguments,
// each as canonical writes it, or "-" where it is missing, with blanks between. A
// parser that refuses the message writes "error" and why.

// canonical writes a JSON value in a form that has nothing to be read in two ways:
// strings as their UTF-16 units in hex, numbers as the bits of a double, members
// in order.
func canonical(value []byte) (string, error) {
	if value == nil {
		return "-", nil
	}
	return canonicalValue(jsontext.NewDecoder(bytes.NewReader(value)))
}

func canonicalValue(d *jsontext.Decoder) (string, error) {
	token, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	switch token.Kind() {
	case '"':
		return canonicalText(token.String()), nil
	case '0':
		f, err := strconv.ParseFloat(token.String(), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return "", err
		}
		return fmt.Sprintf("#%016x", math.Float64bits(f+0)), nil // -0 is 0.
	case '[':
		return canonicalList(d)
	case '{':
		return canonicalObject(d)
	}
	return token.String(), nil
}

func canonicalText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04x", unit)
	}
	return b.String()
}

func canonicalList(d *jsontext.Decoder) (string, error) {
	var items []string
	for d.PeekKind() != ']' {
		item, err := canonicalValue(d)
		if err != nil {
			return "", err
		}
		items = append(items, item)
	}
	_, err := d.ReadToken()
	return "[" + strings.Join(items, ",") + "]", err
}

func canonicalObject(d *jsontext.Decoder) (string, error) {
	var members []string
	for d.PeekKind() != '}' {
		name, err := canonicalValue(d)
		if err != nil {
			return "", err
		}
		value, err := canonicalValue(d)
		if err != nil {
			return "", err
		}
		members = append(members, name+":"+value)
	}
	slices.Sort(members)
	_, err := d.ReadToken()
	return "{" + strings.Join(members, ",") + "}", err
}

// reader is another program's parser, which reads one message a line.
type reader struct {
	name string
	in   io.Writer
	out  *bufio.Scanner
}

func startReader(t *testing.T, name, program string, args ...string) *reader {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = filepath.Join(repo, "deploy/e2e/fixtures")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = in.Close() // It ends with its input.
		_ = cmd.Wait()
	})
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	return &reader{name, in, scanner}
}

func (r *reader) read(t *testing.T, m *message) string {
	t.Helper()
	if _, err := fmt.Fprintln(r.in, base64.StdEncoding.EncodeToString(m.body)); err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	if !r.out.Scan() {
		t.Fatalf("%s ended: %v", r.name, r.out.Err())
	}
	return r.out.Text()
}

// sdkReader is a server of the official Go SDK that only reads.
type sdkReader struct {
	handler http.Handler
	reading string
}

func newSDKReader() *sdkReader {
	s := &sdkReader{}
	server := mcp.NewServer(&mcp.Implementation{Name: "reader", Version: "1"}, &mcp.ServerOptions{Capabilities: &mcp.ServerCapabilities{
		Tools: &mcp.ToolCapabilities{}, Prompts: &mcp.PromptCapabilities{}, Resources: &mcp.ResourceCapabilities{},
	}})
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			switch p := r.GetParams().(type) {
			case *mcp.CallToolParamsRaw:
				s.took(method, &p.Name, nil, p.Arguments)
				return &mcp.CallToolResult{}, nil
			case *mcp.GetPromptParams:
				s.took(method, &p.Name, nil, nil)
				if p.Arguments != nil {
					s.reading = strings.TrimSuffix(s.reading, "-") + canonicalStrings(p.Arguments)
				}
				return &mcp.GetPromptResult{}, nil
			case *mcp.ReadResourceParams:
				s.took(method, nil, &p.URI, nil)
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: p.URI, Text: "read"}}}, nil
			}
			return next(ctx, method, r)
		}
	})
	s.handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	return s
}

func canonicalStrings(arguments map[string]string) string {
	var members []string
	for name, value := range arguments {
		members = append(members, canonicalText(name)+":"+canonicalText(value))
	}
	slices.Sort(members)
	return "{" + strings.Join(members, ",") + "}"
}

func (s *sdkReader) took(method string, name, uri *string, arguments []byte) {
	said := func(text *string) string {
		if text == nil {
			return "-"
		}
		return canonicalText(*text)
	}
	read, err := canonical(arguments)
	if err != nil {
		read = "error " + err.Error()
	}
	s.reading = strings.Join([]string{canonicalText(method), said(name), said(uri), read}, " ")
}

// read gives a message, with its headers, to the SDK as its server would get it.
func (s *sdkReader) read(t *testing.T, m *message) string {
	t.Helper()
	decoded, err := jsonrpc.DecodeMessage(m.body)
	if err != nil {
		return "error " + err.Error()
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", bytes.NewReader(m.body))
	r.Header = m.header.Clone()
	r.Header.Del("Mcp-Session-Id")
	s.reading = ""
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if s.reading == "" {
		return "error " + strings.TrimSpace(w.Body.String())
	}
	if request, ok := decoded.(*jsonrpc.Request); !ok || !strings.HasPrefix(s.reading, canonicalText(request.Method)+" ") {
		return fmt.Sprintf("error decoded as %+v and served as %s", decoded, s.reading)
	}
	return s.reading
}
