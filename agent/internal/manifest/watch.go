package manifest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"
)

// Watch looks at a file every so often, and calls changed with what it holds, or with why it cannot be used, each time
// that this is another than before; first at once. What was applied before an error is to stay in force. It returns when
// ctx ends.
func Watch(ctx context.Context, name string, every time.Duration, changed func(*File, error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var last [sha256.Size]byte
	for {
		if now := trace(name); now != last {
			last = now
			changed(Load(name))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// trace tells states of a file apart: what is in it, who may write to it, and why it cannot be read.
func trace(name string) [sha256.Size]byte {
	info, err := os.Stat(name)
	if err != nil {
		return sha256.Sum256([]byte("error " + err.Error()))
	}
	text := []byte("large")
	if info.Size() <= maxFile {
		if text, err = os.ReadFile(name); err != nil {
			return sha256.Sum256([]byte("error " + err.Error()))
		}
	}
	uid, _ := owner(info)
	return sha256.Sum256(append(fmt.Append(nil, info.Mode(), " ", uid, " "), text...))
}
