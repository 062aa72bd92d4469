// Package environment seals the variables that an agent sets for a server's process:
// names and values are one sealed message, bound to the server that they belong to.
//
//	API ──Seal──▶ server.environment_sealed ──Open──▶ orders of the server's agent, and of no other
//
// The API writes them and never reads them back; it shows names alone.
package environment

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/seal"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// Seal returns the environment of a server, sealed for its row; nil for none.
func Seal(keys *seal.Vault, server string, variables map[string]string) ([]byte, error) {
	if len(variables) == 0 {
		return nil, nil
	}
	// A message that has the field already; nothing else of it is used.
	plain, err := proto.Marshal(&enrollv1.AssignedServer{Environment: variables})
	if err != nil {
		return nil, fmt.Errorf("encode environment of server %s: %w", server, err)
	}
	sealed, err := keys.Seal(plain, place(server)...)
	if err != nil {
		return nil, fmt.Errorf("seal environment of server %s: %w", server, err)
	}
	return sealed, nil
}

// Open returns what Seal was given. It fails with seal.ErrOpen where the
// key-encryption key is another one, or the bytes are those of another server.
func Open(keys *seal.Vault, server string, sealed []byte) (map[string]string, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	plain, err := keys.Open(sealed, place(server)...)
	if err != nil {
		return nil, fmt.Errorf("open environment of server %s: %w", server, err)
	}
	message := new(enrollv1.AssignedServer)
	if err := proto.Unmarshal(plain, message); err != nil {
		return nil, fmt.Errorf("decode environment of server %s: %w", server, err)
	}
	return message.GetEnvironment(), nil
}

// place is the context that a sealed environment is bound to: table, column, row.
func place(server string) []string { return []string{"server", "environment_sealed", server} }
