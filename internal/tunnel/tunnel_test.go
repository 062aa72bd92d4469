package tunnel

import (
	"bytes"
	"testing"
	"testing/synctest"
)

func TestAnExchangeOfAnySizeGoesThrough(t *testing.T) {
	for _, size := range []int{0, 1, 256, 16 << 10, 100_000, 1 << 20, 20 << 20} {
		synctest.Test(t, func(t *testing.T) {
			a, _ := connect(t, Config{}, Config{Handler: echo})
			want := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
			got, err := post(t.Context(), a.Tunnel, want)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
			}
		})
	}
}
