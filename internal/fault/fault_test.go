package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/internal/fault"
)

func TestCauseIsFoundButNeverShown(t *testing.T) {
	err := fmt.Errorf("add server: %w", fault.Wrap(fault.Unavailable, "server github does not answer", io.ErrUnexpectedEOF))

	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	for edge, shown := range map[string]string{
		"text":    fault.Text(err),
		"connect": fault.Connect(err).Error(),
		"grpc":    fault.GRPC(err).Error(),
	} {
		if strings.Contains(shown, "EOF") || !strings.Contains(shown, "server github does not answer") {
			t.Errorf("%s shows %q", edge, shown)
		}
	}
}

func TestUnclassifiedErrorIsInternalAndWithheld(t *testing.T) {
	err := errors.New("password=hunter2")
	if got := fault.KindOf(err); got != fault.Internal {
		t.Errorf("kind %v", got)
	}
	for _, shown := range []string{fault.Text(err), fault.Connect(err).Error(), fault.GRPC(err).Error()} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown: %q", shown)
		}
	}
}

func TestEachKindHasItsCodeOnEachWire(t *testing.T) {
	seen := map[codes.Code]fault.Kind{}
	for kind := fault.Internal; kind <= fault.Unavailable; kind++ {
		err := fault.New(kind, "x")
		if connect.CodeOf(fault.Connect(err)) == connect.CodeUnknown {
			t.Errorf("%v has no Connect code", kind)
		}
		code := status.Code(fault.GRPC(err))
		if other, taken := seen[code]; taken {
			t.Errorf("%v and %v share %v", kind, other, code)
		}
		seen[code] = kind
	}
}

func TestWireErrorsPassUnchanged(t *testing.T) {
	c := connect.NewError(connect.CodeCanceled, io.EOF)
	if fault.Connect(c) != error(c) {
		t.Error("a Connect error changed")
	}
	s := status.Error(codes.Canceled, "x")
	if fault.GRPC(s) != s {
		t.Error("a gRPC status changed")
	}
	if fault.Connect(nil) != nil || fault.GRPC(nil) != nil || fault.Text(nil) != "" {
		t.Error("nil is not nil")
	}
}

func TestACodeStaysWithItsFault(t *testing.T) {
	plain := fault.New(fault.Precondition, "x")
	coded := plain.Coded("WARDER-DB-001")
	if fault.Code(fmt.Errorf("open: %w", coded)) != "WARDER-DB-001" || fault.Code(plain) != "" || fault.Code(io.EOF) != "" {
		t.Error("a code is lost, or on a fault that was given none")
	}
	if !fault.Is(coded, fault.Precondition) || fault.Text(coded) != "x" {
		t.Errorf("with its code the fault became %v", coded)
	}
}
