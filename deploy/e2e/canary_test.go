package e2e_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestT24NoKeyIsLeftAnywhere makes calls with keys in every good and bad way, and
// looks for the keys in all that is left: logs at their most talkative, audit,
// metrics, what the administration shows, answers, and each file of the data
// directory, the database's included. WARDER_CANARY_CALLS makes more of them.
func TestT24NoKeyIsLeftAnywhere(t *testing.T) {
	t.Parallel()
	calls := 500
	if n, err := strconv.Atoi(os.Getenv("WARDER_CANARY_CALLS")); err == nil {
		calls = n
	}
	a := startApart(t, "--log-level", "debug")
	server := startRaw(t, true, nil)
	serverAdd(t, a.gateway, "raw", server.url)
	admin(t, a.dataDir, "user", "create", "ana", "--role", "owner")
	canaries := map[string]string{}
	create := func(what string, flags ...string) string {
		made := admin(t, a.dataDir, append([]string{"key", "create", "--user", "ana", "--application", "ide"}, flags...)...)
		canaries[what] = made["key"].(string)
		return made["details"].(object)["id"].(string)
	}
	create("good")
	admin(t, a.dataDir, "key", "revoke", create("revoked"))
	old := create("rotated")
	canaries["successor"] = admin(t, a.dataDir, "key", "rotate", old, "--overlap", "0")["key"].(string)
	create("for no tool of it", "--server", "raw")
	good := strings.Split(canaries["good"], "_")
	canaries["wrong secret"] = strings.Join([]string{good[0], good[1], strings.ToUpper(good[2]), good[3]}, "_")
	canaries["unknown"] = "wdr_zzzzzzzzzzzz_" + strings.Repeat("Q7", 16) + "_abcdef"
	canaries["malformed"] = "wdr_" + strings.Repeat("MALFORMEDcanary", 3)
	eventually(t, "the node has the keys", func() bool { return may(t, a.mcp, canaries["successor"]) })

	var answers strings.Builder
	var order []string
	for what := range canaries {
		order = append(order, what)
	}
	for i := range calls {
		key := canaries[order[i%len(order)]]
		url, header := a.mcp, modernHeader("tools/call", "raw__read")
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"raw__read","arguments":{},` + modernMeta + `}}`
		switch i / len(order) % 6 {
		case 1:
			url += "?api_key=" + key
		case 2:
			header = append(header, "Authorization", "Bearer "+key)
		case 3:
			body = body[:len(body)-3] // not a message
		case 4:
			header = append(header, "X-Api-Key", key, "Cookie", "key="+key)
		case 5:
			url = strings.TrimSuffix(a.mcp, "/mcp") + "/mcp/" + key
		}
		status, answer, headers := send(t, url, key, body, header...)
		fmt.Fprintln(&answers, status, answer, headers)
	}
	server.mu.Lock()
	if len(server.got) < calls/len(order)/6 {
		t.Errorf("the server got %d calls: the good key was not used", len(server.got))
	}
	for _, got := range server.got {
		fmt.Fprintln(&answers, got.header, string(got.body))
	}
	server.mu.Unlock()

	left := map[string]string{"answers, and what the server got": answers.String()}
	for _, verb := range []string{"audit list --limit 1000", "audit changes", "key list", "user list", "node list", "deny list", "health"} {
		left["warder "+verb] = fmt.Sprint(command(t, a.dataDir, "", append(strings.Fields(verb), "-o", "json")...))
	}
	for _, path := range []string{"/metrics", "/debug/pprof/goroutine?debug=2", "/debug/vars"} {
		for what, base := range map[string]string{"node": strings.TrimSuffix(a.mcp, "/mcp"), "control plane": "http://" + a.adminListen} {
			left[what+path] = fetched(t, base+path)
		}
	}
	a.node.stop()
	a.control.stop()
	if err := a.database.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	left["log of the node"], left["log of the control plane"] = a.node.output.String(), a.control.output.String()
	if left["log of the node"] == "" || left["log of the control plane"] == "" {
		t.Error("a log is empty")
	}
	readFiles(t, a.root, left)
	for where, text := range left {
		for what, key := range canaries {
			if secret := secretOf(key); found(text, secret) {
				t.Errorf("the secret of the key %q is in %s", what, where)
			}
		}
	}
}

// secretOf returns the part of a key that nobody may see.
func secretOf(key string) string {
	if parts := strings.Split(key, "_"); len(parts) == 4 {
		return parts[2]
	}
	return strings.TrimPrefix(key, "wdr_")
}

func found(text, secret string) bool {
	return strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) ||
		strings.Contains(text, base64.RawStdEncoding.EncodeToString([]byte(secret))[:len(secret)])
}

func fetched(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// readFiles reads every file below a directory.
func readFiles(t *testing.T, root string, into map[string]string) {
	t.Helper()
	read := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		into[path], read = string(content), read+1
		return err
	})
	if err != nil || read < 100 {
		t.Fatalf("read %d files: %v", read, err)
	}
}
