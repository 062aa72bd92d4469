package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// place is where a server is and what runs there: what decides who gets its secrets.
type place struct {
	agent     string // empty: nodes reach it by URL
	url       string
	command   []string
	directory string // a program may be found by where it runs, as npx finds one
}

func placeOf(p db.UpdateServerParams) place {
	at := place{url: p.URL, command: p.Command, directory: p.Directory}
	if p.Agent != nil {
		at.agent = *p.Agent
	}
	return at
}

// same reports whether a secret that was given for one place may be used at the other.
// A path of a URL is no other place: whoever answers for an origin answers for all of it.
func (p place) same(other place) bool {
	return p.agent == other.agent && origin(p.url) == origin(other.url) && slices.Equal(p.command, other.command) && p.directory == other.directory
}

// host says who has the server.
func (p place) host() string {
	if p.agent == "" {
		return origin(p.url)
	}
	return "the agent " + p.agent
}

// maxPlace bounds what texts for people show of a command, in bytes.
const maxPlace = 200

// String is for people: where it is and what runs there.
func (p place) String() string {
	switch {
	case p.agent == "":
		return withoutQuery(p.url)
	case p.url != "":
		return withoutQuery(p.url) + " beside the agent " + p.agent
	case len(p.command) == 0:
		return "what the agent " + p.agent + " declares"
	}
	text := "'" + mcp.EscapeName(strings.Join(p.command, " "), maxPlace) + "'"
	if p.directory != "" {
		text += " in '" + mcp.EscapeName(p.directory, maxPlace) + "'"
	}
	return text + " of the agent " + p.agent
}

// request is how a server that is to be like this would be added: a change may lead to
// nothing that could not be added.
func (p place) request(name string, params db.UpdateServerParams, m *adminv1.UpdateServerRequest) *adminv1.AddServerRequest {
	request := &adminv1.AddServerRequest{
		Name: name, Url: p.url, Agent: p.agent, Command: p.command, Directory: p.directory, Shared: params.Shared,
		Headers: m.GetHeaders(), Private: params.Private, CaCertificates: params.CaCertificates,
	}
	for _, variable := range params.EnvironmentNames {
		request.Environment = append(request.Environment, &adminv1.Variable{Name: variable})
	}
	return request
}

// keepVariablesHome refuses to hand variables to a program or a machine that they were
// not given for: whoever may change a command could read every secret that way, by
// naming a program that prints them (security.md T-24).
func keepVariablesHome(before, after place, set []string, m *adminv1.UpdateServerRequest) error {
	if before.same(after) {
		return nil
	}
	var kept []string
	for _, name := range set {
		given := slices.ContainsFunc(m.GetEnvironment(), func(v *adminv1.Variable) bool { return v.GetName() == name })
		if !given && !slices.Contains(m.GetRemoveEnvironment(), name) {
			kept = append(kept, name)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	anew := fmt.Sprintf("give it anew (--env %s=value) or ", kept[0])
	if len(after.command) == 0 {
		anew = ""
	}
	return fault.Newf(fault.Invalid, "the variable %s was given for %s and does not go along to %s; %sleave it out (--remove-env %s)",
		strings.Join(kept, ", "), before, after, anew, kept[0])
}
