package handle_test

import (
	"fmt"
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/principal"
)

func BenchmarkOpenSession(b *testing.B) {
	s := someSealer(b)
	for _, servers := range []int{0, 1, 3, 20} {
		v := someSession()
		v.Servers = nil
		for i := range servers {
			v.Servers = append(v.Servers, handle.ServerSession{Server: fmt.Sprintf("server-%d", i), ID: uuid(i), Version: "2025-11-25"})
		}
		token, _, err := s.SealSession(v, ana, now)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("servers=%d/bytes=%d", servers, len(token)), func(b *testing.B) {
			b.ReportAllocs()
			var got handle.Session
			for b.Loop() {
				if err := s.OpenSession(token, ana, now, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealSession(b *testing.B) {
	s, v := someSealer(b), someSession()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.SealSession(v, ana, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOwnerOf(b *testing.B) {
	p := &principal.Principal{User: "ana", Application: "cursor"}
	b.ReportAllocs()
	for b.Loop() {
		handle.OwnerOf(p)
	}
}

func BenchmarkUpstreamID(b *testing.B) {
	id, room := []byte("12345"), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		handle.UpstreamID(room, [16]byte{1}, id)
	}
}
