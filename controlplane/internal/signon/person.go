package signon

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Claims that are looked for where a provider's settings name none.
const (
	usernameClaim = "preferred_username"
	emailClaim    = "email"
	groupsClaim   = "groups"
)

const (
	// maxGroups and maxGroup bound what is kept of a user's groups, in entries and
	// in bytes each. A cut list would hide groups from rules that deny by them, so
	// more is refused.
	maxGroups = 256
	maxGroup  = 256
	// maxShown bounds what is shown of a provider's words, in characters.
	maxShown = 128
)

// namePattern is the rule for the names of users; the database holds it too.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,127}$`)

// person is who came back from a provider, as the provider says.
type person struct {
	subject string
	name    string // fit for a user; empty if noName says why there is none
	noName  error
	groups  []string // sorted, each once
}

// groupsClaim returns the claim that groups are in.
func (p *Provider) groupsClaim() string {
	if p.GroupsClaim != "" {
		return p.GroupsClaim
	}
	return groupsClaim
}

// person reads the claims. A name is needed at the first sign-in only, so that a
// bad one is no error yet.
func (p *Provider) person(said claims) (*person, error) {
	who := &person{subject: said.text("sub")}
	who.name, who.noName = p.userName(said)
	groups, err := p.groups(said)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		if len(group) > maxGroup || !utf8.ValidString(group) || group == "" || strings.ContainsFunc(group, unicode.IsControl) {
			return nil, fault.Newf(fault.Denied, "the provider names a group of yours that is empty, longer than %d bytes, or holds control characters; ask who runs the provider", maxGroup)
		}
		who.groups = append(who.groups, group)
	}
	slices.Sort(who.groups)
	who.groups = slices.Compact(who.groups)
	if len(who.groups) > maxGroups {
		return nil, fault.Newf(fault.Denied, "the provider names more than %d groups of yours; have it send only those that matter here", maxGroups)
	}
	return who, nil
}

// groups returns the groups as they were said. No claim means no groups; but a
// provider that says that they are to be asked for elsewhere (OpenID Connect Core
// 1.0, section 5.6.2), or only that there are some (hasgroups, as Entra does), leaves
// open which they are, and with them what is forbidden. So does a claim that is no
// list of names.
func (p *Provider) groups(said claims) ([]string, error) {
	claim := p.groupsClaim()
	var elsewhere claims
	raw, found := said["_claim_names"]
	withheld := found && (json.Unmarshal(raw, &elsewhere) != nil || elsewhere[claim] != nil)
	value := string(said[claim])
	none := value == "" || value == "null" || value == `""`
	if some := string(said["hasgroups"]); none && some != "" && some != "false" {
		withheld = true
	}
	if withheld {
		return nil, fault.Newf(fault.Denied, "the provider does not say which groups you are in (claim %s), only that there are some, so nobody can tell what is yours; have it send those that matter here", claim)
	}
	all := said.list(claim)
	if all == nil && !none {
		return nil, fault.Newf(fault.Denied, "the provider's claim %s is no list of groups' names; name another claim (warder provider set --groups-claim)", claim)
	}
	return all, nil
}

// userName returns the name that the claims give a new user.
func (p *Provider) userName(said claims) (string, error) {
	claim := p.UserClaim
	if claim == "" {
		claim = usernameClaim
		if said.text(claim) == "" {
			claim = emailClaim
		}
	}
	raw := said.text(claim)
	if raw == "" {
		return "", fault.Newf(fault.Denied, "the provider says no name of yours: there is no claim %s; have the provider send one, or name another claim (warder provider set --user-claim)", claim)
	}
	if claim == emailClaim && !verified(said) {
		return "", fault.New(fault.Denied, "the provider does not say that your e-mail address is verified, so it cannot be your name here")
	}
	name := lowerASCII(raw)
	if !namePattern.MatchString(name) {
		return "", fault.Newf(fault.Denied, "your name at the provider, %s, cannot be one here: a user's name is 1 to 128 characters of a-z, 0-9, and . _ @ + -, and begins with a letter or digit; "+
			"name another claim (warder provider set --user-claim)", mcp.EscapeName(raw, maxShown))
	}
	return name, nil
}

// verified reports whether the provider vouches for the address. Some say so in a
// string.
func verified(said claims) bool {
	value := string(said["email_verified"])
	return value == "true" || value == `"true"`
}

// lowerASCII lowers A to Z and nothing else: letters that only look like those
// must not become them.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
