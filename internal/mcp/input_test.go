package mcp_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

func eachInput(t *testing.T, body string) ([]mcp.Input, error) {
	t.Helper()
	var inputs []mcp.Input
	err := mcp.EachInput([]byte(body), scanAnswer(t, body).InputRequests, func(in mcp.Input) error {
		inputs = append(inputs, in)
		return nil
	})
	return inputs, err
}

func TestInputs(t *testing.T) {
	const body = `{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"a\"\u00e4":{"method":"elicitation/create","params":{ "n":1.0}},"b":{"method":"roots/list"}},"requestState":"s\n","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"w"}}}}`
	want := []mcp.Input{
		{Key: `a"ä`, Method: mcp.MethodElicit, Params: []byte(`{ "n":1.0}`)},
		{Key: "b", Method: mcp.MethodRootsList},
	}
	got, err := eachInput(t, body)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("EachInput: %v\n%s", err, diff)
	}
	const again = `{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"a\"ä":{"method":"elicitation/create","params":{ "n":1.0}},"b":{"method":"roots/list","params":{}}},"requestState":"s\n","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"w"}}}}`
	if written := string(mcp.WriteInputRequired(nil, []byte("7"), got, "s\n", []byte(`{"name":"w"}`))); written != again {
		t.Errorf("WriteInputRequired = %s", written)
	}
	const bare = `{"jsonrpc":"2.0","id":"x","result":{"resultType":"input_required","requestState":"s"}}`
	if written := string(mcp.WriteInputRequired(nil, []byte(`"x"`), nil, "s", nil)); written != bare {
		t.Errorf("WriteInputRequired with the state alone = %s", written)
	}
	if inputs, err := eachInput(t, bare); inputs != nil || err != nil {
		t.Errorf("EachInput of none = %v, %v", inputs, err)
	}
	stop := errors.New("stop")
	if err := mcp.EachInput([]byte(body), scanAnswer(t, body).InputRequests, func(mcp.Input) error { return stop }); err != stop {
		t.Errorf("EachInput = %v, want the error of yield", err)
	}
}

func TestT34_StrictInputs(t *testing.T) {
	for name, inputs := range map[string]string{
		"no object":              `{"k":7}`,
		"no method":              `{"k":{"params":{}}}`,
		"empty method":           `{"k":{"method":""}}`,
		"method as a number":     `{"k":{"method":1}}`,
		"params as a list":       `{"k":{"method":"roots/list","params":[]}}`,
		"method in another case": `{"k":{"method":"roots/list","Method":"elicitation/create"}}`,
		"method escaped":         `{"k":{"m\u0065thod":"roots/list"}}`,
		"mode in another case":   `{"k":{"method":"elicitation/create","params":{"Mode":"url"}}}`,
		"mode escaped":           `{"k":{"method":"elicitation/create","params":{"mod\u0065":"url"}}}`,
		"message in other cases": `{"k":{"method":"elicitation/create","params":{"message":"x","MeſSage":"y"}}}`,
		"message in capitals":    `{"k":{"method":"elicitation/create","params":{"Message":"x"}}}`,
		"message escaped":        `{"k":{"method":"elicitation/create","params":{"m\u0065ssage":"y"}}}`,
	} {
		inputs, err := eachInput(t, result("7", `{"resultType":"input_required","inputRequests":`+inputs+`}`))
		if _, ok := errors.AsType[*mcp.Error](err); !ok || len(inputs) > 0 {
			t.Errorf("%s: EachInput = %v, %v, want an *Error", name, inputs, err)
		}
	}
}

func TestT34_AMessageForAPersonIsThereOnce(t *testing.T) {
	for _, params := range []string{`{"message":"x","message":"y"}`, `{"message":"x","m\u0065ssage":"y"}`} {
		for _, body := range []string{
			result("7", `{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":`+params+`}}}`),
			`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":` + params + `}`,
		} {
			if err := mcp.ScanResponse([]byte(body), mcp.Limits{}, new(mcp.Response)); err == nil {
				t.Errorf("ScanResponse(%s) accepts it", body)
			}
		}
	}
}

func TestURLMode(t *testing.T) {
	for params, want := range map[string]bool{
		`{"mode":"url"}`: true, `{"m\u006fde":"\u0075rl","url":"https://a"}`: true,
		``: false, `{}`: false, `{"mode":"form"}`: false, `{"mode":7}`: false, `{"url":"https://a"}`: false, `{"mode":"url","mode":"form"}`: false, `{"x":{"mode":"url"}}`: false,
	} {
		if got := mcp.URLMode([]byte(params)); got != want {
			t.Errorf("URLMode(%s) = %v, want %v", params, got, want)
		}
	}
}

func TestAnsweredMethodsAreAllThatAnAnswerMayBeTakenFor(t *testing.T) {
	for response, want := range map[string][]string{
		`{"action":"accept","content":{"a":1}}`:                                 {mcp.MethodElicit},
		`{"action":"decline"}`:                                                  {mcp.MethodElicit},
		`{"role":"assistant","content":{"type":"text","text":"x"},"model":"m"}`: {mcp.MethodCreateMessage},
		`{"content":{"type":"text","text":"x"}}`:                                {mcp.MethodCreateMessage},
		`{"roots":[]}`:                                                          {mcp.MethodRootsList},
		`{"acti\u006fn":"accept","role":"user","roots":[]}`:                     {mcp.MethodElicit, mcp.MethodCreateMessage, mcp.MethodRootsList},
		`{}`: nil, `12345`: nil, `null`: nil, `"action"`: nil, `["action"]`: nil, `{"Action":"accept"}`: nil,
	} {
		if got := mcp.AnsweredMethods([]byte(response)); !slices.Equal(got, want) {
			t.Errorf("%s may be an answer to %v, want %v", response, got, want)
		}
	}
}
