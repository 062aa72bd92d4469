package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// browser speaks the Connect API as a page does: JSON over HTTP, with a cookie.
type browser struct {
	base   string
	host   string // of the Host header; empty: base's
	cookie *http.Cookie
}

// ask calls a procedure and returns status, answer and the session's cookie if it was
// set; that of the device is left out.
func (b *browser) ask(t *testing.T, procedure string, message any, header ...string) (int, object, *http.Cookie) {
	t.Helper()
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.base+"/warder.admin.v1."+procedure, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = b.host
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer object
	if json.Unmarshal(data, &answer) != nil {
		answer = object{"text": string(data)}
	}
	var cookie *http.Cookie
	for _, set := range response.Cookies() {
		if !strings.HasSuffix(set.Name, "-device") {
			cookie = set
		}
	}
	return response.StatusCode, answer, cookie
}

const password = "correct horse battery"

// TestTheFirstAdministratorIsMadeWithTheToken goes through the first minutes of a
// person at the dashboard, over the port that a browser uses.
func TestTheFirstAdministratorIsMadeWithTheToken(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	b := &browser{base: strings.TrimSuffix(g.mcp, "/mcp")}
	token := up.waitFor(t, "/setup#t=")
	setUp := object{"token": token, "name": "root", "password": password}

	if status, answer, _ := b.ask(t, "ServerService/ListServers", object{}); status != http.StatusUnauthorized {
		t.Errorf("a stranger gets %d %v", status, answer)
	}
	if status, answer, _ := b.ask(t, "LoginService/SetUp", object{"token": token + "x", "name": "root", "password": password}); status != http.StatusForbidden {
		t.Errorf("a wrong token gets %d %v", status, answer)
	}
	if status, answer, _ := b.ask(t, "LoginService/SetUp", setUp, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("another site gets %d %v", status, answer)
	}
	status, answer, cookie := b.ask(t, "LoginService/SetUp", setUp)
	if status != http.StatusOK || cookie == nil {
		t.Fatalf("the token gets %d %v", status, answer)
	}
	b.cookie = cookie
	if status, answer, _ := b.ask(t, "LoginService/WhoAmI", object{}); status != http.StatusOK || answer["name"] != "root" {
		t.Errorf("signed in as %d %v", status, answer)
	}
	if status, answer, _ := b.ask(t, "LoginService/SetUp", object{"token": token, "name": "eve", "password": password}); status == http.StatusOK {
		t.Errorf("the token works twice: %v", answer)
	}
	eventually(t, "the file of the token is gone", func() bool {
		_, err := os.Stat(filepath.Join(g.dataDir, "setup-token"))
		return os.IsNotExist(err)
	})
	if answer, _ := json.Marshal(admin(t, g.dataDir, "audit", "changes")); !strings.Contains(string(answer), "user.set_up") || strings.Contains(string(answer), token) {
		t.Errorf("the record of changes is %s", answer)
	}
}

func TestPeopleSignInWithAPassword(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	r := command(t, g.dataDir, password+"\n", "user", "create", "bob", "--role", "viewer", "--password-stdin")
	if r.code != 0 {
		t.Fatalf("create bob: %s", r.stderr)
	}
	b := &browser{base: strings.TrimSuffix(g.mcp, "/mcp")}
	for _, wrong := range []object{{"name": "bob", "password": "wrong"}, {"name": "nobody", "password": password}} {
		status, answer, cookie := b.ask(t, "LoginService/SignIn", wrong)
		if status != http.StatusUnauthorized || cookie != nil || answer["message"] != "name or password is wrong" {
			t.Errorf("%v gets %d %v", wrong, status, answer)
		}
	}
	status, answer, cookie := b.ask(t, "LoginService/SignIn", object{"name": "bob", "password": password})
	if status != http.StatusOK || cookie == nil {
		t.Fatalf("the password gets %d %v", status, answer)
	}
	if cookie.Name != "warder" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" || cookie.Secure {
		t.Errorf("the cookie of loopback is %v", cookie)
	}
	b.cookie = cookie
	if status, answer, _ := b.ask(t, "ServerService/ListServers", object{}); status != http.StatusOK {
		t.Errorf("a viewer who lists gets %d %v", status, answer)
	}
	if status, answer, _ := b.ask(t, "RoleService/CreateRole", object{"name": "mine"}); status != http.StatusForbidden {
		t.Errorf("a viewer who changes gets %d %v", status, answer)
	}
	for name, header := range map[string][]string{
		"another origin": {"Origin", "https://evil.example"},
		"a form":         {"Content-Type", "text/plain"},
	} {
		if status, answer, _ := b.ask(t, "ServerService/ListServers", object{}, header...); status != http.StatusForbidden && status != http.StatusUnsupportedMediaType {
			t.Errorf("%s gets %d %v", name, status, answer)
		}
	}
	rebound := &browser{base: b.base, host: "evil.example", cookie: cookie}
	if status, answer, _ := rebound.ask(t, "ServerService/ListServers", object{}); status != http.StatusMisdirectedRequest {
		t.Errorf("another Host gets %d %v", status, answer)
	}
	if status, answer, gone := b.ask(t, "LoginService/SignOut", object{}); status != http.StatusOK || gone == nil || gone.MaxAge >= 0 {
		t.Errorf("signing out gets %d %v %v", status, answer, gone)
	}
	if status, answer, _ := b.ask(t, "ServerService/ListServers", object{}); status != http.StatusUnauthorized {
		t.Errorf("the cookie after signing out gets %d %v", status, answer)
	}
}

