package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func TestAKeyListSaysWhichKeysAreGood(t *testing.T) {
	at := func(from time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(from)) }
	for name, c := range map[string]struct {
		key  *adminv1.Key
		want string
	}{
		"forever":         {&adminv1.Key{}, "active"},
		"not yet over":    {&adminv1.Key{ExpiresAt: at(time.Hour)}, "active"},
		"over":            {&adminv1.Key{ExpiresAt: at(-time.Second)}, "expired"},
		"in its overlap":  {&adminv1.Key{ExpiresAt: at(time.Hour), Successor: "k2"}, "rotated to k2"},
		"behind the same": {&adminv1.Key{ExpiresAt: at(-time.Hour), Successor: "k2"}, "rotated to k2"},
	} {
		if got := keyEnd(c.key); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	revoked := at(-time.Hour)
	if got, want := keyEnd(&adminv1.Key{RevokedAt: revoked, ExpiresAt: revoked, Successor: "k2"}), "revoked "+clock(revoked); got != want {
		t.Errorf("revoked: %q, want %q", got, want)
	}
}

func TestTextsCountAsPeopleDo(t *testing.T) {
	for got, want := range map[string]string{
		held("role", nil):                     "no role",
		held("role", []string{"a"}):           "the role a",
		held("group", []string{"a", "b"}):     "the groups a, b",
		counted(1, "limit"):                   "1 limit",
		counted(0, "limit"):                   "0 limits",
		oneOf("application"):                  "an application",
		oneOf("user"):                         "a user",
		"Lift the denial of " + oneOf("tool"): "Lift the denial of a tool",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A person's category outlives a new definition, and whoever approves that is told.
func TestAReviewWarnsWhereADefinitionIsRiskierThanWhatAPersonSet(t *testing.T) {
	for _, c := range []struct {
		set, said string
		warns     bool
	}{{"read", "destructive", true}, {"destructive", "read", false}, {"write", "write", false}} {
		e := &adminv1.Tool{
			Server: "s", Name: "a", Kind: adminv1.Kind_KIND_TOOL, Risk: c.set, RiskSet: true,
			RiskReasons: []*adminv1.RiskReason{{Risk: c.said, What: "delete", Where: "name"}},
		}
		var shown strings.Builder
		printEntry(&shown, palette{}, e)
		want := "! By its definition of now it is destructive, riskier than read"
		if strings.Contains(shown.String(), want) != c.warns || c.warns && !strings.Contains(shown.String(), "warder tool risk s/a destructive") {
			t.Errorf("set %s, said %s: %s", c.set, c.said, shown.String())
		}
	}
}
