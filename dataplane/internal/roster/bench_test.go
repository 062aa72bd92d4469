//go:build unix

package roster_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// BenchmarkCall compares calls of a node's upstream to a server at an agent, by a tunnel that is here and by another node, with calls to
// one over HTTP on loopback, in turns of the same run. It prints how many times as many calls the tunnel carries (x-http), and how much
// the relay adds, as a part of what the call over HTTP takes (relay-adds); performance.md wants at least 1 and at most 1 with 16 callers.
func BenchmarkCall(b *testing.B) {
	nodes, server, ca, _ := cluster(b, mcp.Version20260728, echo, "one", "two")
	mail := serverOf("desk", "mail", mcp.Version20260728)
	retain(nodes, server, mail)
	attach(b, ca.identity(identity.Agent, "desk").Client(identity.Node, ""), nodes[0], direct{}, "mail")
	here(b, nodes[0], "desk[mail] laptop[files]")
	locate(nodes)
	plain := &snapshotv1.Server{
		Name: "plain", Private: true, ProtocolVersion: mcp.Version20260728,
		Url: mcpServer(b, func(w http.ResponseWriter, r *http.Request, id, arguments string) { echo(w, r, id, arguments) }).url,
	}
	for _, size := range []int{256, 16 << 10} {
		arguments := `{"x":"` + strings.Repeat("x", size) + `"}`
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dB/%d", size, callers), func(b *testing.B) {
				compare(b, callers, []way{{nodes[0], plain, arguments}, {nodes[0], mail, arguments}, {nodes[1], mail, arguments}})
			})
		}
	}
}

// way is where a call is made, and to which server.
type way struct {
	node      *node
	server    *snapshotv1.Server
	arguments string
}

// compare makes b.N calls by each of three ways, in turns: over HTTP, by a tunnel, and by a relay.
func compare(b *testing.B, callers int, ways []way) {
	const turns = 5
	calls := b.N/turns + 1
	wall, cpu := make([]time.Duration, len(ways)), make([]time.Duration, len(ways))
	for _, w := range ways {
		w.many(b, callers, callers)
	}
	for range turns {
		for i, w := range ways {
			took, used := w.many(b, callers, calls)
			wall[i], cpu[i] = wall[i]+took, cpu[i]+used
		}
	}
	total := float64(turns * calls)
	b.ReportMetric(float64(wall[0])/float64(wall[1]), "x-http")
	b.ReportMetric(float64(wall[2]-wall[1])/float64(wall[0]), "relay-adds")
	for i, name := range []string{"http", "tunnel", "relay"} {
		b.ReportMetric(float64(cpu[i].Microseconds())/total, name+"-cpu-us/call")
	}
	b.ReportMetric(0, "ns/op")
}

// many makes calls by a number of callers at once, and returns the time and the processor's time that they took.
func (w way) many(b *testing.B, callers, calls int) (wall, cpu time.Duration) {
	b.Helper()
	var group sync.WaitGroup
	begin, used := time.Now(), processorTime(b)
	for i := range callers {
		group.Go(func() {
			for n := calls/callers + min(1, max(0, calls%callers-i)); n > 0; n-- {
				c := call(b, w.server, mcp.Modern, w.arguments)
				answer, err := w.node.pool.Do(b.Context(), c, nil)
				if err != nil || answer.Error != "" || len(answer.Body) < len(w.arguments) {
					b.Errorf("answer %+v, %v", answer, err)
					return
				}
				answer.Release()
			}
		})
	}
	group.Wait()
	return time.Since(begin), processorTime(b) - used
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