// TestBehindAProxyWithTLSPeopleSignIn plays the proxy that ends TLS: it names the
// public host and speaks plain HTTP.
func TestBehindAProxyWithTLSPeopleSignIn(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t, "--behind-proxy", "--allowed-host", "warder.example")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	command(t, g.dataDir, password, "user", "create", "bob", "--role", "viewer", "--password-stdin")
	b := &browser{base: strings.TrimSuffix(g.mcp, "/mcp"), host: "warder.example"}
	status, answer, cookie := b.ask(t, "LoginService/SignIn", object{"name": "bob", "password": password})
	if status != http.StatusOK || cookie == nil || cookie.Name != "__Host-warder" || !cookie.Secure || !cookie.HttpOnly {
		t.Errorf("the password gets %d %v, cookie %v", status, answer, cookie)
	}
	w := &world{gateway: g}
	if status, body, _ := post(t, g.mcp, w.key(t, "proxied"), `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Host", "warder.example"); status != http.StatusOK {
		t.Errorf("a client by the public name gets %d %s", status, body)
	}
}

// TestTheSocketIsItsOwnersAlone holds that nobody else administers through it: by
// the mode of the file, and where somebody loosens that, by who calls.
func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	socket := filepath.Join(g.dataDir, "warder.sock")
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%s is %v, %v", socket, info.Mode(), err)
	}
	if os.Geteuid() != 0 {
		return // Only root can call as somebody else.
	}
	readable := filepath.Join(scratch(t), "warder")
	copyProgram(t, readable)
	stranger := func() (int, string) {
		cmd := exec.CommandContext(t.Context(), readable, "server", "list", "--data-dir", g.dataDir)
		cmd.Dir, cmd.Env = "/", []string{"HOME=/nonexistent"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, _ := cmd.CombinedOutput() // The exit code says it.
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := stranger(); code != 5 || !strings.Contains(out, "belongs to another user") {
		t.Errorf("another user: exit %d, %s", code, out)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if code, out := stranger(); code == 0 {
		t.Errorf("another user, with the file open to all: exit %d, %s", code, out)
	}
	if m := admin(t, g.dataDir, "server", "list"); m["servers"] == nil {
		t.Errorf("the owner gets %v", m)
	}
}

// copyProgram puts the binary where others may run it.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestT25_CredentialsAreGoodAtTheirOwnDoorOnly: 'warder up' has both doors on one
// port, so that a browser sends its session to both. A session opens nothing for
// MCP, and a key nothing in the administration, however they are presented.
func TestT25_CredentialsAreGoodAtTheirOwnDoorOnly(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	b := &browser{base: strings.TrimSuffix(g.mcp, "/mcp")}
	token := up.waitFor(t, "/setup#t=")
	status, answer, session := b.ask(t, "LoginService/SetUp", object{"token": token, "name": "root", "password": password})
	if status != http.StatusOK || session == nil {
		t.Fatalf("set up: %d %v", status, answer)
	}
	made := admin(t, g.dataDir, "key", "create", "--user", "root", "--application", "ide")
	key, id := made["key"].(string), made["details"].(object)["id"].(string)
	const list = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	eventually(t, "the key is good for MCP", func() bool {
		status, _, _ := send(t, g.mcp, key, list)
		return status == http.StatusOK
	})
	b.cookie = session
	if status, answer, _ := b.ask(t, "LoginService/WhoAmI", object{}); status != http.StatusOK {
		t.Fatalf("the session is good for nothing: %d %v", status, answer)
	}

	for name, header := range map[string][2]string{
		"the session's cookie":    {"Cookie", session.Name + "=" + session.Value},
		"the session as a bearer": {"Authorization", "Bearer " + session.Value},
		"the setup token":         {"Authorization", "Bearer " + token},
		"name and password":       {"Authorization", "Basic cm9vdDpjb3JyZWN0IGhvcnNlIGJhdHRlcnk="},
		"the id of a key":         {"Authorization", "Bearer " + id},
		"a key in a cookie":       {"Cookie", session.Name + "=" + key},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			r, err := http.NewRequestWithContext(t.Context(), method, g.mcp, strings.NewReader(list))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json, text/event-stream")
			r.Header.Set(header[0], header[1])
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s of %s to /mcp: %d", method, name, response.StatusCode)
			}
		}
	}
	b.cookie = nil
	for name, header := range map[string][]string{
		"a key as a bearer": {"Authorization", "Bearer " + key}, "a key in a cookie": {"Cookie", session.Name + "=" + key}, "a key in a header": {"X-Api-Key", key},
	} {
		for _, procedure := range []string{"LoginService/WhoAmI", "KeyService/ListKeys", "UserService/ListUsers"} {
			if status, answer, _ := b.ask(t, procedure, object{}, header...); status != http.StatusUnauthorized {
				t.Errorf("%s at %s: %d %v", name, procedure, status, answer)
			}
		}
	}
}
