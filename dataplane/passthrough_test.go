package dataplane

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/token/tokentest"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/porttest"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// tap keeps every byte that comes by its connections, before HTTP makes anything of
// them.
type tap struct {
	net.Listener
	mu   sync.Mutex
	seen bytes.Buffer
}

func (l *tap) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{conn, l}, nil
}

type tapped struct {
	net.Conn
	tap *tap
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.tap.seen.Write(p[:n])
	return n, err
}

// startTapped runs a server behind a tap.
func startTapped(t *testing.T, handler http.Handler) (*tap, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	l := &tap{Listener: server.Listener}
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return l, server.URL
}

// presented is one credential, and what of it nobody else may see.
type presented struct{ name, bearer, secret string }

// smuggled is one way to send a credential beside the way that it goes.
type smuggled struct {
	name string
	// do puts the credential into the request. %s in arguments, meta or id of the
	// message stands for it.
	do func(r *http.Request, credential string)
	// message is one of the eras, with PLACE where a place is; "" has none.
	place, value string
	// passes says that the call reaches the server all the same.
	passes bool
}

func header(name, format string) smuggled {
	return smuggled{name: name, passes: true, do: func(r *http.Request, c string) { r.Header.Set(name, fmt.Sprintf(format, c)) }}
}

// ways are all the places of a request that a client has been seen to put a
// credential in, or could.
func ways() []smuggled {
	all := []smuggled{{name: "nowhere else", passes: true}}
	for _, name := range []string{
		"X-Api-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "Proxy-Authorization", "X-Forwarded-Authorization", "X-Amzn-Oidc-Accesstoken",
		"Dpop", "X-Forwarded-For", "Forwarded", "Referer", "User-Agent", "Baggage", "Tracestate", "Traceparent", "X-Request-Id", "Last-Event-Id",
		"Mcp-Other", "Accept-Language", "X-Warder-User",
	} {
		all = append(all, header(name, "Bearer %s"))
	}
	all = append(all,
		header("Cookie", "warder=%s; token=%[1]s"), header("Traceparent", "00-%s-b7ad6b7169203331-01"),
		smuggled{name: "a trailer", passes: true, do: func(r *http.Request, c string) {
			r.Trailer = http.Header{"X-Api-Key": {c}}
			r.ContentLength = -1
		}},
		smuggled{name: "a parameter in a header", do: func(r *http.Request, c string) { r.Header.Set("Mcp-Param-Token", "Bearer "+c) }},
		smuggled{name: "a parameter in base64", do: func(r *http.Request, c string) {
			r.Header.Set("Mcp-Param-Token", "=?base64?"+base64.StdEncoding.EncodeToString([]byte("Bearer "+c))+"?=")
		}},
		smuggled{name: "the query", do: func(r *http.Request, c string) { r.URL.RawQuery = url.Values{"access_token": {c}}.Encode() }},
		smuggled{name: "an odd name in the query", do: func(r *http.Request, c string) { r.URL.RawQuery = url.Values{"x": {c}}.Encode() }},
		smuggled{name: "the path", do: func(r *http.Request, c string) { r.URL.Path = "/mcp/" + c }},
		smuggled{name: "a second Authorization", do: func(r *http.Request, c string) { r.Header.Add("Authorization", "Bearer "+c) }},
	)
	for place, value := range map[string]string{
		"arguments": `,"arguments":{"context":{"deep":["%s"]}}`, "a name of arguments": `,"arguments":{"%s":1}`, "_meta": `,"_meta":{"authorization":"Bearer %s"}`,
		"a member that nobody knows": `,"auth":"%s"`, "the progress token": `,"_meta":{"progressToken":"%s"}`,
		"the client's name": `,"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"%s","version":"1"}}`,
	} {
		all = append(all, smuggled{name: place, place: "PLACE", value: value})
	}
	return append(all, smuggled{name: "the id", place: `"id":1`, value: `"id":"%s"`})
}

