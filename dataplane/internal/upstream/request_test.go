package upstream

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// TestEachMethodGoesToServersOfBothEras covers what is rewritten of each method that goes to a server.
func TestEachMethodGoesToServersOfBothEras(t *testing.T) {
	tests := []struct {
		method, params, target string
		legacy, modern         string // params at the server, without _meta; empty: it gets none
		name                   string // Mcp-Name
	}{
		{mcp.MethodToolsCall, `"name":"github__echo","arguments":{"n":1.10}`, "echo", `"name":"echo","arguments":{"n":1.10}`, "same", "echo"},
		{mcp.MethodPromptsGet, `"name":"github__p","arguments":{}`, "p", `"name":"p","arguments":{}`, "same", "p"},
		{mcp.MethodResourcesRead, `"uri":"github+file:///a"`, "file:///a", `"uri":"file:///a"`, "same", "file:///a"},
		{mcp.MethodComplete, `"ref":{"type":"ref/prompt","name":"github__p"},"argument":{"name":"a","value":"b"}`, "p",
			`"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"b"}`, "same", ""},
		{mcp.MethodComplete, `"ref":{"type":"ref/resource","uri":"github+x:{y}"},"argument":{"name":"a","value":"b"}`, "x:{y}",
			`"ref":{"type":"ref/resource","uri":"x:{y}"},"argument":{"name":"a","value":"b"}`, "same", ""},
		{mcp.MethodResourcesSubscribe, `"uri":"github+file:///a"`, "file:///a", `"uri":"file:///a"`, "", ""},
		{mcp.MethodResourcesUnsubscribe, `"uri":"github+file:///a"`, "file:///a", `"uri":"file:///a"`, "", ""},
		{mcp.MethodToolsList, `"cursor":"a"`, "", `"cursor":"a"`, "same", ""},
		{mcp.MethodPromptsList, `"cursor":"a"`, "", `"cursor":"a"`, "same", ""},
		{mcp.MethodResourcesList, `"cursor":"a"`, "", `"cursor":"a"`, "same", ""},
		{mcp.MethodResourceTemplates, `"cursor":"a"`, "", `"cursor":"a"`, "same", ""},
		{mcp.MethodSetLevel, `"level":"info"`, "", `"level":"info"`, "", ""},
	}
	for _, test := range tests {
		for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
			t.Run(test.method+"/"+version, func(t *testing.T) {
				var header http.Header
				f := &fake{t: t, all: true}
				f.call = func(w http.ResponseWriter, r *http.Request, id string) {
					header = r.Header.Clone()
					reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{}}`)
				}
				server := versioned(listen(t, f), version)
				body := `{"jsonrpc":"2.0","id":7,"method":"` + test.method + `","params":{` + test.params + `}}`
				answer := do(t, newPool(t, Config{}), callWith(t, server, mcp.Legacy, mcp.Version20251125, body, test.target))
				wantAnswer(t, answer, `{"jsonrpc":"2.0","id":7,"result":{}}`)
				want := test.legacy
				if version == mcp.Version20260728 && test.modern == "" {
					if f.calls.Load() != 0 {
						t.Errorf("a modern server got %s", f.requests[0])
					}
					return
				}
				if !strings.Contains(f.requests[0], want) || !strings.Contains(f.requests[0], `"method":"`+test.method+`"`) {
					t.Errorf("the server got %s, want %s", f.requests[0], want)
				}
				modern := version == mcp.Version20260728
				if got := header.Get(mcp.HeaderMethod); modern != (got == test.method) {
					t.Errorf("Mcp-Method is %q", got)
				}
				if got := header.Get(mcp.HeaderName); modern && got != test.name || !modern && got != "" {
					t.Errorf("Mcp-Name is %q", got)
				}
			})
		}
	}
}

func TestParametersGoIntoHeadersForClientsThatDidNotSendThem(t *testing.T) {
	params := []mcp.Param{{Header: "Mcp-Param-Repo", Path: []string{"repo"}}, {Header: "Mcp-Param-N", Path: []string{"o", "n"}}, {Header: "Mcp-Param-Absent", Path: []string{"x"}}}
	for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
		var header http.Header
		f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) { header = r.Header.Clone(); reply(w, ok(id)) }}
		call := callTo(t, versioned(listen(t, f), mcp.Version20260728), era, "1", "echo", `{"repo":"hä","o":{"n":42.0}}`)
		call.Params = params
		call.Header.Set("Mcp-Param-Repo", "sent")
		call.Header.Set("Mcp-Param-Unknown", "too")
		do(t, newPool(t, Config{}), call)
		got := fmt.Sprint(header.Get("Mcp-Param-Repo"), header.Get("Mcp-Param-N"), header.Get("Mcp-Param-Unknown"), header.Values("Mcp-Param-Absent"))
		want := map[mcp.Era]string{mcp.Legacy: mcp.EncodeHeaderValue("hä") + "42[]", mcp.Modern: "senttoo[]"}[era]
		if got != want {
			t.Errorf("%v: %s, want %s", era, got, want)
		}
	}
}

// mismatch refuses a call for its headers, before it is executed.
func mismatch(w http.ResponseWriter, status int, id string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"x"}}`, id)
}

func TestAServerThatComparesNamesRawGetsThemRaw(t *testing.T) {
	f := &fake{t: t}
	f.call = func(w http.ResponseWriter, r *http.Request, id string) {
		if name := r.Context().Value(bodyKey{}).(*mcp.Request).Name; r.Header.Get(mcp.HeaderName) != name {
			mismatch(w, 400, id)
			return
		}
		reply(w, ok(id))
	}
	server := versioned(listen(t, f), mcp.Version20260728)
	p := newPool(t, Config{})
	for _, name := range []string{"näme", "名前", "plain"} {
		if answer := do(t, p, callTo(t, server, mcp.Legacy, "1", name, `{}`)); answer.Outcome != outcomeOK {
			t.Errorf("%s: %s", name, show(answer))
		}
	}
	if n := f.calls.Load(); n != 4 {
		t.Errorf("%d requests, want 4: what was learnt is kept", n)
	}
	for _, name := range []string{" edge", "a\r\nInjected: 1"} {
		call := callTo(t, server, mcp.Legacy, "1", "x", `{}`)
		call.Target = name
		if answer := do(t, p, call); answer.Outcome != outcomeServerFailed {
			t.Errorf("%q went raw: %s", name, show(answer))
		}
	}
}

func TestAHeaderMismatchIsTriedOnceMoreOnlyWhereThatCanHelp(t *testing.T) {
	tests := []struct {
		name   string
		sent   string // Mcp-Param-A of the client; it is modern then
		status int
		want   int64
	}{
		{"the same again", "", 400, 1},
		{"other parameters", "stale", 400, 2},
		{"the same parameters", "fresh", 400, 1},
		{"after it may have run", "stale", 200, 1},
	}
	for _, test := range tests {
		f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { mismatch(w, test.status, id) }}
		server := versioned(listen(t, f), mcp.Version20260728)
		era := mcp.Legacy
		if test.sent != "" {
			era = mcp.Modern
		}
		call := callTo(t, server, era, "1", "echo", `{"a":"fresh"}`)
		call.Params = []mcp.Param{{Header: "Mcp-Param-A", Path: []string{"a"}}}
		if test.sent != "" {
			call.Header.Set("Mcp-Param-A", test.sent)
		}
		changed := 0
		answer := do(t, newPool(t, Config{Changed: func(string) { changed++ }}), call)
		wantFailure(t, answer, mcp.CodeBadServerAnswer, "headers of the request at odds")
		if n := f.calls.Load(); n != test.want || (changed == 1) != (test.status == 400) {
			t.Errorf("%s: %d requests, %d changes", test.name, n, changed)
		}
	}
}

func TestProgressNeverGoesBack(t *testing.T) {
	f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) {
		send := stream(w)
		for _, n := range []string{"0", "0.5", "0.5", "0.25", "1e0", `"x"`, "12345678901234567890", "12345678901234567891", "3"} {
			send(`data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + id + `,"progress":` + n + "}}\n\n")
		}
		send("data: " + ok(id) + "\n\ndata: " + `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + id + `,"progress":1e30}}` + "\n\n")
	}}
	for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
		body := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"t"}}}`
		var sink collector
		if _, err := newPool(t, Config{}).Do(t.Context(), callWith(t, versioned(listen(t, f), version), mcp.Legacy, "", body, "x"), &sink); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range sink.messages {
			got = append(got, string(rawMember(scan(t, []byte(m)).Params.Of([]byte(m)), "progress")))
		}
		if want := []string{"0", "0.5", "1e0", "12345678901234567890", "12345678901234567891"}; !slices.Equal(got, want) {
			t.Errorf("%s: progress %q, want %q", version, got, want)
		}
	}
}

func TestAServersOwnLimitsHold(t *testing.T) {
	release := make(chan struct{})
	f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) {
		select {
		case <-release:
			reply(w, ok(id))
		case <-r.Context().Done():
		}
	}}
	server := versioned(listen(t, f), mcp.Version20260728)
	server.CallTimeout, server.MaxInFlight = durationpb.New(300*time.Millisecond), 1
	p := newPool(t, Config{HeaderTimeout: 50 * time.Millisecond})
	first := callTo(t, server, mcp.Modern, "1", "echo", `{}`)
	done := make(chan *Answer, 1)
	go func() {
		answer, _ := p.Do(t.Context(), first, nil)
		done <- answer
	}()
	await(t, "the first call", func() bool { return f.calls.Load() == 1 })
	wantFailure(t, do(t, p, callTo(t, server, mcp.Modern, "1", "echo", `{}`)), mcp.CodeUnavailable, "as it may have (1)")
	wantFailure(t, <-done, mcp.CodeTimeout, "within 300ms")
	close(release)
}

func TestAServersOwnAuthoritiesAreTrustedAndNoOthers(t *testing.T) {
	f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
	secure := httptest.NewTLSServer(f)
	t.Cleanup(secure.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	for name, test := range map[string]struct {
		pem   []byte
		words string
	}{
		"own": {certificate, ""}, "none": {nil, "signed by an unknown authority"}, "garbage": {[]byte("x"), "certificates of authorities"},
	} {
		server := &snapshotv1.Server{Name: "github", Url: secure.URL, Private: true, ProtocolVersion: mcp.Version20260728, CaCertificates: test.pem}
		answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "echo", `{}`))
		if (answer.Outcome == outcomeOK) != (test.words == "") || !strings.Contains(answer.Error, test.words) {
			t.Errorf("%s: %s", name, show(answer))
		}
	}
}

func TestTheBreakerOpensAfterFiveFailuresAndProbesEverLaterOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		try := func(v verdict) bool {
			a, refused := b.admit()
			if refused == nil {
				a.settle(v)
			}
			return refused == nil
		}
		for range 4 {
			try(dead)
		}
		try(alive)
		for range 5 {
			if !try(dead) {
				t.Fatal("it opened too early")
			}
		}
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			time.Sleep(wait*time.Second - time.Millisecond)
			if try(dead) {
				t.Fatalf("a call was let through before %v s", int(wait))
			}
			time.Sleep(time.Millisecond)
			probe, refused := b.admit()
			if refused != nil {
				t.Fatalf("no probe after %d s", int(wait))
			}
			if try(alive) {
				t.Fatal("a second call was let through beside the probe")
			}
			probe.settle(dead)
		}
		time.Sleep(breakerLast)
		if !try(inconclusive) || !try(alive) || !try(dead) || !try(dead) {
			t.Error("it stays open although the server lives")
		}
	})
}

func TestADeadServerIsLeftAloneAndTheOthersAreNot(t *testing.T) {
	dead := &snapshotv1.Server{Name: "github", Url: "http://127.0.0.1:1/", Private: true, ProtocolVersion: mcp.Version20260728}
	f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
	good := versioned(listen(t, f), mcp.Version20260728)
	good.Name = "good"
	registry := prometheus.NewRegistry()
	p := newPool(t, Config{Registerer: registry})
	for range breakerFailures {
		wantFailure(t, do(t, p, callTo(t, dead, mcp.Modern, "1", "echo", `{}`)), mcp.CodeUnavailable, "refused the connection")
	}
	answer := do(t, p, callTo(t, dead, mcp.Modern, "1", "echo", `{}`))
	wantFailure(t, answer, mcp.CodeUnavailable, "is left alone; the next attempt is made at 20")
	if !strings.Contains(string(answer.Body), `"retryAfterMs":`) {
		t.Errorf("answer %s", answer.Body)
	}
	if answer := do(t, p, callTo(t, good, mcp.Modern, "1", "echo", `{}`)); answer.Outcome != outcomeOK {
		t.Errorf("%s", show(answer))
	}
	open := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "warder_upstream_breaker_open" {
				open[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if len(open) != 2 || open["github"] != 1 || open["good"] != 0 {
		t.Errorf("breakers: %v", open)
	}
}

func TestAServerThatAnswersWhateverItIsIsAlive(t *testing.T) {
	f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(500) }}
	server := versioned(listen(t, f), mcp.Version20260728)
	p := newPool(t, Config{})
	for range 2 * breakerFailures {
		wantFailure(t, do(t, p, callTo(t, server, mcp.Modern, "1", "echo", `{}`)), mcp.CodeBadServerAnswer, "HTTP status 500")
	}
}
