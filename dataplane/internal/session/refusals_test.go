package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// kept is a queue that keeps refusals, as long as there is room.
type kept struct {
	refusals []*auditv1.Event
	full     bool
}

func (k *kept) Intent(*auditv1.Event) (Ticket, error) { return nil, errors.New("no calls here") }

func (k *kept) Sync(context.Context, snapshotv1.Risk) error { return nil }

func (k *kept) Refusal(event *auditv1.Event) error {
	if k.full {
		return errors.New("full")
	}
	k.refusals = append(k.refusals, event)
	return nil
}

func (k *kept) standFor() (n uint64) {
	for _, event := range k.refusals {
		n += event.GetSuppressed() + 1
	}
	return n
}

func TestP13_WhatIsKeptOfFloodsIsBoundedAndNothingIsLost(t *testing.T) {
	queue := &kept{full: true}
	now := time.Now()
	r := newRefusals(&Config{
		Audit: queue, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	}, newMetrics(prometheus.NewRegistry()))
	const sent = 3 * maxFloods
	for i := range sent {
		r.record(kindDenied, &auditv1.Event{KeyId: fmt.Sprint("key-", i), User: "ana"})
	}
	if n := len(r.floods); n > maxFloods+1 {
		t.Errorf("%d floods are kept; the bound is %d", n, maxFloods)
	}
	queue.full = false
	now = now.Add(time.Minute)
	r.flush()
	if n := queue.standFor(); n != sent {
		t.Errorf("events stand for %d refusals; want %d", n, sent)
	}
	if n := len(r.floods); n != 0 {
		t.Errorf("%d floods are kept after their end", n)
	}
}

func TestAFloodEndsAndRefusalsAreRecordedOneByOneAgain(t *testing.T) {
	queue := &kept{}
	now := time.Now()
	r := newRefusals(&Config{
		Audit: queue, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	}, newMetrics(prometheus.NewRegistry()))
	one := func() { r.record(kindDenied, &auditv1.Event{KeyId: "k"}) }
	for range keyBurst + 5 {
		one()
	}
	if n := len(queue.refusals); n != keyBurst {
		t.Fatalf("%d events at once; want %d", n, keyBurst)
	}
	now = now.Add(time.Second)
	one()
	if last := queue.refusals[len(queue.refusals)-1]; last.GetSuppressed() != 5 {
		t.Errorf("the next event stands for %d others; want 5", last.GetSuppressed())
	}
	now = now.Add(-time.Hour) // a clock that is set back gives nothing away and takes nothing
	one()
	if n := queue.standFor(); n != keyBurst+7 {
		t.Errorf("events stand for %d refusals; want %d", n, keyBurst+7)
	}
}
