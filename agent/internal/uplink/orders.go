package uplink

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/ownfile"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	ordersFile = "orders"
	// maxOrders bounds orders on the wire and on disk, in bytes. They carry the environment of every assigned server.
	maxOrders = 16 << 20
)

// shelf keeps the last orders of one agent on disk: a digest, and the message. The digest covers the agent's name, so that
// the orders of another one, which had the directory before, are not taken for this one's.
type shelf struct {
	dir   string // empty: nothing is kept
	agent string
}

func (s shelf) digest(message []byte) []byte {
	sum := sha256.Sum256(append([]byte(s.agent+"\x00"), message...))
	return sum[:]
}

// put replaces the orders.
func (s shelf) put(orders *enrollv1.Orders) error {
	if s.dir == "" {
		return nil
	}
	message, err := proto.Marshal(orders)
	if err != nil {
		return fmt.Errorf("keep orders: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("keep orders: %w", err)
	}
	if err := ownfile.Replace(filepath.Join(s.dir, ordersFile), append(s.digest(message), message...)); err != nil {
		return fmt.Errorf("keep orders: %w", err)
	}
	return nil
}

// get returns the orders, or nil if there are none. What is not as put left it is an error.
func (s shelf) get() (*enrollv1.Orders, error) {
	if s.dir == "" {
		return nil, nil
	}
	path := filepath.Join(s.dir, ordersFile)
	content, err := ownfile.Read(path, maxOrders+sha256.Size+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	if len(content) < sha256.Size || !bytes.Equal(content[:sha256.Size], s.digest(content[sha256.Size:])) {
		return nil, fmt.Errorf("read orders: %s is broken, or another agent's", path)
	}
	orders := new(enrollv1.Orders)
	if err := proto.Unmarshal(content[sha256.Size:], orders); err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	return orders, nil
}
