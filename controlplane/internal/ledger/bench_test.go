package ledger

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// BenchmarkIntake compares intake with a bare COPY of the same rows
// (performance.md: at least half of it).
func BenchmarkIntake(b *testing.B) {
	const batch = 1000
	b.Run("append", func(b *testing.B) {
		l, q := New(Config{Store: storetest.New(b)}), newQueue(b, 1)
		for b.Loop() {
			b.StopTimer()
			next := q.batch(events(b, batch)...)
			b.StartTimer()
			push(b, l, "n1", next)
		}
		b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("copy", func(b *testing.B) {
		s, q := storetest.New(b), newQueue(b, 1)
		for b.Loop() {
			b.StopTimer()
			next := q.batch(events(b, batch)...)
			records, calls := rowsOf(next)
			b.StartTimer()
			if _, err := s.CopyAuditRecords(b.Context(), records); err != nil {
				b.Fatal(err)
			}
			if _, err := s.CopyAuditCalls(b.Context(), calls); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// events returns n events: calls with their results.
func events(b *testing.B, n int) (encoded [][]byte) {
	for range n / 2 {
		id := make([]byte, callIDSize)
		rand.Read(id)
		encoded = append(encoded, encode(b, intent(id)), encode(b, result(id)))
	}
	return encoded
}

// rowsOf returns the rows that intake makes of a batch.
func rowsOf(batch *auditv1.PushRequest) ([]db.CopyAuditRecordsParams, []db.CopyAuditCallsParams) {
	var records []db.CopyAuditRecordsParams
	s := sorter{node: "n1", epoch: 1, transaction: 1, at: time.Now(), index: make(map[string]int)}
	for _, r := range batch.Records {
		records = append(records, db.CopyAuditRecordsParams{
			Node: "n1", Epoch: 1, Sequence: int64(r.Sequence), Event: r.Event, Hash: r.Hash,
		})
		s.add(r.Event)
	}
	return records, s.calls
}
