package mcp_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warder-gateway/warder/internal/mcp"
)

// seen is an Event that outlives the reader's next call.
type seen struct {
	Type, Data, ID, Retry, Comment string
	HasData, HasID, HasComment     bool
}

func readAll(r io.Reader, limit int) (events []seen, err error) {
	reader := mcp.NewSSEReader(r, limit)
	for {
		e, err := reader.Next()
		if err != nil {
			return events, err
		}
		events = append(events, seen{string(e.Type), string(e.Data), string(e.ID), string(e.Retry), string(e.Comment), e.HasData, e.HasID, e.HasComment})
	}
}

func TestSSEReader(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []seen
		err          error
	}{
		{"nothing", "", nil, io.EOF},
		{"only empty lines", "\n\r\n\r\r\n", nil, io.EOF},
		{"one event", "data: {}\n\n", []seen{{Data: "{}", HasData: true}}, io.EOF},
		{"all fields", "event: message\nid: 7\nretry: 300\ndata: a\n: hi\n\n", []seen{{Type: "message", ID: "7", HasID: true, Retry: "300", Data: "a", HasData: true, Comment: " hi", HasComment: true}}, io.EOF},
		{"data lines are joined", "data: a\ndata:b\ndata:  c\ndata\n\n", []seen{{Data: "a\nb\n c\n", HasData: true}}, io.EOF},
		{"CR", "data: a\rdata: b\r\rdata: c\r\r", []seen{{Data: "a\nb", HasData: true}, {Data: "c", HasData: true}}, io.EOF},
		{"CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", []seen{{Data: "a\nb", HasData: true}, {Data: "c", HasData: true}}, io.EOF},
		{"mixed line ends", "data: a\r\ndata: b\n\rdata: c\r\n\n", []seen{{Data: "a\nb", HasData: true}, {Data: "c", HasData: true}}, io.EOF},
		{"priming event", "id: e1\ndata:\n\n", []seen{{ID: "e1", HasID: true, HasData: true}}, io.EOF},
		{"keep-alive", ":\n\n: ping\n\n", []seen{{HasComment: true}, {Comment: " ping", HasComment: true}}, io.EOF},
		{"unknown field", "foo: bar\ndata: a\n\n", []seen{{Data: "a", HasData: true}}, io.EOF},
		{"id with a zero byte is ignored", "id: a\x00b\ndata: a\n\n", []seen{{Data: "a", HasData: true}}, io.EOF},
		{"empty id", "id\ndata: a\n\n", []seen{{HasID: true, Data: "a", HasData: true}}, io.EOF},
		{"retry that is no number is ignored", "retry: 1s\nretry:\ndata: a\n\n", []seen{{Data: "a", HasData: true}}, io.EOF},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", []seen{{Data: "a", HasData: true}, {}}, io.EOF},
		{"broken off in a line", "data: a\n\ndata: b", []seen{{Data: "a", HasData: true}}, io.ErrUnexpectedEOF},
		{"broken off after a line", "data: a\n\ndata: b\n", []seen{{Data: "a", HasData: true}}, io.ErrUnexpectedEOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(test.stream), "byte by byte": iotest.OneByteReader(strings.NewReader(test.stream)),
				"error with the data": iotest.DataErrReader(strings.NewReader(test.stream)),
			} {
				got, err := readAll(r, 1<<10)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if err != test.err {
					t.Errorf("%s: error = %v, want %v", name, err, test.err)
				}
			}
		})
	}
}

// TestSSEReaderDoesNotWait: an event ended by CRs is there at once, although an LF might follow.
func TestSSEReaderDoesNotWait(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	go w.Write([]byte("data: a\r\n\r"))
	reader := mcp.NewSSEReader(r, 100)
	if e, err := reader.Next(); err != nil || string(e.Data) != "a" {
		t.Fatalf("Next = %q, %v", e.Data, err)
	}
	go w.Write([]byte("\ndata: b\n\n"))
	if e, err := reader.Next(); err != nil || string(e.Data) != "b" {
		t.Fatalf("Next = %q, %v", e.Data, err)
	}
}

func TestSSEReaderIsBounded(t *testing.T) {
	for name, stream := range map[string]string{
		"one line":      "data: " + strings.Repeat("x", 100) + "\n\n",
		"many lines":    strings.Repeat("data: x\n", 100) + "\n",
		"comments":      strings.Repeat(": x\n", 100) + "\n",
		"no end":        strings.Repeat("x", 100_000),
		"a later event": "data: a\n\ndata: " + strings.Repeat("x", 100) + "\n\n",
	} {
		if _, err := readAll(strings.NewReader(stream), 64); !errors.Is(err, mcp.ErrEventTooLarge) {
			t.Errorf("%s: error = %v, want %v", name, err, mcp.ErrEventTooLarge)
		}
	}
	if _, err := readAll(strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 58)+"\n\n", 10)), 64); err != io.EOF {
		t.Errorf("events at the limit: error = %v, want io.EOF", err)
	}
}

