package upstream

import (
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// TestTheClientLearnsWhoAsks holds each pair of eras to the bytes that the client gets; the sink names a legacy server to a
// legacy client.
func TestTheClientLearnsWhoAsks(t *testing.T) {
	for asker, message := range map[string]string{"": "name?", "gh": "gh: name?"} {
		named := `{"message":"` + message + `","n":1.10}`
		p := newPool(t, Config{})

		_, modern := inputs(t, askForm+stateOne)
		call := askingCall(t, modern, mcp.Modern)
		call.Asker = asker
		wantAnswer(t, do(t, p, call), `{"jsonrpc":"2.0","id":"mine","result":{"resultType":"input_required","inputRequests":{"k 1":`+
			`{"method":"elicitation/create","params":`+named+`}},"requestState":"inner=\"one\\u002f\" parked="}}`)

		_, modern = inputs(t, askForm)
		call = askingCall(t, modern, mcp.Legacy)
		call.Asker = asker
		sink := &collector{ask: func(string, string) (string, *mcp.Error) { return accepted, nil }}
		if _, err := p.Do(t.Context(), call, sink); err != nil || strings.Join(sink.asked, "\n") != "elicitation/create "+named {
			t.Errorf("%v, a legacy client was asked %q", err, sink.asked)
		}

		_, legacy := newAsker(t, mcp.Version20251125, elicits)
		call = askingCall(t, legacy, mcp.Modern)
		call.Asker = asker
		answer := do(t, p, call)
		name, _ := parkedIn(t, answer)
		want := `:{"method":"elicitation/create","params":` + named + `}`
		if !strings.Contains(string(answer.Body), want) {
			t.Errorf("answer %s, want %s", answer.Body, want)
		}
		call = comeBack(t, legacy, name, `{}`)
		call.Asker = asker
		if answer = do(t, p, call); !strings.Contains(string(answer.Body), want) {
			t.Errorf("asked again: %s, want %s", answer.Body, want)
		}

		legacyAsker, legacy := newAsker(t, mcp.Version20251125, elicits)
		call = askingCall(t, legacy, mcp.Legacy)
		call.Asker = asker
		sink = &collector{relay: func(SessionRef, string, string) { legacyAsker.answers <- "" }}
		if _, err := p.Do(t.Context(), call, sink); err != nil || len(sink.relayed) != 1 || sink.relayed[0] != elicits {
			t.Errorf("%v, relayed %q", err, sink.relayed)
		}
		sink.relaying.Wait()
	}
}

func TestAClientThatCannotBeSentToAURLLearnsWhoAsks(t *testing.T) {
	for version, want := range map[string]string{
		mcp.Version20251125: `"message":"gh: sign in"`, mcp.Version20250618: `"text":"gh: sign in\n`,
	} {
		_, server := inputs(t, askURL)
		call := askingCall(t, server, mcp.Legacy)
		call.Capabilities, call.ClientVersion, call.Asker = mcp.CapElicitForm, version, "gh"
		answer, err := newPool(t, Config{}).Do(t.Context(), call, &collector{})
		if err != nil || !strings.Contains(string(answer.Body), want) {
			t.Errorf("%s: %v, %s", version, err, show(answer))
		}
	}
}
