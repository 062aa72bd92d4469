// How the usual clients are told of Warder. A snippet names the variable that
// holds the key and never the key itself, so that it can be shared and committed.

export const keyVariable = "WARDER_KEY";

export interface Client {
  id: string;
  name: string;
  /** Where the snippet goes. */
  place: string;
  snippet: (endpoint: string) => string;
}

const pretty = (value: object) => JSON.stringify(value, null, 2);

export const clients: Client[] = [
  {
    id: "claude-code",
    name: "Claude Code",
    place: ".mcp.json of the project",
    snippet: (url) =>
      pretty({
        mcpServers: {
          warder: { type: "http", url, headers: { Authorization: `Bearer \${${keyVariable}}` } },
        },
      }),
  },
  {
    id: "cursor",
    name: "Cursor",
    place: "~/.cursor/mcp.json",
    snippet: (url) =>
      pretty({
        mcpServers: {
          warder: { url, headers: { Authorization: `Bearer \${env:${keyVariable}}` } },
        },
      }),
  },
  {
    id: "vscode",
    name: "VS Code",
    place: ".vscode/mcp.json, which asks for the key once",
    snippet: (url) =>
      pretty({
        inputs: [
          { type: "promptString", id: "warder-key", description: "Warder key", password: true },
        ],
        servers: {
          // biome-ignore lint/suspicious/noTemplateCurlyInString: VS Code fills it in.
          warder: { type: "http", url, headers: { Authorization: "Bearer ${input:warder-key}" } },
        },
      }),
  },
];
