package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Bounds of limits.
const (
	MaxLimits    = 1000
	MinWindow    = time.Second
	MaxWindow    = 24 * time.Hour
	maxPerWindow = 1_000_000_000 // calls, and burst
)

// Limit bounds how many calls there may be: so many in each window, on all nodes
// together. It is immutable.
type Limit struct {
	Name string
	// Per says what has a bucket of its own.
	Per snapshotv1.LimitPer
	// Calls is how many calls each Window gives, Burst how many may come at once;
	// both are at least 1.
	Calls, Burst uint32
	Window       time.Duration
}

// Bucket returns the bucket that a call of the limit is charged to. Callers who lack
// the attribute share one, and so does all that a server has without listing it: it is
// as much as clients make up (the target has no name then).
func (l *Limit) Bucket(p *principal.Principal, t *Target) Bucket {
	switch l.Per {
	case snapshotv1.LimitPer_LIMIT_PER_USER:
		return Bucket{Name: p.User}
	case snapshotv1.LimitPer_LIMIT_PER_APPLICATION:
		return Bucket{Name: p.Application}
	case snapshotv1.LimitPer_LIMIT_PER_SERVER:
		return Bucket{Name: t.Server}
	case snapshotv1.LimitPer_LIMIT_PER_TOOL:
		return Bucket{t.Server, t.Name}
	}
	return Bucket{}
}

// Bucket says what has a bucket under a limit.
type Bucket struct {
	// Server is that of a tool, empty for all else.
	Server string
	// Name is that of the user, application, server or tool; empty for all together.
	Name string
}

// String returns the name as nodes and people know it: a tool's is "server/tool".
func (b Bucket) String() string {
	if b.Server == "" {
		return b.Name
	}
	return b.Server + "/" + b.Name
}

// limit is a limit with what it is about.
type limit struct {
	Limit
	line
}

// Limits returns the limits that are about a target, by name; each must admit a
// call. The slice is new; the limits are those of the set, so that their addresses
// tell them apart. A caller who asks often keeps what he got.
func (p *Profile) Limits(t *Target) []*Limit {
	var about []*Limit
	if t == nil || t.Kind >= kinds {
		return nil
	}
	for _, l := range p.limits {
		if l.risks.has(t.Risk) && l.matchesTarget(t) {
			about = append(about, &l.Limit)
		}
	}
	return about
}

// Limits returns all limits of the set, by name.
func (s *Set) Limits() []*Limit {
	all := make([]*Limit, len(s.limits))
	for i := range s.limits {
		all[i] = &s.limits[i].Limit
	}
	return all
}

func compileLimits(items []*snapshotv1.Limit) ([]limit, error) {
	if len(items) > MaxLimits {
		return nil, fmt.Errorf("there are %d limits; at most %d are allowed", len(items), MaxLimits)
	}
	limits := make([]limit, 0, len(items))
	for _, item := range items {
		l, err := compileLimit(item)
		if err != nil {
			return nil, fmt.Errorf("limit %q: %w", item.GetName(), err)
		}
		limits = append(limits, l)
	}
	slices.SortFunc(limits, func(a, b limit) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(limits); i++ {
		if limits[i].Name == limits[i-1].Name {
			return nil, fmt.Errorf("two limits have the name %q", limits[i].Name)
		}
	}
	return limits, nil
}

func compileLimit(item *snapshotv1.Limit) (limit, error) {
	if item == nil {
		return limit{}, errors.New("it is missing")
	}
	if err := known(item); err != nil {
		return limit{}, err
	}
	window := item.GetWindow().AsDuration()
	switch {
	case item.GetName() == "":
		return limit{}, errors.New("it has no name")
	case item.GetPer() <= 0 || int(item.GetPer()) >= len(perNames):
		return limit{}, fmt.Errorf("per %d is not known", item.GetPer())
	case item.GetCalls() < 1 || item.GetCalls() > maxPerWindow || item.GetBurst() < 1 || item.GetBurst() > maxPerWindow:
		return limit{}, fmt.Errorf("calls and burst are from 1 to %d", maxPerWindow)
	case !item.GetWindow().IsValid() || window < MinWindow || window > MaxWindow:
		return limit{}, fmt.Errorf("a window is from %v to %v", MinWindow, MaxWindow)
	}
	// A limit takes what it is about from the riskier side, as a denial does.
	l := line{
		effect: snapshotv1.Effect_EFFECT_DENY, users: item.GetUsers(), groups: item.GetGroups(),
		roles: item.GetRoles(), applications: item.GetApplications(),
	}
	if err := l.selects([kinds][]string{item.GetTools(), item.GetPrompts(), item.GetResources()}, item.GetRisks()); err != nil {
		return limit{}, err
	}
	return limit{Limit{item.GetName(), item.GetPer(), item.GetCalls(), item.GetBurst(), window}, l}, nil
}

// perNames is indexed by what has a bucket.
var perNames = [...]string{"", "all", "user", "application", "server", "tool"}

// PerName returns the name of what has a bucket; "" for what is not known.
func PerName(per snapshotv1.LimitPer) string {
	if per < 0 || int(per) >= len(perNames) {
		return ""
	}
	return perNames[per]
}
