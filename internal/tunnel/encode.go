package tunnel

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	tagFrames = 1<<3 | byte(protowire.BytesType)
	tagStream = 1<<3 | byte(protowire.VarintType)
	// frameOverhead is at least what a frame has beside the content of its kind, or beside its head and the bytes of its body: tags,
	// lengths and numbers.
	frameOverhead = 48
	maxReason     = 256
	// maxCaller bounds the name of a caller, in bytes.
	maxCaller = 32
)

// appendFront appends what stands before the content of a frame, which is n bytes of a message.
func appendFront(b []byte, number uint64, k kind, n int) []byte {
	inner := 1 + protowire.SizeBytes(n)
	if number != 0 {
		inner += 1 + protowire.SizeVarint(number)
	}
	b = append(b, tagFrames)
	b = protowire.AppendVarint(b, uint64(inner))
	if number != 0 {
		b = protowire.AppendVarint(append(b, tagStream), number)
	}
	b = append(b, byte(k)<<3|byte(protowire.BytesType))
	return protowire.AppendVarint(b, uint64(n))
}

// appendNumber appends a frame that is a number: credit, ping or pong.
func appendNumber(b []byte, stream uint64, k kind, number uint64) []byte {
	inner := 1 + protowire.SizeVarint(number)
	if stream != 0 {
		inner += 1 + protowire.SizeVarint(stream)
	}
	b = append(b, tagFrames)
	b = protowire.AppendVarint(b, uint64(inner))
	if stream != 0 {
		b = protowire.AppendVarint(append(b, tagStream), stream)
	}
	return protowire.AppendVarint(append(b, byte(k)<<3), number)
}

// bodyField and endField are the numbers of the fields in Open, Head and Data.
func bodyField(k kind) (body, end byte) {
	switch k {
	case kindOpen:
		return 4, 5
	case kindHead:
		return 3, 4
	}
	return 1, 2
}

// appendPiece appends an Open or a Head, whose other fields are in head, or a Data without head, with a piece of the body in two parts.
func appendPiece(b []byte, stream uint64, k kind, head, first, second []byte, end bool) []byte {
	n, size := len(head), len(first)+len(second)
	if size > 0 {
		n += 1 + protowire.SizeBytes(size)
	}
	if end {
		n += 2
	}
	b = append(appendFront(b, stream, k, n), head...)
	bodyNumber, endNumber := bodyField(k)
	if size > 0 {
		b = protowire.AppendVarint(append(b, bodyNumber<<3|byte(protowire.BytesType)), uint64(size))
		b = append(append(b, first...), second...)
	}
	if end {
		b = append(b, endNumber<<3, 1)
	}
	return b
}

// appendReset appends a Reset.
func appendReset(b []byte, stream uint64, code tunnelv1.ResetCode, reason string) []byte {
	n := 2
	if reason != "" {
		n += 1 + protowire.SizeBytes(len(reason))
	}
	b = append(appendFront(b, stream, kindReset, n), 1<<3, byte(code))
	if reason != "" {
		b = appendText(b, 2, reason)
	}
	return b
}

func appendText(b []byte, n byte, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendVarint(append(b, n<<3|byte(protowire.BytesType)), uint64(len(s)))
	return append(b, s...)
}

func textSize(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func appendHeader(b []byte, n byte, header []Field) []byte {
	for _, field := range header {
		b = append(b, n<<3|byte(protowire.BytesType))
		b = protowire.AppendVarint(b, uint64(textSize(field.Name)+textSize(field.Value)))
		b = appendText(appendText(b, 1, field.Name), 2, field.Value)
	}
	return b
}

// openHead is an Open without body and end.
func openHead(r *Request, timeout time.Duration) (*buffer, error) {
	size, err := checkHead(r.Header, r.Server, r.Agent, r.Errand, r.Method)
	if err != nil {
		return nil, err
	}
	if len(r.Caller) > maxCaller {
		return nil, errLongCaller
	}
	head := newBuffer(size + fieldOverhead + len(r.Caller))
	b := appendText(head.bytes, 1, r.Server)
	b = appendText(b, 2, r.Method)
	b = appendHeader(b, 3, r.Header)
	if timeout > 0 {
		b = protowire.AppendVarint(append(b, 6<<3), uint64(max(1, timeout/time.Microsecond)))
	}
	b = appendText(b, 7, r.Agent)
	b = appendText(b, 8, r.Errand)
	head.bytes = appendText(b, 9, string(r.Caller))
	return head, nil
}

// answerHead is a Head without body and end.
func answerHead(status int, header []Field) (*buffer, error) {
	if status < 200 || status > 999 {
		return nil, invalid("the status of an answer is from 200 to 999")
	}
	size, err := checkHead(header)
	if err != nil {
		return nil, err
	}
	head := newBuffer(size)
	b := protowire.AppendVarint(append(head.bytes, 1<<3), uint64(status))
	head.bytes = appendHeader(b, 2, header)
	return head, nil
}

var (
	errNotText = invalid("its head has text that is not UTF-8")
	errLarge   = invalid("its head is too large")

	errLongCaller = invalid("the name of its caller is too long")
)

// fieldOverhead is at least what a field of a header, or a word, takes beside its text.
const fieldOverhead = 16

// checkHead returns why something cannot be sent that the other end would lose the tunnel for, or how many bytes it takes at most.
func checkHead(header []Field, words ...string) (int, error) {
	size := 0
	for _, word := range words {
		if !utf8.ValidString(word) {
			return 0, errNotText
		}
		size += len(word)
	}
	for i := range header {
		if !utf8.ValidString(header[i].Name) || !utf8.ValidString(header[i].Value) {
			return 0, errNotText
		}
		size += len(header[i].Name) + len(header[i].Value)
	}
	if size > maxHead || len(header) > maxFields {
		return 0, errLarge
	}
	return size + fieldOverhead*(len(header)+len(words)+1), nil
}