func TestSSEReaderPassesErrors(t *testing.T) {
	broken := errors.New("connection reset")
	r := io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken))
	events, err := readAll(r, 100)
	if len(events) != 1 || !errors.Is(err, broken) {
		t.Errorf("read %d events, %v; want 1 and %v", len(events), err, broken)
	}
}

// TestSSEReaderStartsAfreshAfterReset: nothing of a stream that ended anywhere shows in the next one, and the limit stays.
func TestSSEReaderStartsAfreshAfterReset(t *testing.T) {
	reader := mcp.NewSSEReader(nil, 100)
	for _, before := range []string{"", "data: a\r", "id: 7\nretry: 1\nevent: x\n: c\ndata: b", "data: a\n\ndata: b\n\n", strings.Repeat("x", 200)} {
		reader.Reset(strings.NewReader(before))
		for _, err := reader.Next(); err == nil; _, err = reader.Next() {
		}
		reader.Reset(strings.NewReader("\xef\xbb\xbfdata: z\n\ndata: " + strings.Repeat("x", 100)))
		want := mcp.Event{Data: []byte("z"), HasData: true}
		if e, err := reader.Next(); err != nil || !cmp.Equal(want, e, cmpopts.EquateEmpty()) {
			t.Errorf("after %q: %+v, %v", before, e, err)
		}
		if _, err := reader.Next(); !errors.Is(err, mcp.ErrEventTooLarge) {
			t.Errorf("after %q: error = %v, want %v", before, err, mcp.ErrEventTooLarge)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	tests := []struct {
		name  string
		id    string
		retry time.Duration
		data  string
		want  string
	}{
		{"a message", "", 0, `{"a":1}`, "event: message\ndata: {\"a\":1}\n\n"},
		{"all fields", "7", 300 * time.Millisecond, "a", "event: message\nid: 7\nretry: 300\ndata: a\n\n"},
		{"line ends between tokens", "", 0, "{\n\"a\":\r\n1\r}", "event: message\ndata: {\ndata: \"a\":\ndata: 1\ndata: }\n\n"},
		{"line end at the end", "", 0, "{}\n", "event: message\ndata: {}\ndata: \n\n"},
		{"what looks like line ends and is none", "", 0, "{\"a\":\"\u2028\\n\u0085\"}", "event: message\ndata: {\"a\":\"\u2028\\n\u0085\"}\n\n"},
		{"priming event", "e1", 2 * time.Second, "", "id: e1\nretry: 2000\ndata: \n\n"},
		{"an id cannot smuggle a line", "1\ndata: evil", 0, "a", "event: message\ndata: a\n\n"},
		{"an id with CR", "1\rdata: evil", 0, "a", "event: message\ndata: a\n\n"},
		{"an id with NUL, which readers ignore", "1\x00", 0, "a", "event: message\ndata: a\n\n"},
		{"a wait of less than a millisecond", "", 999 * time.Microsecond, "a", "event: message\ndata: a\n\n"},
		{"a negative wait", "", -time.Second, "a", "event: message\ndata: a\n\n"},
	}
	for _, test := range tests {
		if got := string(mcp.AppendEvent([]byte(":x\n\n"), test.id, test.retry, []byte(test.data))); got != ":x\n\n"+test.want {
			t.Errorf("%s: AppendEvent = %q, want %q", test.name, got, test.want)
		}
	}
	parts := [][]byte{[]byte(`{"a":`), nil, []byte("[1,\n2]"), []byte("}")}
	if got, want := string(mcp.AppendEvent(nil, "", 0, parts...)), "event: message\ndata: {\"a\":[1,\ndata: 2]}\n\n"; got != want {
		t.Errorf("AppendEvent of parts = %q, want %q", got, want)
	}
}

func TestRetryAfter(t *testing.T) {
	for retry, want := range map[string]time.Duration{
		"": 0, "0": 0, "300": 300 * time.Millisecond, "99999999": time.Hour, "99999999999999999999999": time.Hour,
	} {
		if got := (&mcp.Event{Retry: []byte(retry)}).RetryAfter(); got != want {
			t.Errorf("RetryAfter of %q = %v, want %v", retry, got, want)
		}
	}
}
