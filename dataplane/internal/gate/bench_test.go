package gate_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestDecideAllocatesNothing(t *testing.T) {
	w, key := world(t)
	w.Prompt("git", "ask")
	w.Resource("git", "x://a")
	index := w.Index(1)
	holder := caller(t, index, key)
	for kind, name := range map[policy.Kind]string{policy.Tool: "git__get", policy.Prompt: "git__ask", policy.Resource: "git+x://a"} {
		for _, method := range []string{kind.Method(), policy.MethodSample} {
			allocs := testing.AllocsPerRun(100, func() {
				e, _, _ := index.Resolve(kind, nil, name)
				if !index.Decide(holder, e, method).Allowed() {
					t.Fatal("denied")
				}
			})
			if allocs > 0 {
				t.Errorf("%s of a %s: %v allocations; want 0", method, kind, allocs)
			}
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, size := range []int{10, 10_000, 50_000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			index, key := bigIndex(b, size, 10)
			holder := caller(b, index, key)
			for kind, name := range map[policy.Kind]string{policy.Tool: "big__tool_7", policy.Prompt: "big__prompt_7", policy.Resource: "big+x://7"} {
				b.Run(kind.String(), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						e, _, _ := index.Resolve(kind, nil, name)
						index.Decide(holder, e, kind.Method())
					}
				})
				b.Run(kind.String()+"/sampling", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						e, _, _ := index.Resolve(kind, nil, name)
						index.Decide(holder, e, policy.MethodSample)
					}
				})
			}
		})
	}
}

// BenchmarkBuild has 20,000 tools and 20,000 keys: performance.md gives it one
// second.
func BenchmarkBuild(b *testing.B) {
	w := bigWorld(b, 20_000, 20_000)
	set := w.Set(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gate.Build(set); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNext is BenchmarkBuild where one user has gone since.
func BenchmarkNext(b *testing.B) {
	w := bigWorld(b, 20_000, 20_000)
	set := w.Set(1)
	index, err := gate.Build(set)
	if err != nil {
		b.Fatal(err)
	}
	w.Items = w.Items[:len(w.Items)-2] // his key, too
	delta := snapshot.DeltaUpdate(set, w.Set(2))
	b.ReportAllocs()
	for b.Loop() {
		next, err := set.Apply(delta)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := index.Next(next, func() {}); err != nil {
			b.Fatal(err)
		}
	}
}

func bigIndex(b *testing.B, tools, keys int) (*gate.Index, apikey.Key) {
	w := bigWorld(b, tools, keys)
	for i := range min(tools, 10_000) {
		w.Rule(&snapshotv1.Rule{Id: fmt.Sprint(i), Name: fmt.Sprint("r", i), Effect: deny,
			Tools: []string{fmt.Sprintf("*/none_%d", i)}, Prompts: []string{fmt.Sprintf("*/none_%d", i)}, Resources: []string{fmt.Sprintf("*/x://none/%d", i)},
		})
	}
	w.Rule(&snapshotv1.Rule{Id: "quiet", Effect: deny, Methods: []string{policy.MethodSample}, Tools: []string{"*"}})
	key := w.Key("user_0", "ide", time.Time{})
	return w.Index(1), key
}

func bigWorld(b *testing.B, tools, keys int) *gatetest.World {
	w := gatetest.New(b)
	w.Server("big")
	filler := strings.Repeat("A tool that does this and that. ", 24)
	for i := range tools {
		tool := w.Tool("big", fmt.Sprintf("tool_%d", i), snapshotv1.Risk_RISK_READ)
		tool.Definition = fmt.Appendf(nil, `{"name":"tool_%d","description":"%s","inputSchema":{"type":"object"}}`, i, filler)
	}
	for i := range max(10, tools/10) {
		w.Prompt("big", fmt.Sprintf("prompt_%d", i))
		w.Resource("big", fmt.Sprintf("x://%d", i))
	}
	w.Role("all")
	w.Role("some", "big/tool_1*")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range keys {
		user := fmt.Sprintf("user_%d", i)
		w.User(user, []string{"all", "some"}[random.IntN(2)])
		w.Key(user, "ide", time.Time{})
	}
	return w
}
