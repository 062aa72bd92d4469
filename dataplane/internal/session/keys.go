package session

import (
	"strconv"

	"github.com/warder-gateway/warder/internal/mcp"
)

// modernKey says who shares a session that this node opens with a legacy server for
// a modern client: requests of one caller with the same capabilities. Those of one
// legacy session share the key of notice.SessionKey. Two users never share any.
func modernKey(caller string, capabilities mcp.Capabilities) string {
	return "k/" + caller + "/" + strconv.Itoa(int(capabilities))
}
