package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

// FuzzAnswer reads answers, in pieces of a size, with net/http as oracle: what we accept, it must accept, and read the same.
// We may be stricter.
func FuzzAnswer(f *testing.F) {
	add := func(raw string, isHead bool, piece byte) {
		if len(raw) < 1000 { // large ones only make the fuzzer slow
			f.Add([]byte(raw), isHead, piece)
		}
	}
	for _, test := range goodAnswers {
		add(test.raw, test.method == "HEAD", 2)
	}
	for _, test := range hostileAnswers {
		add(test.raw, false, 1)
	}
	f.Fuzz(func(t *testing.T, raw []byte, isHead bool, piece byte) {
		method := map[bool]string{false: "POST", true: "HEAD"}[isHead]
		ours, h, fields, rest, err := readWith(raw, method, piece)
		if err != nil {
			return
		}
		theirs, response, left := oracle(t, raw, method)
		if h.status != response.StatusCode || !bytes.Equal(ours, theirs) {
			t.Fatalf("we read %d %q, net/http %d %q", h.status, ours, response.StatusCode, theirs)
		}
		if h.hasLength && !h.bodyless(method) && h.length != response.ContentLength {
			t.Fatalf("we read a length of %d, net/http of %d", h.length, response.ContentLength)
		}
		if h.reusable() && rest != left && !h.bodyless(method) {
			t.Fatalf("the next answer would begin %d bytes before the end for us, %d for net/http", rest, left)
		}
		if h.reusable() && response.Close && !h.bodyless(method) {
			t.Fatal("we would use the connection again, net/http would not")
		}
		for name := range response.Header {
			if want := response.Header.Get(name); string(find(fields, name)) != want {
				t.Fatalf("%s is %q, for net/http %q", name, find(fields, name), want)
			}
		}
	})
}

// readWith reads an answer as a connection does, in small pieces unless piece is 0. It returns the body, what the head
// says, its fields, and how many bytes are left.
func readWith(raw []byte, method string, piece byte) (got []byte, h head, fields []byte, rest int, err error) {
	all := bytes.NewReader(raw)
	s := &source{from: all, buf: &buffer{bytes: make([]byte, bufferSize)}}
	if piece%2 == 1 {
		s.from = iotest.HalfReader(all)
	}
	if err = s.readHead(&h); err != nil {
		return nil, h, nil, 0, err
	}
	var b body
	b.begin(&h, method)
	h.closing = h.closing || b.phase == until
	into := make([]byte, 1+int(piece)*40)
	for {
		n, err := b.read(s, into)
		got = append(got, into[:n]...)
		if errors.Is(err, io.EOF) && b.phase == ended {
			return got, h, s.buf.bytes[h.start:h.end], all.Len() + s.buffered(), nil
		}
		if err != nil {
			return nil, h, nil, 0, err
		}
	}
}

// oracle reads an answer that we accept with net/http.
func oracle(t *testing.T, raw []byte, method string) (body []byte, response *http.Response, left int) {
	all := bytes.NewReader(raw)
	r := bufio.NewReader(all)
	for response == nil || response.StatusCode < 200 {
		var err error
		if response, err = http.ReadResponse(r, &http.Request{Method: method}); err != nil {
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("net/http refuses what we accept: %v, after %q", err, body)
	}
	return body, response, all.Len() + r.Buffered()
}

// FuzzRequest writes requests with fields of any kind: what is not refused arrives as one request with those fields.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/mcp?a=b", "X-A", "b", []byte("{}"))
	f.Add("GET", "", "X-A", "b\r\nX-C: d", []byte(nil))
	f.Add("DELETE", "/a b", "Host", "x", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path, name, value string, body []byte) {
		r := &Request{Method: method, Path: path, Header: []Field{{name, value}}, Body: body}
		if r.Check() != nil {
			return
		}
		own := &origin{line: " /own HTTP/1.1\r\nHost: h\r\n", version: " HTTP/1.1\r\nHost: h\r\n"}
		in := bufio.NewReader(bytes.NewReader(append(r.appendHead(nil, own), body...)))
		got, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		read, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(read, body) || in.Buffered() != 0 {
			t.Fatalf("the body is %q, with %d bytes after it, %v", read, in.Buffered(), err)
		}
		count := len(got.Header.Values(name))
		got.Header.Del(name)
		got.Header.Del("Content-Length")
		got.Header.Del("Cache-Control") // net/http adds it to Pragma
		if got.Method != method || got.Host != "h" || count != 1 || len(got.Header) > 0 {
			t.Fatalf("it is %v", got)
		}
	})
}
