package session

import (
	"encoding/hex"
	"strconv"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Whoever shares a session that this node opens with a legacy server shares its
// key: requests of one legacy session, or of one API key with the same
// capabilities. Two users never do.

func legacyKey(session *handle.Session) string {
	var text [2 + 2*len(session.ID)]byte
	return string(hex.AppendEncode(append(text[:0], "s/"...), session.ID[:]))
}

func modernKey(keyID string, capabilities mcp.Capabilities) string {
	return "k/" + keyID + "/" + strconv.Itoa(int(capabilities))
}
