package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/audit"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

const epoch = 0xfeedfacecafebeef

// chain returns records with sequences 1 to n.
func chain(t testing.TB, n int) []*auditv1.Record {
	t.Helper()
	records, previous := make([]*auditv1.Record, n), audit.First()
	for i := range records {
		event, err := audit.Encode(&auditv1.Event{CallId: []byte{byte(i)}, User: "ana", Tool: "x"})
		if err != nil {
			t.Fatal(err)
		}
		previous = audit.Chain(previous, epoch, uint64(i+1), event)
		records[i] = &auditv1.Record{Sequence: uint64(i + 1), Event: event, Hash: previous}
	}
	return records
}

func TestEncodeGivesTheEventBackAndRefusesBadText(t *testing.T) {
	event := &auditv1.Event{Kind: auditv1.EventKind_EVENT_KIND_INTENT, At: timestamppb.Now(), User: "ana", Latency: nil}
	encoded, err := audit.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	back := &auditv1.Event{}
	if err := proto.Unmarshal(encoded, back); err != nil || !proto.Equal(event, back) {
		t.Errorf("%v: %v", back, err)
	}
	if _, err := audit.Encode(nil); err == nil {
		t.Error("nil is encoded")
	}
	if _, err := audit.Encode(&auditv1.Event{Tool: "\xff"}); err == nil {
		t.Error("text that is no UTF-8 is encoded")
	}
}

// TestAnEventIsEncodedAsPackageProtoDoes compares the bytes: for each field of the message on its own, so that a new one cannot be
// forgotten, and for events of any fields.
func TestAnEventIsEncodedAsPackageProtoDoes(t *testing.T) {
	compare := func(t interface{ Errorf(string, ...any) }, event *auditv1.Event) {
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(event)
		if err != nil {
			t.Errorf("%v", err)
		}
		if got, err := audit.Encode(event); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %x, %v; want %x", event, got, err, want)
		}
	}
	fields := (&auditv1.Event{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		event := &auditv1.Event{}
		set(event.ProtoReflect(), fields.Get(i), func(int) int { return 1 })
		compare(t, event)
		if fields.Get(i).Kind() != protoreflect.StringKind {
			continue
		}
		bad := &auditv1.Event{}
		if value := protoreflect.ValueOfString("\xff"); fields.Get(i).IsList() {
			bad.ProtoReflect().Mutable(fields.Get(i)).List().Append(value)
		} else {
			bad.ProtoReflect().Set(fields.Get(i), value)
		}
		if _, err := audit.Encode(bad); err == nil {
			t.Errorf("%s that is no UTF-8 is encoded", fields.Get(i).Name())
		}
	}
	unknown := &auditv1.Event{Tool: "x"}
	unknown.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7))
	compare(t, unknown)
	rapid.Check(t, func(t *rapid.T) {
		event := &auditv1.Event{}
		for i := range fields.Len() {
			if rapid.Bool().Draw(t, "has it") {
				set(event.ProtoReflect(), fields.Get(i), func(below int) int { return rapid.IntRange(0, below-1).Draw(t, "value") })
			}
		}
		compare(t, event)
	})
}

// set gives a field a value, by lots of less than a number. Where all are 1, none is the zero value.
func set(m protoreflect.Message, field protoreflect.FieldDescriptor, lot func(below int) int) {
	text := func() string { return strings.Repeat("é", lot(200)) }
	switch {
	case field.IsList():
		list := m.Mutable(field).List()
		for range lot(4) {
			list.Append(protoreflect.ValueOfString(text()))
		}
	case field.Kind() == protoreflect.MessageKind: // seconds and nanoseconds, which may be less than nothing
		span := m.Mutable(field).Message()
		parts := span.Descriptor().Fields()
		span.Set(parts.ByNumber(1), protoreflect.ValueOfInt64(int64(lot(math.MaxInt)-math.MaxInt/2)))
		span.Set(parts.ByNumber(2), protoreflect.ValueOfInt32(int32(lot(math.MaxInt32)-math.MaxInt32/2)))
	case field.Kind() == protoreflect.StringKind:
		m.Set(field, protoreflect.ValueOfString(text()))
	case field.Kind() == protoreflect.BytesKind:
		m.Set(field, protoreflect.ValueOfBytes([]byte(text())))
	case field.Kind() == protoreflect.EnumKind:
		m.Set(field, protoreflect.ValueOfEnum(protoreflect.EnumNumber(lot(300))))
	default:
		m.Set(field, protoreflect.ValueOfUint64(uint64(lot(math.MaxInt))))
	}
}

