package spool

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/warder-gateway/warder/internal/audit"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// scratch is memory to encode one event in. What is kept of it is copied.
type scratch struct{ bytes []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func borrowScratch() *scratch { return scratches.Get().(*scratch) }

// giveBack keeps encoded's memory for the next event. One of more than MaxEvent bytes is not worth it.
func (s *scratch) giveBack(encoded []byte) {
	if cap(encoded) <= MaxEvent {
		s.bytes = encoded[:0]
	}
	scratches.Put(s)
}

// encode appends the canonical bytes of an event, at most MaxEvent, to room, which is empty. Of an event that has more,
// texts and lists are cut, and say so: what a caller, an issuer or a policy has at length must not keep a call from being
// recorded.
func encode(room []byte, event *auditv1.Event) ([]byte, error) {
	encoded, err := audit.AppendEncode(room, event)
	if err == nil && len(encoded) > MaxEvent {
		encoded, err = audit.AppendEncode(encoded[:0], shortened(event))
	}
	if err != nil {
		return nil, fmt.Errorf("encode audit event: %w", err)
	}
	if len(encoded) > MaxEvent {
		return nil, errTooLarge
	}
	return encoded, nil
}

// What is left of an event that is too large, in bytes: of each text, and of all entries of a list together.
const (
	maxCutText = 1 << 10
	maxCutList = 12 << 10
)

// shortened returns a copy of an event whose texts and lists are cut where they are long. What is missing is told where
// it is missing: "…(+1234 bytes)" at the end of a text, "…(+12 more)" as the last entry of a list.
func shortened(event *auditv1.Event) *auditv1.Event {
	short := proto.CloneOf(event)
	m := short.ProtoReflect()
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.StringKind:
		case field.IsList():
			cutList(value.List())
		default:
			m.Set(field, protoreflect.ValueOfString(cutMarked(value.String())))
		}
		return true
	})
	return short
}

// cutList keeps the first entries of a list of texts, as many as there is room for.
func cutList(list protoreflect.List) {
	for i, size := 0, 0; i < list.Len(); i++ {
		text := cutMarked(list.Get(i).String())
		if size += len(text); size > maxCutList {
			missing := list.Len() - i
			list.Truncate(i)
			list.Append(protoreflect.ValueOfString(fmt.Sprintf("…(+%d more)", missing)))
			return
		}
		list.Set(i, protoreflect.ValueOfString(text))
	}
}

// cutMarked returns a text, or its beginning and how much is missing.
func cutMarked(text string) string {
	kept := cut(text, maxCutText)
	if missing := len(text) - len(kept); missing > 0 {
		return fmt.Sprintf("%s…(+%d bytes)", kept, missing)
	}
	return text
}

// fit returns the bytes of a result, at most room: whole if it fits, else with its error text cut, else only what the
// intent of the same call does not say. It encodes in dst, which is empty.
func fit(dst []byte, event *auditv1.Event, room int64) []byte {
	event.Error = strings.ToValidUTF8(event.Error, "\uFFFD")
	encoded, err := audit.AppendEncode(dst, event)
	if err == nil && int64(len(encoded)) <= room {
		return encoded
	}
	if keep := int64(len(event.Error)) - (int64(len(encoded)) - room); err == nil && keep >= 0 {
		event.Error = cut(event.Error, int(keep))
		return mustEncode(event)
	}
	return mustEncode(&auditv1.Event{
		Kind:          event.Kind,
		CallId:        event.CallId,
		At:            event.At,
		Outcome:       event.Outcome,
		Error:         cut(event.Error, resultRoom/4),
		Latency:       event.Latency,
		ServerLatency: event.ServerLatency,
		ResponseBytes: event.ResponseBytes,
	})
}

// cut returns at most n bytes of s, and no half characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// mustEncode encodes an event whose strings are valid UTF-8, which cannot fail.
func mustEncode(event *auditv1.Event) []byte {
	encoded, err := audit.Encode(event)
	if err != nil {
		panic(fmt.Sprintf("spool: encode a valid event: %v", err))
	}
	return encoded
}
