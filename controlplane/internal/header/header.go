// Package header seals the headers that are sent to an MCP server: names and
// values are one sealed message, bound to the server that they belong to.
//
//	API ──Seal──▶ server.headers_sealed ──Open──▶ discovery, and the compiler for nodes
//
// The API writes them and never reads them back; it shows names alone.
package header

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/seal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Seal returns the headers of a server, sealed for its row; nil for none.
func Seal(keys *seal.Vault, server string, headers []*snapshotv1.Header) ([]byte, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	// A message that has the field already; nothing else of it is used.
	plain, err := proto.Marshal(&snapshotv1.Server{Headers: headers})
	if err != nil {
		return nil, fmt.Errorf("encode headers of server %s: %w", server, err)
	}
	sealed, err := keys.Seal(plain, place(server)...)
	if err != nil {
		return nil, fmt.Errorf("seal headers of server %s: %w", server, err)
	}
	return sealed, nil
}

// Open returns what Seal was given. It fails with seal.ErrOpen where the
// key-encryption key is another one, or the bytes are those of another server.
func Open(keys *seal.Vault, server string, sealed []byte) ([]*snapshotv1.Header, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	plain, err := keys.Open(sealed, place(server)...)
	if err != nil {
		return nil, fmt.Errorf("open headers of server %s: %w", server, err)
	}
	message := new(snapshotv1.Server)
	if err := proto.Unmarshal(plain, message); err != nil {
		return nil, fmt.Errorf("decode headers of server %s: %w", server, err)
	}
	return message.GetHeaders(), nil
}

// place is the context that sealed headers are bound to: table, column, row.
func place(server string) []string { return []string{"server", "headers_sealed", server} }