// BenchmarkEncode encodes the two events of a call.
func BenchmarkEncode(b *testing.B) {
	intent := &auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_INTENT, CallId: make([]byte, 16), At: timestamppb.Now(), User: "ana", Application: "ide", KeyId: "abcdefgh",
		ClientName: "client", ClientVersion: "1.2.3", RemoteAddress: "127.0.0.1:12345", ProtocolVersion: "2026-07-28", Method: "tools/call",
		Server: "git", Tool: "get", Risk: 1, DefinitionHash: make([]byte, 32), Decision: auditv1.Decision_DECISION_ALLOW, Rule: "rule", Reason: "a role lets it through",
		Revision: 1000, ArgumentsDigest: make([]byte, 32), RequestBytes: 512, TraceId: strings.Repeat("0", 32), Roles: []string{"dev"},
	}
	result := &auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_RESULT, CallId: make([]byte, 16), At: timestamppb.Now(), Outcome: auditv1.Outcome_OUTCOME_OK,
		Latency: durationpb.New(time.Millisecond), ServerLatency: durationpb.New(time.Millisecond), ResponseBytes: 300, TraceId: strings.Repeat("0", 32),
	}
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		for _, event := range []*auditv1.Event{intent, result} {
			var err error
			if room, err = audit.AppendEncode(room[:0], event); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// Hashes are kept for years and checked by other programs.
func TestChainIsStable(t *testing.T) {
	const want = "e3cf373606ca173225a750bdf2447b6c4a25b098ca568d7c909dfa536b7699cb"
	if got := fmt.Sprintf("%x", audit.Chain(nil, epoch, 1, []byte("event"))); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	if !bytes.Equal(audit.Chain(nil, epoch, 1, []byte("event")), audit.Chain(make([]byte, 32), epoch, 1, []byte("event"))) {
		t.Error("no previous hash is not 32 zero bytes")
	}
}

func TestChainCoversEachPart(t *testing.T) {
	base := audit.Chain(audit.First(), epoch, 1, []byte("event"))
	for why, hash := range map[string][]byte{
		"previous": audit.Chain(append(make([]byte, 31), 1), epoch, 1, []byte("event")),
		"epoch":    audit.Chain(audit.First(), epoch+1, 1, []byte("event")),
		"sequence": audit.Chain(audit.First(), epoch, 2, []byte("event")),
		"event":    audit.Chain(audit.First(), epoch, 1, []byte("evens")),
	} {
		if len(hash) != audit.HashSize || bytes.Equal(hash, base) {
			t.Errorf("%s is not covered", why)
		}
	}
}

func TestWholeChainVerifiesInAnyParts(t *testing.T) {
	records := chain(t, 10)
	if err := audit.VerifyChain(nil, epoch, records); err != nil {
		t.Error(err)
	}
	for cut := range len(records) {
		previous := audit.First()
		if cut > 0 {
			previous = records[cut-1].GetHash()
		}
		if err := audit.VerifyChain(previous, epoch, records[cut:]); err != nil {
			t.Errorf("from %d: %v", cut, err)
		}
	}
	if err := audit.VerifyChain(nil, epoch, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

// P-03: the first bad record is named.
func TestP03BrokenChainIsNamedWhereItBreaks(t *testing.T) {
	for why, test := range map[string]struct {
		change func(records []*auditv1.Record) []*auditv1.Record
		at     uint64
	}{
		"event changed":  {func(r []*auditv1.Record) []*auditv1.Record { r[4].Event[3] ^= 1; return r }, 5},
		"hash changed":   {func(r []*auditv1.Record) []*auditv1.Record { r[4].Hash[31] ^= 1; return r }, 5},
		"hash cut":       {func(r []*auditv1.Record) []*auditv1.Record { r[4].Hash = r[4].Hash[:31]; return r }, 5},
		"hash missing":   {func(r []*auditv1.Record) []*auditv1.Record { r[4].Hash = nil; return r }, 5},
		"record missing": {func(r []*auditv1.Record) []*auditv1.Record { return append(r[:4:4], r[5:]...) }, 5},
		"first missing":  {func(r []*auditv1.Record) []*auditv1.Record { return r[1:] }, 1},
		"nil record":     {func(r []*auditv1.Record) []*auditv1.Record { r[4] = nil; return r }, 5},
		"record doubled": {func(r []*auditv1.Record) []*auditv1.Record { return append(r[:5:5], r[4:]...) }, 6},
		"two swapped":    {func(r []*auditv1.Record) []*auditv1.Record { r[4], r[5] = r[5], r[4]; return r }, 5},
		"renumbered": {func(r []*auditv1.Record) []*auditv1.Record {
			r = append(r[:4:4], r[5:]...)
			for i := range r {
				r[i].Sequence = uint64(i + 1)
			}
			return r
		}, 5},
	} {
		err := audit.VerifyChain(nil, epoch, test.change(chain(t, 10)))
		broken, ok := errors.AsType[*audit.BrokenError](err)
		if !ok || broken.Sequence != test.at || broken.Epoch != epoch {
			t.Errorf("%s: %v, want sequence %d", why, err, test.at)
		}
	}
	if err := audit.VerifyChain(nil, epoch+1, chain(t, 3)); err == nil {
		t.Error("verifies under another epoch")
	}
	if err := audit.VerifyChain(make([]byte, 31), epoch, chain(t, 3)); err == nil {
		t.Error("verifies after half a hash")
	}
	if err := audit.VerifyChain(bytes.Repeat([]byte{1}, 32), epoch, chain(t, 3)); err == nil {
		t.Error("verifies after another hash")
	}
}

func TestP03NoBitOfAnEventCanChange(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		records := chain(t, 5)
		victim := rapid.IntRange(0, 4).Draw(r, "record")
		at := rapid.IntRange(0, len(records[victim].GetEvent())-1).Draw(r, "byte")
		records[victim].Event[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		broken, ok := errors.AsType[*audit.BrokenError](audit.VerifyChain(nil, epoch, records))
		if !ok || broken.Sequence != uint64(victim+1) {
			r.Fatalf("%v", broken)
		}
	})
}

func BenchmarkChain(b *testing.B) {
	event := make([]byte, 400)
	previous := audit.First()
	b.ReportAllocs()
	for b.Loop() {
		previous = audit.Chain(previous, epoch, 1, event)
	}
}
