package ledger

import (
	"crypto/rand"
	"testing"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
)

// BenchmarkIntake compares intake with a bare COPY of the same records
// (performance.md: at least half of it).
func BenchmarkIntake(b *testing.B) {
	const batch = 1000
	b.Run("append", func(b *testing.B) {
		l, q := New(Config{Store: storetest.New(b)}), newQueue(b, 1)
		for b.Loop() {
			b.StopTimer()
			var events [][]byte
			for range batch / 2 {
				id := make([]byte, callIDSize)
				rand.Read(id)
				events = append(events, encode(b, intent(id)), encode(b, result(id)))
			}
			next := q.batch(events...)
			b.StartTimer()
			push(b, l, "n1", next)
		}
		b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("copy", func(b *testing.B) {
		s, q := storetest.New(b), newQueue(b, 1)
		for b.Loop() {
			b.StopTimer()
			rows := make([]db.CopyAuditRecordsParams, 0, batch)
			var events [][]byte
			for range batch / 2 {
				id := make([]byte, callIDSize)
				rand.Read(id)
				events = append(events, encode(b, intent(id)), encode(b, result(id)))
			}
			for _, r := range q.batch(events...).Records {
				rows = append(rows, db.CopyAuditRecordsParams{
					Node: "n1", Epoch: 1, Sequence: int64(r.Sequence), Event: r.Event, Hash: r.Hash,
				})
			}
			b.StartTimer()
			if _, err := s.CopyAuditRecords(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
