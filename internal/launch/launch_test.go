package launch

import (
	"strings"
	"testing"
)

func TestCommandsThatFetchWhateverIsNewestAreFound(t *testing.T) {
	const digest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	const commit = "0123456789012345678901234567890123456789"
	for command, want := range map[string]string{
		"npx -y @modelcontextprotocol/server-filesystem /notes":               "@modelcontextprotocol/server-filesystem",
		"npx -y @modelcontextprotocol/server-filesystem@latest /notes":        "@modelcontextprotocol/server-filesystem@latest",
		"npx -y @modelcontextprotocol/server-filesystem@2026 /notes":          "@modelcontextprotocol/server-filesystem@2026",
		"npx -y @modelcontextprotocol/server-filesystem@^2026.8.31":           "@modelcontextprotocol/server-filesystem@^2026.8.31",
		"npx -y @modelcontextprotocol/server-filesystem@2026.8.31 x@latest":   "",
		"npx --package=server@1.2.3 --package other serve":                    "other",
		"npx -p server@1.2.3 serve":                                           "",
		"npx --registry https://npm.corp server":                              "server",
		"npx -y -- server":                                                    "server",
		"npx ./server":                                                        "",
		"npx github:ana/server":                                               "github:ana/server",
		"npx github:ana/server#" + commit:                                     "",
		`C:\Program^Files\nodejs\npx.cmd -y server`:                           "server",
		"npm exec -y server":                                                  "server",
		"npm start server":                                                    "",
		"pnpm dlx server@1.2.3-beta.1":                                        "",
		"bun x server":                                                        "server",
		"uvx mcp-server-git":                                                  "mcp-server-git",
		"uvx mcp-server-git@latest --repository x":                            "mcp-server-git@latest",
		"uvx mcp-server-git==1.2 --repository x":                              "",
		"uvx mcp-server-git@2025.1.14":                                        "",
		"uvx mcp-server-git>=1.2":                                             "mcp-server-git>=1.2",
		"uvx --python 3.12 --from git+https://host/x mcp-server-git":          "git+https://host/x",
		"uvx --from git+https://host/x@" + commit + " mcp-server-git":         "",
		"uv tool run mcp-server-git":                                          "mcp-server-git",
		"uv run server.py":                                                    "",
		"pipx run --spec x==1.0 y":                                            "",
		"docker run -i --rm -e KEY --mount type=bind,src=/a,dst=/b mcp/fetch": "mcp/fetch",
		"docker run -i --rm -e KEY mcp/fetch:1.2":                             "mcp/fetch:1.2",
		"docker run -i --rm -v /a:/b mcp/fetch" + digest + " x":               "",
		"go run example.com/server@latest":                                    "example.com/server@latest",
		"go run example.com/server@v1.2.3":                                    "",
		"go run ./cmd/server":                                                 "",
		"node server.js":                                                      "",
		"npx":                                                                 "",
		"npx -p":                                                              "",
		"docker run -e":                                                       "",
		"":                                                                    "",
	} {
		words := strings.Fields(command)
		got, example := unpinned(words)
		if got != want {
			t.Errorf("%s: %q; want %q", command, got, want)
		}
		if warning := Warning(words); (warning == "") != (want == "") || want != "" && !strings.Contains(warning, want) {
			t.Errorf("%s: the warning is %q", command, warning)
		}
		if want == "" || strings.Contains(example, "…") {
			continue
		}
		if again, _ := unpinned(append(words[:1:1], strings.Fields(strings.Replace(strings.Join(words[1:], " "), want, example, 1))...)); again != "" && !strings.Contains(want, ":") {
			t.Errorf("%s: %q, which the warning proposes, would be warned of, too", command, example)
		}
	}
}
