package mcp_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestValidSlug(t *testing.T) {
	for _, slug := range []string{"a", "github", "a-1", "a-", strings.Repeat("a", 20)} {
		if !mcp.ValidSlug(slug) {
			t.Errorf("ValidSlug(%q) = false, want true", slug)
		}
	}
	for _, slug := range []string{"", "1a", "-a", "A", "aB", "a_b", "a.b", "a/b", "a b", "ä", "a\x00", "a\n", "а", strings.Repeat("a", 21)} {
		if mcp.ValidSlug(slug) {
			t.Errorf("ValidSlug(%q) = true, want false", slug)
		}
	}
}

func TestExposedName(t *testing.T) {
	tests := []struct{ slug, tool, want string }{
		{"github", "get_issue", "github__get_issue"},
		{"gh", "a__b__c", "gh__a__b__c"},
		{"gh", "_x", "gh___x"},
		{"gh", "Get-Issue_2", "gh__Get-Issue_2"},
		{"gh", strings.Repeat("x", 60), "gh__" + strings.Repeat("x", 60)},
		{"gh", strings.Repeat("x", 61), "gh__" + strings.Repeat("x", 51) + "_9abc4a34"},
		{"gh", "a.b", "gh__a_b_506b5e9b"},
		{"gh", "a/b", "gh__a_b_e9a05c43"},
		{"gh", "gеt", "gh__g_t_5d30a97c"}, // Cyrillic е
		{"gh", "", "gh__"},
	}
	for _, test := range tests {
		if got := mcp.ExposedName(test.slug, test.tool); got != test.want {
			t.Errorf("ExposedName(%q, %q) = %q, want %q", test.slug, test.tool, got, test.want)
		}
	}
}

var exposedGrammar = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// TestT06_ConfusableNamesNeverEqual: names that look like another never come out as it.
func TestT06_ConfusableNamesNeverEqual(t *testing.T) {
	confusables := map[rune][]rune{
		'a': {'а', 'ａ', 'ɑ', 'á'}, 'c': {'с', 'ｃ'}, 'e': {'е', 'ｅ', 'ė'}, 'i': {'і', 'ı', 'ⅰ'}, 'k': {'K', 'к'},
		'o': {'о', 'ο', '０'}, 'p': {'р'}, 's': {'ſ', 'ѕ'}, 'u': {'ս'}, '_': {'＿', '‿', '\u200b', '\u202e', '.'},
	}
	const tool = "delete_issue_pack"
	plain := mcp.ExposedName("github", tool)
	seen := map[string]string{plain: tool}
	for i, r := range tool {
		for _, other := range confusables[r] {
			confusable := tool[:i] + string(other) + tool[i+1:]
			got := mcp.ExposedName("github", confusable)
			if !exposedGrammar.MatchString(got) {
				t.Errorf("ExposedName of %+q = %q, outside the grammar", confusable, got)
			}
			if before, taken := seen[got]; taken {
				t.Errorf("ExposedName of %+q and %+q are both %q", confusable, before, got)
			}
			seen[got] = confusable
		}
	}
	if len(seen) < 20 {
		t.Fatalf("only %d confusables were tried", len(seen))
	}
}

func TestEscapeName(t *testing.T) {
	tests := []struct {
		name  string
		limit int
		want  string
	}{
		{"get_issue", 64, "get_issue"},
		{`say "hi" 100%`, 64, `say "hi" 100%`},
		{"gеt", 64, `g\u0435t`},
		{"a\nb\x1b[31m\x7f", 64, `a\u000ab\u001b[31m\u007f`},
		{`a\u0435`, 64, `a\\u0435`},
		{"\U0001F600", 64, `\U0001f600`},
		{"\xff\xfe", 64, `\xff\xfe`},
		{"\uFFFD", 64, `\ufffd`},
		{"\u202e\u200b", 64, `\u202e\u200b`},
		{"", 64, ""},
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abc..."},
		{"ab\u00e9xyz", 9, "ab..."},
		{"ab\u00e9", 8, `ab\u00e9`},
		{"abcdefg", 0, "..."},
		{"abc", 0, "abc"},
	}
	for _, test := range tests {
		if got := mcp.EscapeName(test.name, test.limit); got != test.want {
			t.Errorf("EscapeName(%q, %d) = %q, want %q", test.name, test.limit, got, test.want)
		}
	}
}
