package upstream

import (
	"net/http"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	visit      = `{"mode":"url","elicitationId":"e1","url":"https://a.example/","message":"sign in","n":1.10}`
	visitFirst = `"error":{"code":-32042,"message":"first visit","data":{"elicitations":[` + visit + `]}}`
)

// An error that sends the client to a URL is elicitation by another way: the policy is asked about it, a refusal is a plain
// error without the address, and on the aggregate it says which server asks. A client whose version has no such error gets
// none, and no address either.
func TestAnErrorThatSendsToAURLGoesByPolicy(t *testing.T) {
	denied := func(method string, params []byte) *mcp.Error {
		if method != mcp.MethodElicit || !mcp.URLMode(params) {
			t.Errorf("asked about %s %s", method, params)
		}
		return &mcp.Error{Code: mcp.CodeDenied, Text: "no", Offset: -1}
	}
	for name, test := range map[string]struct {
		says       string
		era        mcp.Era
		version    string
		asker      string
		permit     Permit
		code       int
		has, lacks string
	}{
		"permitted, one server":    {visitFirst, mcp.Legacy, mcp.Version20251125, "", permitAll, -32042, visitFirst, "github"},
		"permitted, the aggregate": {visitFirst, mcp.Legacy, mcp.Version20251125, "github", permitAll, -32042, strings.Replace(visit, "sign in", "github: sign in", 1), "first visit"},
		"denied":                   {visitFirst, mcp.Legacy, mcp.Version20251125, "", denied, mcp.CodeDenied, "", "a.example"},
		"nobody to decide":         {visitFirst, mcp.Legacy, mcp.Version20251125, "", nil, mcp.CodeDenied, "", "a.example"},
		"an older client":          {visitFirst, mcp.Legacy, mcp.Version20250618, "", permitAll, mcp.CodeInternal, "visit an address first", "a.example"},
		"a modern client":          {visitFirst, mcp.Modern, mcp.Version20260728, "", permitAll, mcp.CodeInternal, "visit an address first", "a.example"},
		"a form":                   {strings.Replace(visitFirst, `"url"`, `"form"`, 1), mcp.Legacy, mcp.Version20251125, "", permitAll, mcp.CodeBadServerAnswer, "", "a.example"},
		"no data":                  {`"error":{"code":-32042,"message":"https://a.example/"}`, mcp.Legacy, mcp.Version20251125, "", permitAll, mcp.CodeBadServerAnswer, "", "a.example"},
		"too many": {strings.Replace(visitFirst, visit, visit+strings.Repeat(","+visit, maxAway), 1), mcp.Legacy, mcp.Version20251125, "", permitAll,
			mcp.CodeBadServerAnswer, "", "a.example"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) {
				reply(w, `{"jsonrpc":"2.0","id":`+id+`,`+test.says+`}`)
			}}
			call := askingCall(t, versioned(listen(t, f), mcp.Version20251125), test.era)
			call.ClientVersion, call.Asker, call.Permit = test.version, test.asker, test.permit
			answer := do(t, newPool(t, Config{}), call)
			body := string(answer.Body)
			if got := scan(t, answer.Body); got.ErrorCode != test.code || string(got.ID.Of(answer.Body)) != `"mine"` ||
				!strings.Contains(body, test.has) || strings.Contains(body, test.lacks) {
				t.Errorf("%s; want %d with %q and without %q", show(answer), test.code, test.has, test.lacks)
			}
		})
	}
}

// A modern server's wish for a visit, told to a client that cannot be asked, is a matter of policy like any other.
func TestAVisitThatIsDeniedIsNotToldInOtherWords(t *testing.T) {
	for _, version := range []string{mcp.Version20251125, mcp.Version20250618} {
		_, server := inputs(t, askURL)
		call := askingCall(t, server, mcp.Legacy)
		call.Capabilities, call.ClientVersion = mcp.CapElicitForm, version
		call.Permit = func(string, []byte) *mcp.Error { return &mcp.Error{Code: mcp.CodeDenied, Text: "no", Offset: -1} }
		if answer := do(t, newPool(t, Config{}), call); scan(t, answer.Body).ErrorCode != mcp.CodeDenied || strings.Contains(string(answer.Body), "a.example") {
			t.Errorf("%s: %s", version, show(answer))
		}
	}
}