const (
	toolCall   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"PLACE}}`
	clientMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}`
)

// P-18, T-15: whatever a client presents, and wherever it puts that, no server gets a
// byte of it: 10,000 calls with keys and tokens, to servers of both eras, which keep
// all that comes by their sockets.
func TestP18_NoCredentialOfAClientReachesAServer(t *testing.T) {
	const calls = 10_000
	answer := func(modern bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveTapped(w, r, modern) })
	}
	modernTap, modernURL := startTapped(t, answer(true))
	legacyTap, legacyURL := startTapped(t, answer(false))

	w := gatetest.New(t)
	for slug, at := range map[string][2]string{"modern": {modernURL, "2026-07-28"}, "legacy": {legacyURL, "2025-11-25"}} {
		w.Server(slug, "get")
		for _, item := range w.Items {
			if server := item.GetServer(); server.GetName() == slug {
				server.Url, server.ProtocolVersion = at[0], at[1]
				server.Headers = []*snapshotv1.Header{{Name: "Authorization", Value: "Bearer of-" + slug}}
			}
		}
	}
	w.Role("dev")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	idp, listen := tokentest.New(t), porttest.Free(t)
	item := idp.Item("corp")
	item.Audiences, item.UserPrefix = []string{"urn:warder"}, ""
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Issuer{Issuer: item}})
	ca := newAuthority(t)
	cp := startControlPlane(t, ca, identity.ServerName, w.Set(1))
	p := startProcess(t, Config{DataDir: t.TempDir(), Listen: listen, ControlPlane: cp.address, Identity: ca.node("node-1")})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })

	credentials, sessions := []presented{{"an API key", key.String(), key.Secret}}, map[string]string{}
	for _, kid := range []string{"ec", "rsa", "ed"} {
		token := idp.Token(kid, idp.Claims("urn:warder"))
		credentials = append(credentials, presented{"a token " + kid, token, token[strings.LastIndex(token, ".")+1:]})
	}
	for _, c := range credentials {
		if status, _ := p.opened(t, c.bearer, c.bearer); status != http.StatusBadRequest {
			t.Errorf("a client by the name of %s opens a session: %d", c.name, status)
		}
		if _, sessions[c.bearer] = p.opened(t, c.bearer, "c"); sessions[c.bearer] == "" {
			t.Fatalf("%s opens no session", c.name)
		}
	}
	all, made := ways(), 0
	for made < calls {
		for _, way := range all {
			for _, c := range credentials {
				for _, session := range []string{"", sessions[c.bearer]} { // of the modern era and of the legacy ones
					slug := []string{"modern", "legacy"}[made/2%2]
					status, body := p.smuggle(t, c.bearer, session, slug, &way)
					if reached := strings.Contains(body, `"reached"`); reached != way.passes {
						t.Errorf("%s with %s, modern %v, to %s: %d %s; should reach the server: %v", way.name, c.name, session == "", slug, status, body, way.passes)
					}
					made++
				}
			}
		}
		if t.Failed() {
			break
		}
	}
	for name, l := range map[string]*tap{"modern": modernTap, "legacy": legacyTap} {
		l.mu.Lock()
		if !bytes.Contains(l.seen.Bytes(), []byte("Bearer of-"+name)) || bytes.Count(l.seen.Bytes(), []byte(`"tools/call"`)) < calls/4 {
			t.Errorf("the %s server was hardly called; the test proves nothing", name)
		}
		for _, c := range credentials {
			for form, text := range map[string]string{
				"plain": c.secret, "hex": hex.EncodeToString([]byte(c.secret)), "base64": base64.RawStdEncoding.EncodeToString([]byte(c.secret))[:len(c.secret)],
				"in part": c.secret[len(c.secret)-20:],
			} {
				if at := bytes.Index(l.seen.Bytes(), []byte(text)); at >= 0 {
					t.Errorf("the %s server got %s, %s: …%s…", name, c.name, form, l.seen.Bytes()[max(0, at-300):at])
				}
			}
		}
		l.mu.Unlock()
	}
}

// serveTapped answers as a server of an era does.
func serveTapped(w http.ResponseWriter, r *http.Request, modern bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, rest, _ := bytes.Cut(body, []byte(`"id":`))
	id, _, _ := bytes.Cut(rest, []byte(","))
	result := `{"content":[],"reached":true}`
	switch {
	case bytes.Contains(body, []byte(`"notifications/`)):
		w.WriteHeader(http.StatusAccepted)
		return
	case modern:
		result = `{"resultType":"complete","content":[],"reached":true}`
	case bytes.Contains(body, []byte(`"initialize"`)):
		w.Header().Set("Mcp-Session-Id", "s")
		result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"l","version":"1"}}`
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, bytes.TrimRight(id, "}"), result)
}

// opened returns the session of a legacy client with this credential.
func (p *process) opened(t *testing.T, bearer, client string) (status int, session string) {
	t.Helper()
	message := strings.Replace(initializeMessage, `"capabilities"`, `"clientInfo":{"name":"`+client+`","version":"1"},"capabilities"`, 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/mcp", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode, response.Header.Get("Mcp-Session-Id")
}

// smuggle calls a tool with a credential, and puts that where the way says, too.
func (p *process) smuggle(t *testing.T, bearer, session, slug string, way *smuggled) (status int, answer string) {
	t.Helper()
	message, modern := fmt.Sprintf(toolCall, slug+"__get"), session == ""
	value := strings.ReplaceAll(way.value, "%s", bearer)
	if way.place != "PLACE" && way.place != "" {
		message = strings.Replace(message, way.place, value, 1)
		value = ""
	}
	if modern {
		meta := `,"_meta":{` + clientMeta + `}`
		if own, found := strings.CutPrefix(value, `,"_meta":{`); found {
			meta, value = `,"_meta":{`+clientMeta+`,`+own, ""
			if strings.HasPrefix(own, `"io.modelcontextprotocol/clientInfo"`) {
				meta = strings.Replace(meta, `"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},`, "", 1)
			}
		}
		value += meta
	}
	message = strings.Replace(message, "PLACE", value, 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/mcp", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if modern {
		r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		r.Header.Set("Mcp-Method", "tools/call")
		r.Header.Set("Mcp-Name", slug+"__get")
	} else {
		r.Header.Set("Mcp-Session-Id", session)
	}
	if way.do != nil {
		way.do(r, bearer)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
