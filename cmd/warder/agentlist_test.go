package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// Who lists servers or agents reads what runs, and why something does not.
func TestListsSayWhatAnAgentRunsAndWhatItRefuses(t *testing.T) {
	running := &adminv1.AgentServer{
		Name: "files", Known: true, Phase: "running", Pid: 4711, StartedAt: timestamppb.New(time.Now().Add(-5 * time.Minute)),
		Processes: 2, Restarts: 3, LastError: "exit status 1",
	}
	refused := &adminv1.AgentServer{Name: "wipe", Known: true, Phase: "refused", LastError: "the agent's file does not allow rm"}
	own := &adminv1.AgentServer{Name: "own", Declared: true, Phase: "idle"}
	slow := &adminv1.AgentServer{Name: "slow", Known: true, Phase: "starting", LastLine: "npm warn deprecated inflight"}
	var out bytes.Buffer
	printAgentServers(&out, []*adminv1.Agent{{Name: "laptop", Servers: []*adminv1.AgentServer{running, refused, own, slow}}})
	printServers(&out, []*adminv1.Server{
		{Name: "files", Agent: "laptop", AgentState: "away", Command: []string{"npx", "files"}, Process: running},
		{Name: "wipe", Agent: "laptop", AgentState: "connected", Command: []string{"rm"}, Process: refused},
	})
	for _, want := range []string{
		"running, pid 4711, started 5m ago, 2 processes, started again 3 times, last error: exit status 1",
		"refused, last error: the agent's file does not allow rm",
		"starting, last line: npm warn deprecated inflight", // It is no error.
		"no: warder server add own --agent laptop",
		"laptop (away): npx files",
		"wipe: on the agent laptop it is refused: the agent's file does not allow rm",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}
