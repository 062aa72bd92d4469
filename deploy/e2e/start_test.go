package e2e_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpOnTheDatabaseOfAnotherInstallationWritesNothing holds that 'warder up' with
// an empty data directory refuses a database that was set up with another one,
// before it leaves a key there that looks like the right one.
func TestUpOnTheDatabaseOfAnotherInstallationWritesNothing(t *testing.T) {
	t.Parallel()
	root := scratch(t)
	a := &apart{root: root}
	a.startDatabase(t)
	t.Cleanup(func() { _ = a.database.Stop(context.Background()) })
	url := "WARDER_DATABASE_URL=" + a.database.OwnerDSN

	first := filepath.Join(root, "first")
	up := start(t, root, []string{url}, binary, "up", "--data-dir", first, "--listen", "127.0.0.1:0")
	up.waitFor(t, "Ctrl-C stops everything")
	up.stop()

	second := filepath.Join(root, "second")
	for range 2 { // What the first try left behind must not make the second one another.
		up = start(t, root, []string{url}, binary, "up", "--data-dir", second, "--listen", "127.0.0.1:0", "-o", "json")
		<-up.done
		if text := up.output.String(); up.cmd.ProcessState.ExitCode() != 10 || !strings.Contains(text, "WARDER-KEK-001") ||
			!strings.Contains(text, filepath.Join(second, "kek")) || !strings.Contains(text, "restore that file") {
			t.Errorf("exit %d, %s", up.cmd.ProcessState.ExitCode(), text)
		}
		if _, err := os.Stat(second); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the data directory: %v", err)
		}
	}

	up = start(t, root, []string{url}, binary, "up", "--data-dir", first, "--listen", "127.0.0.1:0")
	up.waitFor(t, "Ctrl-C stops everything")
}

// TestPathsBesideTheDoorsAreAnsweredWithAdvice holds that a program which missed its
// path is not told 200 with the dashboard's page, and that metrics are not for every
// name that points here.
func TestPathsBesideTheDoorsAreAnsweredWithAdvice(t *testing.T) {
	t.Parallel()
	g, up := startUp(t, "--metrics-listen", "127.0.0.1:0")
	plain, _ := startUp(t)
	base := strings.TrimSuffix(g.mcp, "/mcp")
	for path, advice := range map[string]string{
		"/mcpx": "/mcp/SERVER", "/MCP": "/mcp", "/mcp.json": "/mcp", "/sse": "/mcp", "/messages/1": "/mcp",
		"/api": "/warder.admin.v1.", "/api/v1/servers": "/warder.admin.v1.", "/warder.nonsense/X": "/warder.admin.v1.",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			status, body := ask(t, method, base+path, "")
			if status != http.StatusNotFound || !strings.Contains(body, advice) || strings.Contains(body, "<html") {
				t.Errorf("%s %s: %d %.200s", method, path, status, body)
			}
		}
	}
	metadata := base + "/.well-known/oauth-protected-resource/mcp"
	if status, body := ask(t, http.MethodGet, metadata, ""); status != http.StatusNotFound || !strings.Contains(body, "API key") {
		t.Errorf("the metadata of a gateway without issuers: %d %.200s", status, body)
	}
	if status, body := ask(t, http.MethodPost, metadata, ""); status != http.StatusMethodNotAllowed || body != "" {
		t.Errorf("metadata is posted to: %d %.200s", status, body)
	}
	for _, path := range []string{"/", "/servers", "/setup"} {
		if status, body := ask(t, http.MethodGet, base+path, ""); status != http.StatusOK || !strings.Contains(body, "<html") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	if status, body := ask(t, http.MethodGet, base+"/mcp", ""); status == http.StatusNotFound || strings.Contains(body, "<html") {
		t.Errorf("/mcp itself: %d %s", status, body)
	}

	shared := strings.TrimSuffix(plain.mcp, "/mcp") + "/metrics"
	apart := strings.Fields(up.waitFor(t, "  Metrics "))[0]
	for url, want := range map[string]int{shared: http.StatusOK, apart: http.StatusOK, base + "/metrics": http.StatusNotFound} {
		status, body := ask(t, http.MethodGet, url, "")
		if metrics := strings.Contains(body, "warder_build_info"); status != want || metrics != (url != base+"/metrics") {
			t.Errorf("%s: %d, metrics %t", url, status, metrics)
		}
	}
	if status, body := ask(t, http.MethodGet, shared, "evil.example"); status != http.StatusMisdirectedRequest || strings.Contains(body, "warder_build_info") {
		t.Errorf("metrics under a foreign name: %d %.200s", status, body)
	}
}

// ask makes a request, under another name if one is given.
func ask(t *testing.T, method, url, host string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
