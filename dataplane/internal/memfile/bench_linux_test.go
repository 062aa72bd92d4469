package memfile

import (
	"fmt"
	"testing"
)

func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{Least, 600 << 10, 4 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			bytes := make([]byte, size)
			for b.Loop() {
				file, err := create(bytes)
				if err != nil {
					b.Fatal(err)
				}
				remove(file)
			}
		})
	}
}
