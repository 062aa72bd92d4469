package admin

import (
	"slices"
	"strings"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/internal/risk"
	"github.com/warder-gateway/warder/internal/snapshot"
	"github.com/warder-gateway/warder/internal/uri"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// standing is what nodes make of something before the policy is asked.
type standing struct {
	served bool
	risk   snapshotv1.Risk
	// detail says why, for people.
	detail string
}

// in finds what is asked about in a snapshot, as a node does.
func (a asked) in(set *snapshot.Set) standing {
	item, found := set.Get(string(a.kind) + "/" + a.server + "/" + a.name)
	switch {
	case a.kind == catalog.Resource && !found:
		return a.unlisted(set)
	case !found:
		return standing{}
	case item.GetResource().GetWithheld():
		return standing{detail: a.full + " is withheld"}
	}
	category := item.GetTool().GetRisk()
	switch a.kind {
	case catalog.Prompt:
		category = item.GetPrompt().GetRisk()
	case catalog.Resource:
		category = item.GetResource().GetRisk()
	}
	return standing{true, category, "the " + string(a.kind) + " is approved, enabled and offered as it was approved"}
}

// unlisted is the standing of a resource that the server does not list: it may
// exist by a template, or unknown to all. Of templates that name it the riskiest
// counts, and one that is withheld keeps it away.
func (a asked) unlisted(set *snapshot.Set) standing {
	if !uri.Canonical(a.name) {
		return standing{detail: a.full + " is not listed, and not the only way to write its URI"}
	}
	if item, found := set.Get("server/" + a.server); !found || !catalog.Declares(item.GetServer().GetCapabilities(), "resources") {
		return standing{detail: a.server + " has no resources"}
	}
	if a.work(set) > uri.MaxWork {
		return standing{detail: a.full + " is too much work to look up: too many templates of the server could name it"}
	}
	named := standing{}
	for _, item := range set.All() {
		if r := item.GetResource(); r.GetWithheld() && r.GetServer() == a.server && a.spells(r.GetUri()) {
			return standing{detail: a.full + " may be another spelling of " + r.GetUri() + ", which is withheld"}
		}
		t := item.GetTemplate()
		if t == nil || t.GetServer() != a.server || !a.named(t) {
			continue
		}
		if t.GetWithheld() {
			return standing{detail: a.full + " exists by the template " + t.GetUriTemplate() + ", which is withheld"}
		}
		if !named.served || severity(t.GetRisk()) > severity(named.risk) {
			named = standing{true, t.GetRisk(), "the resource exists by the template " + t.GetUriTemplate() + ", which is approved"}
		}
	}
	if named.served {
		named.risk = a.raised(set, named.risk)
		return named
	}
	return standing{true, snapshotv1.Risk_RISK_UNCLASSIFIED, "the server does not list the resource, so that nobody has approved it: it counts as unclassified"}
}

// work is how much it is for a node to ask all templates of the server.
func (a asked) work(set *snapshot.Set) (work int) {
	folded := uri.Fold(a.name)
	for _, item := range set.All() {
		t := item.GetTemplate()
		if t == nil || t.GetServer() != a.server {
			continue
		}
		if compiled, err := uri.ParseTemplate(t.GetUriTemplate()); err == nil {
			work += compiled.Work(a.name) + compiled.Work(folded)
		}
	}
	return work
}

// named reports whether a template names the resource. A withheld one that cannot
// be read keeps away all that begins like it.
func (a asked) named(t *snapshotv1.Template) bool {
	compiled, err := uri.ParseTemplate(t.GetUriTemplate())
	if err != nil {
		literal, _, _ := strings.Cut(t.GetUriTemplate(), "{")
		return t.GetWithheld() && strings.HasPrefix(a.name, literal)
	}
	return compiled.Matches(a.name) || t.GetWithheld() && compiled.Matches(uri.Fold(a.name))
}

// spells reports whether a lenient server may take what is asked about for a
// resource that is listed, with whatever query.
func (a asked) spells(listed string) bool {
	folded := uri.Fold(a.name)
	path, _, _ := strings.Cut(folded, "?")
	return uri.Fold(listed) == folded || uri.Fold(listed) == path
}

// raised returns the category of what a template names: no less risky than what a
// lenient server may take its URI for.
func (a asked) raised(set *snapshot.Set, category snapshotv1.Risk) snapshotv1.Risk {
	folded := uri.Fold(a.name)
	for _, item := range set.All() {
		other := item.GetTemplate().GetRisk()
		if r := item.GetResource(); r != nil {
			other = r.GetRisk()
			if r.GetServer() != a.server || uri.Fold(r.GetUri()) != folded {
				continue
			}
		} else if t := item.GetTemplate(); t == nil || t.GetServer() != a.server || !(asked{name: folded}).named(t) {
			continue
		}
		if severity(other) > severity(category) {
			category = other
		}
	}
	return category
}

func severity(r snapshotv1.Risk) int { return slices.Index(risk.Names(), risk.Name(r)) }
