package apikey

import (
	"hash/crc32"
	"strings"
	"testing"
)

func TestChecksumIsCRC32InBase62(t *testing.T) {
	for _, body := range []string{"", "a", "wdr_000000000000_", strings.Repeat("z", 100)} {
		rest := crc32.ChecksumIEEE([]byte(body))
		var want [sumLen]byte
		for i := sumLen - 1; i >= 0; i-- {
			want[i] = base62[rest%62]
			rest /= 62
		}
		if got := checksum(body); got != want {
			t.Errorf("checksum(%q) = %s; want %s", body, got, want)
		}
	}
}

func TestChecksumStaysOffTheHeap(t *testing.T) {
	body := Key{ID: strings.Repeat("a", idLen), Secret: strings.Repeat("b", secretLen)}.String()
	if allocs := testing.AllocsPerRun(100, func() { _, _ = Parse(body) }); allocs > 0 {
		t.Errorf("Parse allocates %v times; want 0", allocs)
	}
}
