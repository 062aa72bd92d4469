package audit_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/audit"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// drawEvent fills each field, or not, whatever fields there are: one that is
// added to the proto and forgotten in Encode fails the test.
func drawEvent(r *rapid.T) *auditv1.Event {
	event := &auditv1.Event{}
	m := event.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); rapid.Bool().Draw(r, string(field.Name())+" is there") {
			m.Set(field, drawValue(r, field))
		}
	}
	return event
}

func drawValue(r *rapid.T, field protoreflect.FieldDescriptor) protoreflect.Value {
	switch name := string(field.Name()); field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(r, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(r, name))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(r, name))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32().Draw(r, name)))
	case protoreflect.MessageKind:
		seconds, nanos := rapid.Int64().Draw(r, name+" seconds"), rapid.Int32().Draw(r, name+" nanos")
		if field.Message().Name() == "Timestamp" {
			return protoreflect.ValueOfMessage((&timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}).ProtoReflect())
		}
		return protoreflect.ValueOfMessage((&durationpb.Duration{Seconds: seconds, Nanos: nanos}).ProtoReflect())
	}
	r.Fatalf("no way to draw %v", field.FullName())
	return protoreflect.Value{}
}

func TestAnEventsBytesAreThoseOfPackageProto(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		event := drawEvent(r)
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(event)
		if err != nil {
			r.Fatal(err)
		}
		if got, err := audit.Encode(event); err != nil || !bytes.Equal(got, want) {
			r.Fatalf("%v\n%x\n%x\n%v", event, got, want, err)
		}
	})
}

func TestWhatAnEventHasBeyondItsFieldsIsKept(t *testing.T) {
	event := &auditv1.Event{User: "ana"}
	event.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1}) // field 127
	encoded, err := audit.Encode(event)
	if err != nil || !bytes.HasSuffix(encoded, []byte{0xf8, 0x07, 1}) {
		t.Errorf("%x, %v", encoded, err)
	}
}

func BenchmarkEncode(b *testing.B) {
	event := &auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_INTENT, CallId: make([]byte, 16), At: timestamppb.Now(), User: "ana", Application: "ide",
		KeyId: "0123456789abcdef", ClientName: "client", ClientVersion: "1.2.3", RemoteAddress: "127.0.0.1:54321",
		ProtocolVersion: "2025-11-25", Method: "tools/call", Server: "git", Tool: "get", Risk: 1, DefinitionHash: make([]byte, 32),
		Decision: auditv1.Decision_DECISION_ALLOW, Rule: "role:dev", Revision: 17, ArgumentsDigest: make([]byte, 32), RequestBytes: 400,
		TraceId: "0123456789abcdef0123456789abcdef",
	}
	for name, encode := range map[string]func(*auditv1.Event) ([]byte, error){
		"here":  audit.Encode,
		"proto": func(e *auditv1.Event) ([]byte, error) { return proto.MarshalOptions{Deterministic: true}.Marshal(e) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encode(event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
