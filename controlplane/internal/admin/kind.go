package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// kindMessages are the kinds by their names in the database.
var kindMessages = map[catalog.Kind]adminv1.Kind{
	catalog.Tool:         adminv1.Kind_KIND_TOOL,
	catalog.Prompt:       adminv1.Kind_KIND_PROMPT,
	catalog.Resource:     adminv1.Kind_KIND_RESOURCE,
	catalog.Template:     adminv1.Kind_KIND_TEMPLATE,
	catalog.Instructions: adminv1.Kind_KIND_INSTRUCTIONS,
}

func kindMessage(kind catalog.Kind) adminv1.Kind { return kindMessages[kind] }

// kindOf is the inverse: a tool, if the request names no kind. Validation has
// refused what is not known.
func kindOf(m adminv1.Kind) catalog.Kind {
	for kind, message := range kindMessages {
		if message == m {
			return kind
		}
	}
	return catalog.Tool
}

// kindsOf returns the kinds that a request is about, each once: tools, if it
// names none.
func kindsOf(messages []adminv1.Kind) []catalog.Kind {
	if len(messages) == 0 {
		return []catalog.Kind{catalog.Tool}
	}
	var kinds []catalog.Kind
	for _, kind := range catalog.Kinds() {
		if slices.Contains(messages, kindMessage(kind)) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func kindNames(kinds []catalog.Kind) []string {
	names := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	return names
}

// policyKind is what the policy takes entries of a kind for. It does not speak of
// instructions; their names are globbed like those of tools.
func policyKind(kind catalog.Kind) policy.Kind {
	switch kind {
	case catalog.Prompt:
		return policy.Prompt
	case catalog.Resource, catalog.Template:
		return policy.Resource
	}
	return policy.Tool
}

// noun is what several kinds are called together.
func noun(kinds []catalog.Kind) string {
	switch {
	case len(kinds) == 1:
		return string(kinds[0])
	case slices.Equal(kinds, []catalog.Kind{catalog.Resource, catalog.Template}):
		return "resource or template"
	}
	return "entry"
}

// verb is the command that entries of a kind are looked at with.
func verb(kind catalog.Kind) string {
	switch kind {
	case catalog.Prompt:
		return "prompt"
	case catalog.Resource, catalog.Template:
		return "resource"
	case catalog.Instructions:
		return "server"
	}
	return "tool"
}

// showCommand is how a person looks at an entry.
func showCommand(kind catalog.Kind, server, name string) string {
	if kind == catalog.Instructions {
		return "warder server show " + server
	}
	return fmt.Sprintf("warder %s show %s/%s", verb(kind), server, name)
}

// approveCommand is how a person approves an entry.
func approveCommand(kind catalog.Kind, server, name string) string {
	if kind == catalog.Instructions {
		return "warder server approve " + server
	}
	return fmt.Sprintf("warder %s approve %s/%s", verb(kind), server, name)
}

func noEntry(kinds []catalog.Kind, name string) error {
	return fault.Newf(fault.NotFound, "there is no %s %q; %s", noun(kinds), name, listHint(kinds))
}

// listHint says where the names are to be found.
func listHint(kinds []catalog.Kind) string {
	if kinds[0] == catalog.Instructions {
		return "'warder server list' shows the servers"
	}
	return fmt.Sprintf("'warder %s list' shows the %ss", verb(kinds[0]), verb(kinds[0]))
}

// examples of full names, by kind.
var examples = map[catalog.Kind]string{
	catalog.Tool:         `a tool is named as "server/tool", for example github/create_issue`,
	catalog.Prompt:       `a prompt is named as "server/prompt", for example github/review`,
	catalog.Resource:     `a resource is named as "server/uri", for example docs/file:///readme.md`,
	catalog.Template:     `a template is named as "server/uri-template", for example docs/file:///{path}`,
	catalog.Instructions: `the instructions of a server are named as "server/instructions"`,
}

// splitName parts "server/name"; what lacks either is fault.Invalid.
func splitName(kind catalog.Kind, full string) (server, name string, err error) {
	server, name, found := strings.Cut(full, "/")
	if !found || server == "" || name == "" {
		return "", "", fault.New(fault.Invalid, examples[kind])
	}
	return server, name, nil
}
