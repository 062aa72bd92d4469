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
				if !index.Decide(holder, e, method, nil).Allowed() {
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
						index.Decide(holder, e, kind.Method(), nil)
					}
				})
				b.Run(kind.String()+"/sampling", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						e, _, _ := index.Resolve(kind, nil, name)
						index.Decide(holder, e, policy.MethodSample, nil)
					}
				})
			}
		})
	}
}

// TestArgumentsAreDecodedOnlyWhereAConditionReadsThem gives a gate what nobody could decode: who reads it fails, and who
// does not never notices.
func TestArgumentsAreDecodedOnlyWhereAConditionReadsThem(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "claims", "first", "late", "reads", "plain")
	for i, rule := range []struct{ tool, when string }{
		{"claims", `client.name == "c" && principal.user == "ana"`}, {"first", `client.name == "c"`}, {"first", `arguments.n == 1`},
		{"late", `client.name == "other"`}, {"late", `arguments.n == 1`}, {"reads", `arguments.n == 1`}, {"plain", ""},
	} {
		w.Rule(&snapshotv1.Rule{Id: fmt.Sprint(i), Name: fmt.Sprint("r", i), Effect: allow, Tools: []string{"git/" + rule.tool}, When: rule.when, Priority: int32(i)})
	}
	w.User("ana")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	holder := caller(t, index, key)
	call := &told{facts: policy.Facts{Arguments: []byte(`{"n":`), Client: policy.Client{Name: "c"}}}
	for tool, want := range map[string]string{"claims": "r0", "first": "r1", "plain": "r6", "late": "", "reads": ""} {
		got := index.Decide(holder, find(t, index, policy.Tool, nil, "git__"+tool), policy.MethodCall, call)
		if got.Allowed() != (want != "") || want != "" && got.Rule != want {
			t.Errorf("%s: %+v", tool, got)
		}
	}
	plain := find(t, index, policy.Tool, nil, "git__plain")
	if allocs := testing.AllocsPerRun(100, func() { index.Decide(holder, plain, policy.MethodCall, call) }); allocs > 0 {
		t.Errorf("a call that waits for no condition allocates %v times beside others that do", allocs)
	}
}

// BenchmarkGrowth measures one decision among few rules or tools and among many, by turns, and prints how many times as
// long the latter takes: performance.md allows 1.3.
func BenchmarkGrowth(b *testing.B) {
	for _, test := range []struct {
		name                                     string
		fewRules, manyRules, fewTools, manyTools int
	}{{"rules=10→10000", 10, 10_000, 100, 100}, {"tools=10→50000", 100, 100, 10, 50_000}} {
		b.Run(test.name, func(b *testing.B) {
			few, many := decision(b, test.fewRules, test.fewTools), decision(b, test.manyRules, test.manyTools)
			b.ReportAllocs()
			b.ResetTimer()
			var spent [2]time.Duration
			for b.Loop() {
				for i, decide := range [...]func(){few, many} {
					start := time.Now()
					for range 1000 {
						decide()
					}
					spent[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(spent[1])/float64(spent[0]), "ratio")
			b.ReportMetric(float64(spent[1].Nanoseconds())/float64(b.N)/1000, "ns/decision")
		})
	}
}

// decision returns what resolves one of some tools and decides on it by some rules, every hundredth of which has a condition.
func decision(b *testing.B, rules, tools int) func() {
	w := bigWorld(b, tools, 1)
	for i := range rules {
		rule := &snapshotv1.Rule{Id: fmt.Sprint(i), Name: fmt.Sprint("r", i), Effect: deny, Tools: []string{fmt.Sprintf("*/none_%d", i)}}
		if i%100 == 0 {
			rule.When = "arguments.n > 2"
		}
		w.Rule(rule)
	}
	w.Rule(&snapshotv1.Rule{Id: "it", Name: "it", Effect: allow, Tools: []string{"big/*"}})
	key := w.Key("user_0", "ide", time.Time{})
	index := w.Index(1)
	holder := caller(b, index, key)
	return func() {
		e, _, _ := index.Resolve(policy.Tool, nil, "big__tool_7")
		if !index.Decide(holder, e, policy.MethodCall, nil).Allowed() {
			b.Fatal("denied")
		}
	}
}

// BenchmarkCondition is a decision that waits for one condition, by what that reads.
func BenchmarkCondition(b *testing.B) {
	for name, when := range map[string]string{
		"none": "", "client": `client.name == "claude"`, "now": `now.getHours() < 25`,
		"arguments": `arguments.path.startsWith("/tmp/")`, "nested": `arguments.options.tags.exists(tag, tag == "b")`,
	} {
		b.Run(name, func(b *testing.B) {
			w := gatetest.New(b)
			w.Server("git", "get")
			w.Rule(&snapshotv1.Rule{Id: "1", Name: "r", Effect: allow, When: when})
			w.User("ana")
			key := w.Key("ana", "ide", time.Time{})
			index := w.Index(1)
			holder, e := caller(b, index, key), find(b, index, policy.Tool, nil, "git__get")
			call := &told{facts: policy.Facts{
				Arguments: []byte(`{"path":"/tmp/file.txt","limit":100,"options":{"deep":true,"tags":["a","b","c"]}}`),
				Client:    policy.Client{Name: "claude", Version: "1"}, Now: midday,
			}}
			b.ReportAllocs()
			for b.Loop() {
				if decision := index.Decide(holder, e, policy.MethodCall, call); !decision.Allowed() {
					b.Fatalf("%+v", decision)
				}
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
