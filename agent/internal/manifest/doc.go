// Package manifest reads an agent's file: the servers it declares, and what it lets the control plane have it run.
//
//	servers:
//	  - name: files                # the slug: a-z, 0-9 and -, at most 20, begins with a letter
//	    command: [npx, -y, "@modelcontextprotocol/server-filesystem@2026.8.31", /home/ana/notes]
//	    directory: /home/ana       # where it runs; the agent's own working directory if left out
//	    environment: {LOG: debug}  # set for it; secret
//	    pass: [HTTPS_PROXY]        # variables of the agent's own environment that it gets, too
//	    shared: true               # one process for all sessions; one for each if left out
//	  - name: wiki
//	    url: http://127.0.0.1:3001/mcp
//	    headers: {Authorization: Bearer 123}
//	allow:                         # what may be assigned
//	  - command: npx
//	    args: ["-y", "@modelcontextprotocol/*", "..."]
//	    environment: [GITHUB_TOKEN]
//	  - url: http://127.0.0.1:*/mcp
//	allow_any: true                # or: anything
//
// The file is strict: what it does not know is refused, with line and column. What nothing allows is refused, too: the
// control plane runs no code beside an agent whose owner has not said so (security.md T-26).
package manifest
