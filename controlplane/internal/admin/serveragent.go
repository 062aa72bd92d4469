package admin

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// Bounds of what one agent is told: its orders are one message of 16 MiB at most.
const (
	maxAgentServers = 200
	maxEnvironment  = 48 << 10 // bytes of one server's, names and values
	maxCommand      = 24 << 10 // bytes of one server's, with directory and URL
)

// checkPlace refuses a server of which it is not clear where it is and what has it:
// nodes reach it by its URL, or an agent runs its command, has it beside itself, or
// declares it in its own file.
func checkPlace(m *adminv1.AddServerRequest) error {
	if m.GetAgent() == "" {
		switch {
		case len(m.GetCommand()) > 0:
			return fault.New(fault.Invalid, "only agents start processes; name the agent that runs the command: --agent NAME")
		case m.GetUrl() == "":
			return fault.New(fault.Invalid, "a server has a URL (--url), or an agent has it (--agent NAME -- COMMAND)")
		case runsSomething(m):
			return fault.New(fault.Invalid, "environment, directory and shared belong to a command that an agent runs")
		}
		return nil
	}
	if len(m.GetHeaders()) > 0 || m.GetPrivate() || m.GetCaCertificates() != "" {
		return fault.Newf(fault.Invalid, "the agent %s reaches the server, not Warder: headers and authorities stand in the agent's own file, and private means nothing; leave them out", m.GetAgent())
	}
	if len(m.GetCommand()) == 0 {
		if runsSomething(m) {
			return fault.New(fault.Invalid, "environment, directory and shared belong to a command that the agent runs; there is none")
		}
		if m.GetUrl() == "" {
			return nil
		}
		return catalog.CheckURL(catalog.Target{Name: m.GetName(), URL: m.GetUrl(), Private: true})
	}
	if m.GetUrl() != "" {
		return fault.New(fault.Invalid, "a server has a URL or a command, not both")
	}
	return checkCommand(m)
}

// runsSomething reports whether a request says how a process is to be run.
func runsSomething(m *adminv1.AddServerRequest) bool {
	return len(m.GetEnvironment()) > 0 || m.GetDirectory() != "" || m.GetShared()
}

// checkCommand refuses what no system runs, or a row does not hold.
func checkCommand(m *adminv1.AddServerRequest) error {
	if strings.TrimSpace(m.GetCommand()[0]) == "" {
		return fault.New(fault.Invalid, "the command begins with the name of a program")
	}
	size := len(m.GetDirectory())
	for _, word := range m.GetCommand() {
		size += len(word)
	}
	switch {
	case strings.ContainsRune(strings.Join(m.GetCommand(), "")+m.GetDirectory(), 0):
		return fault.New(fault.Invalid, "the command or its directory has a NUL character, which no system takes")
	case size > maxCommand:
		return fault.Newf(fault.Invalid, "the command has %d bytes; there may be %d", size, maxCommand)
	}
	return nil
}

// editEnvironment returns the variables of a server after a change: those given are
// added, or take the place of the ones with the same names; those named in remove are
// left out.
func editEnvironment(server string, old map[string]string, given []*adminv1.Variable, remove []string) (map[string]string, error) {
	edited := maps.Clone(old)
	if edited == nil {
		edited = make(map[string]string, len(given))
	}
	for _, name := range remove {
		if _, there := edited[name]; !there {
			return nil, fault.Newf(fault.Invalid, "--remove-env %s: no such variable is set for %s; 'warder server show %s' lists them", name, server, server)
		}
		delete(edited, name)
	}
	said := make(map[string]bool, len(given))
	for _, v := range given {
		switch {
		case said[v.GetName()]:
			return nil, fault.Newf(fault.Invalid, "the variable %s is given twice", v.GetName())
		case slices.Contains(remove, v.GetName()):
			return nil, fault.Newf(fault.Invalid, "the variable %s is both given and removed; say one of the two", v.GetName())
		case strings.ContainsRune(v.GetValue(), 0):
			return nil, fault.Newf(fault.Invalid, "the variable %s has a NUL character in its value, which no system takes", v.GetName())
		}
		said[v.GetName()] = true
		edited[v.GetName()] = v.GetValue()
	}
	size := 0
	for name, value := range edited {
		size += len(name) + len(value)
	}
	if size > maxEnvironment || len(edited) > maxVariables {
		return nil, fault.Newf(fault.Invalid, "%s would have %d variables of %d bytes; there may be %d of %d in all", server, len(edited), size, maxVariables, maxEnvironment)
	}
	return edited, nil
}

// maxVariables bounds the variables of a server; the API has the same bound for those
// of one request.
const maxVariables = 64

// lockAgent keeps the agent of a new server there, and refuses one that was never let
// in, and a server more than an agent may have.
func lockAgent(ctx context.Context, tx *store.Tx, agent string) error {
	if agent == "" {
		return nil
	}
	if _, err := tx.LockAgent(ctx, agent); fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.Invalid, "there is no agent %q; 'warder agent list' shows them, and 'warder join-token create --kind agent --name %s' lets one in", agent, agent)
	} else if err != nil {
		return err
	}
	owned, err := tx.ListAgentServers(ctx)
	if err != nil {
		return err
	}
	count := 0
	for _, server := range owned {
		if server.Agent == agent {
			count++
		}
	}
	if count >= maxAgentServers {
		return fault.Newf(fault.Exhausted, "the agent %s has %d servers, which is as many as one may have", agent, count)
	}
	return nil
}

// environmentNames are shown to people; values never are.
func environmentNames(variables map[string]string) []string {
	return slices.Sorted(maps.Keys(variables))
}
